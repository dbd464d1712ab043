"""What is minimised: pure losses, and the curricula that say on which data."""

from typing import Protocol

import torch.nn.functional as F
from torch import Tensor

from finestrec.data.log import InteractionLog
from finestrec.data.sequences import SequenceBatch, Windows, windows
from finestrec.models import NextItemModel
from finestrec.training.options import TrainingOptions


def softmax_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of the next item over the whole catalogue, summed over positions.

    Args:
        scores: Shape (P, N).
        targets: Item indices, shape (P,).

    Returns:
        A scalar, 0 for no positions.
    """
    return F.cross_entropy(scores, targets, reduction="sum")


class Curriculum(Protocol):
    """What one training run sees and minimises.

    Attributes:
        parts: Names of the parts of the loss.
    """

    parts: tuple[str, ...]

    def windows(self, epoch: int) -> Windows:
        """The training windows of an epoch, from 0; always equally many and in the same order."""

    def losses(self, model: NextItemModel, batch: SequenceBatch) -> dict[str, Tensor]:
        """Named parts of the loss of a batch, or of a share of it: the whole loss is their sum.

        Each is a sum over positions divided by a number that does not depend on the batch, so the losses of
        shares of a batch add up to the loss of the batch.
        """


class NextItem:
    """The next-item loss on one log.

    The sum over positions is divided by the expected number of positions of a batch of the unperturbed log, so
    all positions of an epoch weigh the same.
    """

    parts: tuple[str, ...] = ("next_item",)

    def __init__(self, log: InteractionLog, options: TrainingOptions) -> None:
        self._windows = windows(log, options.max_length, options.window)
        self._expected = max(1, self._windows.n_dealt_instances) / self._windows.n_batches(options.batch_size)

    def windows(self, epoch: int) -> Windows:  # noqa: ARG002
        """The same windows in every epoch."""
        return self._windows

    def losses(self, model: NextItemModel, batch: SequenceBatch) -> dict[str, Tensor]:
        """The softmax loss at every position."""
        scores = model.scores(batch.at_positions(model.hidden(batch)))
        return {"next_item": softmax_loss(scores, batch.targets) / self._expected}
