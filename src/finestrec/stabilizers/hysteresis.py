"""Hysteresis: yesterday's item stays unless a challenger leads it by tau."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from finestrec.options import Options
from finestrec.ranking import NO_TARGET, target_ranks, top_k
from finestrec.stabilizers.serving import Policy, PolicyOptions, TwoModels
from finestrec.training.trained import TrainedModel


class HysteresisOptions(PolicyOptions):
    """Of hysteresis."""

    tau: float = Field(default=1.0, ge=0)
    """The lead that a challenger needs, in the new model's scores; 0 serves the new model."""
    depth: int = Field(default=100, ge=1)
    """Length of yesterday's lists, and how many places they are defended in."""


def merged_lists(
    scores: NDArray[np.float32], best: NDArray[np.int64], yesterday: NDArray[np.int64], tau: float
) -> NDArray[np.int64]:
    """Merge today's ranking with yesterday's lists, place by place.

    A place of the first d goes to the first of yesterday's items without a place that the best item without a place
    does not lead by more than tau; if it leads them all, to that one. The places after them go by today's scores. At
    tau = 0 that is today's ranking (but for ties), at tau = infinity it begins with yesterday's list.

    Args:
        scores: Today's scores of all items, shape (n, N).
        best: Today's best items, best first, shape (n, k), k >= d.
        yesterday: Yesterday's lists, best first, shape (n, d).
        tau: 0 or more.

    Returns:
        Shape (n, k).

    >>> import numpy as np
    >>> scores = np.float32([[3.0, 2.0, 1.0, 0.0]])
    >>> today, yesterday = np.array([[0, 1, 2]]), np.array([[2, 1]])
    >>> [merged_lists(scores, today, yesterday, tau).tolist()[0] for tau in (0, 1, 2, 3)]
    [[0, 1, 2], [1, 0, 2], [2, 1, 0], [2, 1, 0]]
    """
    from finestrec.stabilizers.kernels import merge

    result = np.empty_like(best)
    merge(np.ascontiguousarray(scores), np.ascontiguousarray(best), np.ascontiguousarray(yesterday), tau, result)
    return result


class _Kept(TwoModels):
    def merged(
        self, new: Tensor, old: Tensor, targets: Tensor, k: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]:
        depth = min(self.options.depth, new.shape[1])
        best = top_k(new, max(k, depth))[1].cpu().numpy()
        yesterday = top_k(old, depth)[1].cpu().numpy()
        scores = new.float().cpu().numpy()
        merged = merged_lists(scores, best, yesterday, self.options.tau)
        items = merged[:, :k]
        ranks = _ranks(scores, merged[:, :depth], targets.cpu().numpy(), target_ranks(new, targets).cpu().numpy())
        return items.astype(np.int32), np.take_along_axis(scores, items, 1), ranks


def _ranks(
    scores: NDArray[np.float32], first: NDArray[np.int64], targets: NDArray[np.int64], alone: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Ranks of the targets, shape (n,), where some items come first and all others follow by their scores.

    Args:
        scores: Shape (n, N).
        first: Shape (n, d).
        targets: Shape (n,); -1 where unknown.
        alone: Their ranks by the scores alone, shape (n,); 0 where unknown.
    """
    is_target = first == targets[:, None]
    own = np.take_along_axis(scores, np.maximum(targets, 0)[:, None], 1)
    theirs = np.take_along_axis(scores, first, 1)
    ahead = (theirs > own) | ((theirs == own) & (first < targets[:, None]))
    below = first.shape[1] + alone - ahead.sum(1)
    ranks = np.where(is_target.any(1), is_target.argmax(1) + 1, below)
    return np.where(targets < 0, NO_TARGET, ranks)


@dataclass(frozen=True)
class Hysteresis(Policy):
    """The new model's lists, in which yesterday's items keep their places against leads of up to tau.

    See `merged_lists`; yesterday's lists are the incumbent's at the same instances. Nothing else of the incumbent is
    needed, so a service that keeps what it served can do this with any model.
    """

    options_type: ClassVar[type[Options]] = HysteresisOptions
    strength: ClassVar[str | None] = "tau"
    after_training: ClassVar[frozenset[str]] = frozenset({"tau"})

    def served(self, new: TrainedModel, incumbent: TrainedModel) -> TwoModels:
        """The new model's lists with hysteresis."""
        return _Kept(new, incumbent, self.options)
