"""Twin consistency: two edited copies of a log are to lead to the same predictions."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pydantic import Field
from torch import Tensor

from finestrec.data.log import InteractionLog
from finestrec.data.sequences import SequenceBatch, Windows
from finestrec.models import NextItemModel
from finestrec.options import Options
from finestrec.stabilizers.finetuning import FineTuning
from finestrec.stabilizers.simulation import OnEdits, Simulation
from finestrec.stabilizers.teaching import divergence
from finestrec.training.objectives import Curriculum, NextItem, PositionScores
from finestrec.training.options import TrainingOptions
from finestrec.training.trained import TrainedModel

_SECOND = 2
"""Tells the second copy of an epoch apart; 1 tells substitutes from rows."""


class TwinOptions(Options):
    """Of twin consistency; kinds and substitutes of edits are FINEST's options."""

    weight: float = Field(default=3.0, ge=0)
    """Weight of the disagreement beside the next-item loss, both as means over instances. The default is the one whose
    results are known on two logs (docs/results/frontier.md, "Without an incumbent")."""
    rho: float = Field(default=0.01, ge=0, lt=1)
    """Share of the training interactions that is edited in each copy; at 0 the copies are one, and the method a warm
    start."""


class _Twins(OnEdits):
    """The next-item loss on both copies, and the disagreement at the instances that both have."""

    parts: tuple[str, ...] = ("next_item", "disagreement")

    def __init__(
        self, log: InteractionLog, training: TrainingOptions, seed: int, simulation: Simulation, weight: float
    ) -> None:
        super().__init__(log, training, seed, simulation)
        self._weight = weight

    def windows(self, epoch: int) -> Windows:
        """The windows of the epoch's first copy."""
        first = super().windows(epoch)
        self._second = self.edited(epoch, _SECOND)
        ids = first.instances().ids
        number = np.repeat(np.arange(len(first.start)), np.maximum(first.end - first.start - 1, 0))
        order = np.argsort(ids)
        self._ids, self._number = ids[order], number[order]
        return first

    def losses(self, model: NextItemModel, batch: SequenceBatch) -> dict[str, Tensor]:
        """Both, of the batch's windows in both copies."""
        scores = PositionScores(model, batch)
        losses = {"next_item": self.next_item(scores, batch) / 2, "disagreement": scores.all.new_zeros(())}
        other = self._twin(model, batch)
        if other is None:
            return losses
        others = PositionScores(model, other)
        losses["next_item"] = losses["next_item"] + self.next_item(others, other) / 2
        named = np.flatnonzero(batch.ids >= 0)
        _, here, there = np.intersect1d(batch.ids[named], other.ids, return_indices=True)
        p, q = scores.all[named[here]], others.all[there]
        both = (divergence(p, q, batch.targets) + divergence(q, p, batch.targets)).sum() / 2
        losses["disagreement"] = self._weight * both / self.expected(model)
        return losses

    def _twin(self, model: NextItemModel, batch: SequenceBatch) -> SequenceBatch | None:
        """The same windows of the second copy; None if they have no instance."""
        known = batch.ids[batch.ids >= 0]
        numbers = np.unique(self._number[np.searchsorted(self._ids, known)])
        if not self._second.has_instances(numbers):
            return None
        twin = model.learning_batch(self._second, numbers, self._seed, self._epoch)
        return twin.to(batch.items.device) if len(twin.targets) else None


@dataclass(frozen=True)
class Twin(FineTuning):
    """F epochs on two independently edited copies of the log each, whose predictions are to agree.

    Next-item loss, as the mean of both copies, + weight * (KL(p || q) + KL(q || p)) / 2, p and q the softmax over the
    catalogue at one instance in both copies. Nothing of the incumbent but the start from its weights is needed.

    After Prastalo, Jablonka: Reducing cross-sample prediction churn in scientific machine learning
    (https://arxiv.org/abs/2605.13826), who train two networks on two bootstraps with that loss between them. Here one
    network sees both copies, with dropout masks of their own, and the resampler is FINEST's simulator. A window all of
    whose interactions are new in the first copy has no name to be found by, and is left out of the second.
    """

    options_type: ClassVar[type[Options]] = TwinOptions
    of_finest: ClassVar[frozenset[str]] = FineTuning.of_finest | {"kinds", "substitute"}
    strength: ClassVar[str | None] = "weight"

    def curriculum(self, log: InteractionLog, seed: int, anchor: TrainedModel) -> Curriculum:  # noqa: ARG002
        """Two newly edited logs every epoch."""
        training, finest = self.recipe.finetuning, self.recipe.finest
        if self.options.rho == 0:
            return NextItem(log, training, seed)
        simulation = Simulation(self.options.rho, finest.kinds, finest.substitute)
        return _Twins(log, training, seed, simulation, self.options.weight)
