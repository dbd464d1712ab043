"""L2-SP: warm start on a leash, whose length is the squared distance to the incumbent's weights."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from finestrec.data.log import InteractionLog
from finestrec.data.sequences import SequenceBatch
from finestrec.models import NextItemModel
from finestrec.options import Options
from finestrec.stabilizers.finetuning import FineTuning
from finestrec.training.growing import old_rows
from finestrec.training.objectives import Curriculum, NextItem
from finestrec.training.options import TrainingOptions
from finestrec.training.trained import TrainedModel


class L2SPOptions(Options):
    """Of L2-SP."""

    weight: float = Field(default=0.01, ge=0)
    """alpha: half of it times the squared distance stands beside the next-item loss; 0 is a warm start."""


class _Leash(NextItem):
    """The next-item loss and the distance."""

    parts: tuple[str, ...] = ("next_item", "distance")

    def __init__(
        self, log: InteractionLog, training: TrainingOptions, seed: int, anchor: NextItemModel, weight: float
    ) -> None:
        super().__init__(log, training, seed)
        self._anchor = {name: parameter.detach().clone() for name, parameter in anchor.named_parameters()}
        self._weight = weight

    def losses(self, model: NextItemModel, batch: SequenceBatch) -> dict[str, Tensor]:
        """Both; of a share of a batch, its share of the distance."""
        share = len(batch.targets) / self.expected(model)
        return super().losses(model, batch) | {"distance": self._weight / 2 * share * self._distance(model)}

    def _distance(self, model: NextItemModel) -> Tensor:
        """The squared distance of the weights that the anchor has."""
        distances = []
        for name, parameter in model.named_parameters():
            anchor = self._anchor[name] = self._anchor[name].to(parameter.device)
            distances.append((old_rows(parameter, anchor) - anchor).square().sum())
        return torch.stack(distances).sum()


@dataclass(frozen=True)
class L2SP(FineTuning):
    """F epochs of next-item loss + weight / 2 * |w - w_incumbent|^2, from the incumbent's weights.

    Li, Grandvalet, Davoine: Explicit inductive bias for transfer learning with convolutional networks (ICML 2018,
    https://arxiv.org/abs/1802.01483), without their second term, the L2 penalty of weights that have no start: rows of
    items that are new to the incumbent are free. A batch bears the penalty in proportion to its positions; one of the
    average size bears it once.
    """

    options_type: ClassVar[type[Options]] = L2SPOptions
    strength: ClassVar[str | None] = "weight"
    preserves: ClassVar[bool] = True

    def curriculum(self, log: InteractionLog, seed: int, anchor: TrainedModel) -> Curriculum:
        """The log as it is."""
        return _Leash(log, self.recipe.finetuning, seed, anchor.model, self.options.weight)
