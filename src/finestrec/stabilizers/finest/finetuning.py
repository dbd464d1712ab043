"""FINEST: fine-tune a trained model to keep its own rank lists under simulated perturbations.

Oh, Ustun, McAuley, Kumar: FINEST: Stabilizing recommendations by rank-preserving fine-tuning
(https://arxiv.org/abs/2402.03481). Departs from the authors' code in the points of METHOD, section 5: reference
lists come from the model in evaluation mode, ids and popularity from the unperturbed training log, and an
instance without a list takes no part in the rank loss.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from finestrec.data.log import InteractionLog
from finestrec.data.sequences import SequenceBatch, Windows
from finestrec.errors import OptionError
from finestrec.models import NextItemModel
from finestrec.options import Options
from finestrec.perturbation.edits import EditKind, SubstituteRule
from finestrec.stabilizers.finest.losses import Term, rank_preserving_loss
from finestrec.stabilizers.finest.references import ReferenceLists, TeacherLists
from finestrec.stabilizers.simulation import OnEdits, Simulation
from finestrec.training.objectives import PositionScores
from finestrec.training.options import TrainingOptions


class FinestOptions(Options):
    """FINEST's parameters, under the names of the paper where it has any."""

    epochs: int = Field(default=50, ge=1)
    """Epochs of fine-tuning."""
    lr: float = Field(default=1e-4, gt=0)
    """Learning rate of fine-tuning; the optimizer starts fresh."""
    k: int = Field(default=100, ge=1)
    """K: length of the list to preserve, capped at half the catalogue. As many challengers are kept out."""
    weight: float = Field(default=3.0, ge=0)
    """lambda: weight of the rank-preserving loss beside the next-item loss, both as means over instances (or over
    users: `average`). The default was chosen among 0.3, 1, 3 and 10 on validation instances of LRURec on reddit.tsv
    (docs/results/weight.md)."""
    order_margin: float = Field(default=0.1, ge=0)
    """m1: score by which each preserved item should lead the next."""
    challenger_margin: float = Field(default=0.1, ge=0)
    """m2: score by which the k-th preserved item should lead the k-th challenger."""
    rho: float = Field(default=0.01, ge=0, lt=1)
    """Share of the training interactions that each epoch's simulation edits; 0 simulates nothing."""
    kinds: tuple[EditKind, ...] = Field(default=("delete", "replace", "insert"), min_length=1)
    """Kinds of edit, of which each epoch draws one."""
    substitute: SubstituteRule = "least_popular"
    """The item of replaced and inserted interactions."""
    terms: tuple[Term, ...] = Field(default=("order", "margin"), min_length=1)
    """Parts of the rank-preserving loss; one alone is an ablation."""
    next_item: bool = True
    """Whether the next-item loss is minimised beside it; false is an ablation."""
    teacher: Literal["stored", "batch"] = "stored"
    """Where reference lists come from. stored: made once, over the unperturbed log. batch: the incumbent is asked again
    for each batch, over the epoch's perturbed log, so that new interactions have lists too."""
    alpha: float = Field(default=0.0, ge=0, le=1)
    """The incumbent's share in the final weights, as in the method interpolation; none as published."""
    average: Literal["instance", "user"] = "instance"
    """What the rank-preserving loss is a mean over: all instances alike, or users, each with the mean over its
    instances (the authors' code)."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.average == "user" and self.teacher == "batch":
            raise ValueError(
                "finest.teacher=batch has lists for all instances of a batch and no mean over a user's;"
                " use finest.average=instance"
            )
        return self


AUTHORS_PRESETS: dict[str, dict[str, Any]] = {
    "lrurec": {"average": "user", "weight": 3.2, "lr": 1e-4},
    "lstm": {"average": "user", "weight": 16.0, "lr": 1e-4},
    "tisasrec": {"average": "user", "weight": 1.6, "lr": 1e-3},
    "bert4rec": {"average": "user", "weight": 8.0, "lr": 1e-4},
}
"""The authors' weights by model: 0.1 or 1.0 on a sum over the users of a batch, as a weight on the mean over users."""


PreservingLoss = Callable[[PositionScores, Tensor], Tensor]
"""From the scores at P positions and the reference items of each, shape (P, 2K), the loss of each, shape (P,)."""


def _finest_loss(options: FinestOptions, scores: PositionScores, items: Tensor) -> Tensor:
    return rank_preserving_loss(
        scores.of(items),
        order_margin=options.order_margin,
        challenger_margin=options.challenger_margin,
        terms=options.terms,
    )


