"""Lists after a take-down: a model ranks all that it once learned, but a service no longer offers some of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finestrec.data.log import NO_ITEM
from finestrec.data.sequences import Instances
from finestrec.ranking import BEYOND_THE_LIST, TopLists
from finestrec.stability.comparing import in_chunks
from finestrec.stabilizers import Ranker


@dataclass(frozen=True, eq=False)
class WithoutItems:
    """A ranker whose lists some items leave; those below them move up.

    Attributes:
        ranker: Asked for whole rankings, since items that stand above a target beyond a list count for its rank, too.
        items: Which items leave, shape (N,).
    """

    ranker: Ranker
    items: NDArray[np.bool_]

    def rank(self, instances: Instances, k: int) -> TopLists:
        """See `Ranker`; a target that has left ranks below all others."""
        parts = [self._ranked(instances.subset(chunk), k) for chunk in in_chunks(instances) or [slice(0)]]
        return TopLists(
            items=np.concatenate([part.items for part in parts]),
            target_ranks=np.concatenate([part.target_ranks for part in parts]),
            scores=np.concatenate([part.scores for part in parts]),
        )

    def _ranked(self, instances: Instances, k: int) -> TopLists:
        n_items = len(self.items)
        found = self.ranker.rank(instances, n_items)
        leaves = np.append(self.items, False)[found.items]  # -1 ends a shorter list
        staying_first = np.argsort(leaves, axis=1, kind="stable")
        items = np.where(leaves, np.int32(NO_ITEM), found.items)
        return TopLists(
            items=np.take_along_axis(items, staying_first, axis=1)[:, :k],
            target_ranks=self._target_ranks(found, leaves, instances.targets),
            scores=np.take_along_axis(found.scores, staying_first, axis=1)[:, :k],
        )

    def _target_ranks(
        self, found: TopLists, leaves: NDArray[np.bool_], targets: NDArray[np.int32]
    ) -> NDArray[np.int64]:
        ranks, width = found.target_ranks, leaves.shape[1]
        above = np.arange(width) < ranks[:, None] - 1
        moved = np.where(ranks > 0, ranks - (leaves & above).sum(axis=1), ranks)
        # What stands between the end of a short list and a target below it is not known.
        moved = np.where(ranks > width, BEYOND_THE_LIST, moved)
        last = len(self.items) if width == len(self.items) else BEYOND_THE_LIST
        has_left = (targets >= 0) & self.items[targets]
        return np.where(has_left, last, moved)
