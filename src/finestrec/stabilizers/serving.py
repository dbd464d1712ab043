"""What serving-time policies share: lists made from a newly trained model and the incumbent, nothing trained."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from finestrec.data.log import InteractionLog
from finestrec.data.sequences import Instances
from finestrec.errors import OptionError
from finestrec.options import Options
from finestrec.ranking import POSITIONS_PER_BATCH, TopLists, score_chunks
from finestrec.stabilizers.base import Kind, Strategy, trained_incumbent
from finestrec.stabilizers.finetuning import WarmStart
from finestrec.stabilizers.retraining import Retrain
from finestrec.training.trained import TrainedModel


class PolicyOptions(Options):
    """Of every policy."""

    over: Literal["retrain", "warm_start"] = Field(default="retrain")
    """How the new model is trained."""


@dataclass(frozen=True, eq=False)
class TwoModels(ABC):
    """Base of what policies serve.

    Attributes:
        new: The newly trained model.
        incumbent: The one that was served before, over the same catalogue.
        options: Of the policy.
        unknown: Items that the incumbent does not know, shape (N,); its scores of them are minus infinity.
    """

    new: TrainedModel
    incumbent: TrainedModel
    options: Any
    unknown: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        ours, theirs = self.new.model.n_items, self.incumbent.model.n_items
        if ours != theirs:
            raise OptionError(
                f"the new model has {ours} items and the incumbent {theirs}; a policy of serving needs a catalogue that"
                " holds the incumbent's"
            )

    def rank(self, instances: Instances, k: int) -> TopLists:
        """The k items of each instance that are served, and the target's rank among all items."""
        if k < 1:
            raise OptionError(f"k is {k}; a list needs at least 1 item")
        k = min(k, self.new.model.n_items)
        items = np.empty((len(instances), k), dtype=np.int32)
        values = np.empty((len(instances), k), dtype=np.float32)
        ranks = np.zeros(len(instances), dtype=np.int64)
        for members, new, old, targets in self._chunks(instances):
            items[members], values[members], ranks[members] = self.merged(new, old, targets, k)
        return TopLists(items=items, target_ranks=ranks, scores=values)

    def as_served(self, instances: Instances, k: int) -> "TwoModels":  # noqa: ARG002
        """What a service makes that asks for lists of length k, once at the end of what was known of each user before.

        By default the same: it keeps both models and asks both.

        Args:
            instances: Moments after that, in the order of time for each user.
            k: Length of the lists that were shown.
        """
        return self

    def _chunks(self, instances: Instances) -> Iterator[tuple[NDArray[np.int64], Tensor, Tensor, Tensor]]:
        """Numbers of some instances, both models' scores of all items for them, and their targets."""
        # Both models are asked in the same order, in chunks of the same size.
        pair = [
            score_chunks(trained.model, trained.model.ranking_batches(instances, POSITIONS_PER_BATCH))
            for trained in (self.new, self.incumbent)
        ]
        with closing(pair[0]), closing(pair[1]):
            for (members, new, targets), (_, old, _) in zip(*pair, strict=True):
                if self.unknown is not None:
                    old = old.masked_fill(torch.from_numpy(self.unknown).to(old.device), -torch.inf)  # noqa: PLW2901
                yield members, new, old, targets

    @abstractmethod
    def merged(
        self, new: Tensor, old: Tensor, targets: Tensor, k: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]:
        """What is served of some instances.

        Args:
            new: The new model's scores, shape (n, N).
            old: The incumbent's scores, shape (n, N); minus infinity for items that it does not know.
            targets: The items that did come next, shape (n,); -1 where it is unknown.
            k: Length of the lists, at most N.

        Returns:
            Items (n, k); their scores (n, k); ranks of the targets among all items (n,), `NO_TARGET` where unknown.
        """


@dataclass(frozen=True)
class Policy(Strategy):
    """A policy of serving: the lists of a new model, held close to those of the incumbent."""

    kind: ClassVar[Kind] = "served"
    options_type: ClassVar[type[Options]] = PolicyOptions
    merging: ClassVar[type[TwoModels]]
    """What is served."""

    def fit(
        self,
        log: InteractionLog,
        seed: int,
        incumbent: TrainedModel | None = None,
        *,
        checkpoint: Path | None = None,
    ) -> TwoModels:
        """Train the new model, and serve it by the policy; see `Strategy.fit`."""
        base = trained_incumbent(incumbent, type(self).__name__)
        return self.served(self.trainer.fit(log, seed, base, checkpoint=checkpoint), base)

    @property
    def trainer(self) -> Strategy:
        """What trains the new model."""
        kinds: dict[str, type[Strategy]] = {"retrain": Retrain, "warm_start": WarmStart}
        return kinds[self.options.over](self.recipe, progress=self.progress)

    def served(self, new: TrainedModel, incumbent: TrainedModel) -> TwoModels:
        """What is served of two models; the new one's catalogue may have grown."""
        before, now = incumbent.model.n_items, new.model.n_items
        if now <= before:
            return self.merging(new, incumbent, self.options)
        grown = replace(incumbent, model=self.recipe.copy_of(incumbent, now).eval())
        return self.merging(new, grown, self.options, np.arange(now) >= before)