class Finest(OnEdits):
    """The curriculum of fine-tuning: a newly perturbed log every epoch, and both losses."""

    parts: tuple[str, ...]

    def __init__(
        self,
        log: InteractionLog,
        references: ReferenceLists | TeacherLists,
        options: FinestOptions,
        training: TrainingOptions,
        seed: int,
        *,
        loss: PreservingLoss | None = None,
        weight: float | None = None,
    ) -> None:
        """Set up.

        Args:
            log: The training interactions.
            references: The lists to preserve.
            options: Simulation, what the mean is over, and FINEST's own loss.
            training: Optimisation.
            seed: Drives the simulation.
            loss: A rank-preserving loss in place of FINEST's.
            weight: Its weight in place of FINEST's.
        """
        self.parts = ("next_item", "rank") if options.next_item else ("rank",)
        super().__init__(log, training, seed, Simulation(options.rho, options.kinds, options.substitute))
        self._references = references
        self._finest = options
        self._loss = loss or partial(_finest_loss, options)
        self._weight = options.weight if weight is None else weight

    def edited(self, *indices: int) -> Windows:
        """The windows of the epoch's simulated log."""
        cut = super().edited(*indices)
        self._expected_preserved = max(1, self._n_preserved(cut)) / cut.n_batches(self._options.batch_size)
        return cut

    def losses(self, model: NextItemModel, batch: SequenceBatch) -> dict[str, Tensor]:
        """The next-item loss, and the rank-preserving loss where there is a reference list."""
        scores = PositionScores(model, batch)
        losses = {}
        if self._finest.next_item:
            losses["next_item"] = self.next_item(scores, batch)
        items, weights = self._lists(batch, model.predicted_share)
        found: object = self._loss(scores, items)
        if not isinstance(found, Tensor) or found.shape != weights.shape:
            what = f"of shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise OptionError(
                f"the rank-preserving loss of {len(weights)} positions is {what}; expected a tensor of a number for"
                f" each, of shape ({len(weights)},): no mean or sum over positions, whose weights differ"
            )
        losses["rank"] = self._weight * (found * weights).sum()
        return losses

    def _lists(self, batch: SequenceBatch, predicted_share: float) -> tuple[Tensor, Tensor]:
        """Reference items of each position, shape (P, 2K), and its weight in the mean, shape (P,)."""
        device = batch.targets.device
        if isinstance(self._references, TeacherLists):
            items = self._references(batch)
            return items, torch.full((len(items),), 1 / (self._expected_preserved * predicted_share), device=device)
        rows = self._references.find(batch.ids)
        kept = self._references.items
        if not len(kept):  # positions without a list, here all, have some items, and no weight
            kept = np.arange(kept.shape[1], dtype=np.int32)[None]
        items = torch.from_numpy(kept[rows].astype(np.int64)).to(device)
        return items, torch.from_numpy(self._weights(rows, predicted_share)).to(device)

    def _n_preserved(self, cut: Windows) -> int:
        """Instances (or users) of the epoch with a reference list: what the mean is over."""
        if isinstance(self._references, TeacherLists):
            return cut.n_instances
        instances = cut.instances()
        rows = self._references.find(instances.ids)
        found = rows >= 0
        # By name and not by place in the batch: a row of a batch may be one instance.
        self._window_of = np.full(len(self._references), -1)
        self._window_of[rows[found]] = instances.start[found]
        if self._finest.average == "instance":
            return int(found.sum())
        of_window, of_user = (_sizes(groups[found]) for groups in (instances.start, instances.users))
        self._share_of = np.zeros(len(self._references))
        self._share_of[rows[found]] = of_window / of_user
        return len(np.unique(instances.users[found]))

    def _weights(self, rows: NDArray[np.int64], predicted_share: float) -> NDArray[np.float32]:
        """Weight of each position of a batch in the mean; 0 where there is no reference list.

        A user's mean is over its windows by their sizes. Where a model asks for a share of the instances, a window's
        mean is over those asked, and 0 for none of them.
        """
        found = rows >= 0
        if self._finest.average == "instance":
            return np.asarray(found / (self._expected_preserved * predicted_share), dtype=np.float32)
        weights = np.zeros(len(rows), dtype=np.float32)
        _, window, counts = np.unique(self._window_of[rows[found]], return_inverse=True, return_counts=True)
        weights[found] = self._share_of[rows[found]] / (counts[window] * self._expected_preserved)
        return weights


def _sizes(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each element, how many are in its group; shape (n,)."""
    _, group, counts = np.unique(groups, return_inverse=True, return_counts=True)
    sizes: NDArray[np.int64] = counts[group]
    return sizes
