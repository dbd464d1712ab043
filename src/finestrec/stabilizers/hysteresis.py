"""Hysteresis: yesterday's item stays unless a challenger leads it by tau."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from finestrec.data.identifiers import positions
from finestrec.data.log import NO_ITEM
from finestrec.data.sequences import Instances
from finestrec.options import Options
from finestrec.ranking import NO_TARGET, POSITIONS_PER_BATCH, Placement, rank, score_chunks, target_ranks, top_k
from finestrec.stabilizers.serving import Policy, PolicyOptions, TwoModels


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
        yesterday: Yesterday's lists, best first, shape (n, d); -1 is no item.
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


def _held(
    scores: Tensor, yesterday: NDArray[np.int64], k: int, tau: float
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Today's scores of all items (n, N), and the first k items of `merged_lists`, k >= d."""
    best = top_k(scores, k)[1].cpu().numpy()
    values = scores.float().cpu().numpy()
    return values, merged_lists(values, best, yesterday, tau)


class _Beside(TwoModels):
    """Yesterday's lists are the incumbent's at the same moments."""

    def merged(
        self, new: Tensor, old: Tensor, targets: Tensor, k: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]:
        depth = min(self.options.depth, new.shape[1])
        known, yesterday = (tensor.cpu().numpy() for tensor in top_k(old, depth))
        scores, merged = _held(new, np.where(np.isneginf(known), NO_ITEM, yesterday), max(k, depth), self.options.tau)
        items = merged[:, :k]
        ranks = _ranks(scores, merged[:, :depth], targets.cpu().numpy(), target_ranks(new, targets).cpu().numpy())
        return items.astype(np.int32), np.take_along_axis(scores, items, 1), ranks

    def as_served(self, instances: Instances, k: int) -> "_Aged":
        """Where only lists are kept, yesterday's are those of the moment before all of a user's instances."""
        first = instances.subset(instances.is_first)
        found = rank(self.incumbent.model, first, k, unlisted=self.unknown).items
        lists = np.full((instances.log.n_users, found.shape[1]), NO_ITEM, dtype=np.int64)
        lists[first.users] = found
        return _Aged(self.new, self.incumbent, self.options, self.unknown, lists=lists)


@dataclass(frozen=True, eq=False)
class _Aged(_Beside):
    """Yesterday's lists are kept as they were shown.

    Attributes:
        lists: Of each user, best first, shape (users, k); -1 is no item.
    """

    lists: NDArray[np.int64] = field(kw_only=True)

    def _chunks(self, instances: Instances) -> Iterator[tuple[NDArray[np.int64], Tensor, Tensor, Tensor]]:
        places = -torch.arange(self.lists.shape[1], dtype=torch.float32)
        batches = self.new.model.ranking_batches(instances, POSITIONS_PER_BATCH)
        with closing(score_chunks(self.new.model, batches)) as chunks:
            for members, new, targets in chunks:
                shown = torch.from_numpy(self.lists[instances.users[members]])
                # Instead of scores: the higher up the higher, and minus infinity where nothing stands. The last
                # column is where no item is.
                old = torch.full((len(members), new.shape[1] + 1), -torch.inf)
                old.scatter_(1, torch.where(shown < 0, new.shape[1], shown), places.expand(shown.shape))
                yield members, new, old[:, :-1], targets


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


@dataclass(frozen=True, eq=False)
class KeptLists:
    """Lists that users were shown, whose items keep their places.

    Attributes:
        lists: Columns user_id, item_id and rank. Users without one are shown today's ranking.
        options: tau and depth.
    """

    lists: pl.DataFrame
    options: HysteresisOptions

    def placement(self, users: pl.Series, items: pl.Series) -> Placement:
        """How the items of today's lists get their places.

        Args:
            users: Raw id of each instance's user, shape (n,).
            items: The catalogue's raw ids, shape (N,); items of the lists that it lacks are left out.
        """
        shown = self.lists.select("user_id", "rank", item=positions(self.lists["item_id"], items)).drop_nulls()
        known = (
            pl.DataFrame({"user_id": users})
            .with_row_index("row")
            .join(shown, on="user_id")
            .sort("row", "rank")
            .with_columns(place=pl.int_range(pl.len()).over("row"))
            .filter(pl.col("place") < self.options.depth)
        )
        width = 0 if known.is_empty() else int(known["place"].max()) + 1  # type: ignore[arg-type]
        lists = np.full((len(users), width), NO_ITEM, dtype=np.int64)
        lists[known["row"].to_numpy(), known["place"].to_numpy()] = known["item"].to_numpy()

        def place(members: NDArray[np.int64], scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
            yesterday = lists[members]
            values = scores.gather(1, torch.from_numpy(yesterday.clip(min=0)).to(scores.device))
            # What may not be listed today defends no place.
            yesterday[values.isneginf().cpu().numpy()] = NO_ITEM
            deepest = max(k, width)
            columns = torch.from_numpy(_held(scores, yesterday, deepest, self.options.tau)[1][:, :k]).to(scores.device)
            return scores.gather(1, columns), columns

        return place


@dataclass(frozen=True)
class Hysteresis(Policy):
    """The new model's lists, in which yesterday's items keep their places against leads of up to tau.

    See `merged_lists`. In an audit yesterday's lists are the incumbent's at the same instances, as of a service that
    keeps both models and asks both. A run folder keeps the lists that the run before served and nothing else of the
    incumbent, so any service that keeps what it showed can do this with any model; but such lists do not follow what
    users do, and to defend them costs more accuracy. What is said of a run folder is measured with lists that age
    like that (`TwoModels.as_served`).
    """

    options_type: ClassVar[type[Options]] = HysteresisOptions
    strength: ClassVar[str | None] = "tau"
    after_training: ClassVar[frozenset[str]] = frozenset({"tau"})
    merging: ClassVar[type[TwoModels]] = _Beside
