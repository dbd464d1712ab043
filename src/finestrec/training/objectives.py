"""What is minimised: the curricula that say on which data, and how scores at its positions become a loss."""

from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from finestrec.data.log import InteractionLog
from finestrec.data.sequences import SequenceBatch, Windows, windows
from finestrec.errors import DataError
from finestrec.models import NextItemModel
from finestrec.training.losses import bce_loss, gbce_loss, negatives, sampled_softmax_loss, softmax_loss
from finestrec.training.options import TrainingOptions


class PositionScores:
    """The scores of a model at the predicted positions of a batch; the whole catalogue is scored once, if at all.

    Attributes:
        model: The model.
    """

    def __init__(self, model: NextItemModel, batch: SequenceBatch) -> None:
        self.model = model
        self._hidden = batch.at_positions(model.hidden(batch))

    @cached_property
    def all(self) -> Tensor:
        """Scores of all items, shape (P, N)."""
        return self.model.scores(self._hidden)

    def of(self, items: Tensor) -> Tensor:
        """Scores of some items at each position, shape (P, M) for (P, M)."""
        return self.all.gather(1, items) if "all" in vars(self) else self.model.scores(self._hidden, items)


def next_item_loss(
    scores: PositionScores, batch: SequenceBatch, n_items: int, options: TrainingOptions, seed: int, epoch: int
) -> Tensor:
    """The model's own next-item loss, or else the one that `options.loss` names, summed over the predicted positions.

    Args:
        scores: The model's, at those positions.
        batch: The batch.
        n_items: N.
        options: The loss and its sampling.
        seed: The run's seed, of the sampled items.
        epoch: The epoch, from 0.
    """
    if scores.model.own_loss is not None:
        return scores.model.own_loss(scores.all, batch.targets).sum()
    if options.loss == "softmax":
        return softmax_loss(scores.all, batch.targets)
    sampled = negatives(batch.ids, batch.targets.cpu().numpy(), n_items, options.negatives, seed, epoch)
    items = torch.from_numpy(sampled).to(batch.targets.device)
    both = scores.of(torch.cat([batch.targets[:, None], items], 1))
    positive, negative = both[:, 0], both[:, 1:]
    if options.loss == "bce":
        return bce_loss(positive, negative)
    if options.loss == "gbce":
        return gbce_loss(positive, negative, n_items, options.calibration)
    return sampled_softmax_loss(positive, negative, n_items)


class Curriculum(Protocol):
    """What one training run sees and minimises.

    Attributes:
        parts: Names of the parts of the loss.
    """

    parts: tuple[str, ...]

    def windows(self, epoch: int) -> Windows:
        """The training windows of an epoch, from 0; always equally many and in the same order.

        Batches are of the epoch that was asked for last.
        """

    def losses(self, model: NextItemModel, batch: SequenceBatch) -> dict[str, Tensor]:
        """Named parts of the loss of a batch, or of a share of it: the whole loss is their sum.

        Each is a sum over positions divided by a number that does not depend on the batch, so the losses of
        shares of a batch add up to the loss of the batch.
        """


class NextItem:
    """The next-item loss on one log.

    The sum over positions is divided by the expected number of positions of a batch, so all positions of an epoch weigh
    the same. Batches are as many as the origin's, but the positions are the log's own: where it is much longer or
    shorter than its origin, as after a night, other losses beside this one are means over them, too.
    """

    parts: tuple[str, ...] = ("next_item",)

    def __init__(self, log: InteractionLog, options: TrainingOptions, seed: int) -> None:
        """Set up.

        Raises:
            DataError: If the log has no training instance.
        """
        self._windows = windows(log, options.max_length, options.window)
        if self._windows.n_instances == 0:
            raise DataError(
                f"there is nothing to learn from: of {len(log):,} training interactions none follows another one of"
                " its user"
            )
        self._expected = self._windows.n_instances / self._windows.n_batches(options.batch_size)
        self._options = options
        self._seed = seed
        self._epoch = 0

    def windows(self, epoch: int) -> Windows:
        """The same windows in every epoch."""
        self._epoch = epoch
        return self._windows

    def losses(self, model: NextItemModel, batch: SequenceBatch) -> dict[str, Tensor]:
        """The next-item loss of the options."""
        return {"next_item": self.next_item(PositionScores(model, batch), batch)}

    def next_item(self, scores: PositionScores, batch: SequenceBatch) -> Tensor:
        """The next-item loss of scores at the positions of a batch of the epoch, for curricula with other parts too."""
        model = scores.model
        loss = next_item_loss(scores, batch, model.n_items, self._options, self._seed, self._epoch)
        return loss / self.expected(model)

    def expected(self, model: NextItemModel) -> float:
        """Positions of a batch on average: what sums over positions are divided by."""
        return self._expected * model.predicted_share
