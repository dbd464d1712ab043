"""Two rankers on the same test instances: how far their lists are apart, and how accurate each is."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from finestrec.data.log import NO_ITEM
from finestrec.data.sequences import Instances
from finestrec.errors import DataError
from finestrec.measures.accuracy import ndcg, recall, reciprocal_rank
from finestrec.measures.names import Measure, parse_measure
from finestrec.measures.overlap import average_overlap
from finestrec.ranking import BEYOND_THE_LIST, NO_TARGET, TopLists
from finestrec.stabilizers import Ranker, TwoModels
from finestrec.training.trained import TrainedModel

RBO_P = 0.9
RBO = Measure("RBO", p=RBO_P)
MEASURES = (RBO.name, "FRBO(p=0.9)@10", "Jaccard@10", "Turnover@10")
WHOLE_CATALOGUE = "AverageOverlap@all"
DEPTH_OF_ACCURACY = 10
MAX_ITEMS_FOR_WHOLE_CATALOGUE = 20_000
_FULL_RANKINGS_PER_CHUNK = 1 << 23
_KEPT_RANKINGS = 1 << 27
"""Places of whole rankings that are kept beside the lists, two bytes each, so that a model is asked once."""


@dataclass(frozen=True, eq=False)
class Judged:
    """A ranker and its lists on the test instances.

    Attributes:
        ranker: Kept to ask for whole rankings, where there are none.
        lists: To the depth that RBO(p=0.9) needs.
        whole: All items of each instance, best first, shape (n, N), or None.
    """

    ranker: Ranker
    lists: TopLists
    whole: NDArray[np.uint16] | None = None

    @property
    def depth(self) -> int:
        """Length of the lists."""
        return int(self.lists.items.shape[1])

    @property
    def ranks(self) -> NDArray[np.int64]:
        """Ranks of the targets, shape (n,).

        `BEYOND_THE_LIST` where a list of `DEPTH_OF_ACCURACY` or more lacks the target; shorter lists say too little,
        so it is `NO_TARGET` there.
        """
        ranks = self.lists.target_ranks
        return ranks if self.depth >= DEPTH_OF_ACCURACY else np.where(ranks == BEYOND_THE_LIST, NO_TARGET, ranks)

    def accuracy(self) -> dict[str, float | None]:
        """MRR, Recall@10 and NDCG@10, means over instances with a known target; None where they cannot be had."""
        return {name: None if value is None else float(value.mean()) for name, value in accuracies(self.ranks).items()}


def accuracies(ranks: NDArray[np.integer]) -> dict[str, NDArray[np.float64] | None]:
    """MRR, Recall@10 and NDCG@10 of each instance, or None: all where a target is not known, MRR where one is beyond.

    Args:
        ranks: As of `Judged`, shape (n,).
    """
    if len(ranks) == 0 or (ranks == NO_TARGET).any():
        return {"MRR": None, "Recall@10": None, "NDCG@10": None}
    beyond = ranks == BEYOND_THE_LIST
    far = np.where(beyond, np.iinfo(np.int32).max, ranks)
    return {
        "MRR": None if beyond.any() else reciprocal_rank(ranks),
        "Recall@10": recall(far, DEPTH_OF_ACCURACY),
        "NDCG@10": ndcg(far, DEPTH_OF_ACCURACY),
    }


@dataclass(frozen=True, eq=False)
class ListComparison:
    """How far the lists of two rankers are apart.

    Attributes:
        values: One value an instance, by printed name, each shape (n,); None where it cannot be had.
        notes: Why not.
    """

    values: dict[str, NDArray[np.float64] | None]
    notes: list[str]

    def means(self) -> dict[str, float | None]:
        """Means over instances."""
        return {name: None if value is None else float(value.mean()) for name, value in self.values.items()}


def judge(ranker: Ranker, instances: Instances) -> Judged:
    """Ask a ranker for its lists on the test instances.

    One of ours is asked for whole rankings at once where they are to be compared and fit into memory: to encode the
    histories again would cost more than all else. A stranger, who may have to refuse, is asked for no more than shown.

    Raises:
        DataError: If a stranger lists nothing for anybody.
    """
    n_items = instances.log.n_items
    depth = RBO.depth(n_items)
    fits = n_items <= MAX_ITEMS_FOR_WHOLE_CATALOGUE and len(instances) * n_items <= _KEPT_RANKINGS
    if not (fits and isinstance(ranker, TrainedModel | TwoModels)):
        lists = ranker.rank(instances, depth)
        if len(instances) and (lists.items == NO_ITEM).all():  # two such would be the same
            raise DataError(f"there is nothing to compare: not one of {len(instances):,} lists has an item")
        return Judged(ranker, lists)
    whole = np.empty((len(instances), n_items), dtype=np.uint16)
    lists = TopLists(
        items=np.empty((len(instances), depth), dtype=np.int32),
        target_ranks=np.empty(len(instances), dtype=np.int64),
        scores=np.empty((len(instances), depth), dtype=np.float32),
    )
    for chunk in in_chunks(instances):
        found = ranker.rank(instances.subset(chunk), n_items)
        whole[chunk], lists.items[chunk] = found.items, found.items[:, :depth]
        lists.target_ranks[chunk], lists.scores[chunk] = found.target_ranks, found.scores[:, :depth]
    return Judged(ranker, lists, whole)


def compare_judged(old: Judged, new: Judged, instances: Instances) -> ListComparison:
    """Compare the lists of two rankers, instance by instance.

    What looks deeper than the lists go is None; RBO is then also given at their depth.
    """
    n_items, depth = instances.log.n_items, min(old.depth, new.depth)
    shown = [parse_measure(name) for name in MEASURES]
    deeper = [measure.name for measure in shown if measure.depth(n_items) > depth]
    if RBO.name in deeper:
        shown.insert(1, replace(RBO, k=depth))
    values: dict[str, NDArray[np.float64] | None] = {
        measure.name: None if measure.name in deeper else measure(old.lists.items, new.lists.items) for measure in shown
    }
    if deeper:
        values[WHOLE_CATALOGUE] = None
        sides = [side.accuracy() for side in (old, new) if (side.lists.target_ranks == BEYOND_THE_LIST).any()]
        unknown = dict.fromkeys(name for side in sides for name, value in side.items() if value is None)
        missing = [*deeper, WHOLE_CATALOGUE, *unknown]
        return ListComparison(values, [f"the lists have {depth} items: {', '.join(missing)} look deeper and are null"])
    if n_items > MAX_ITEMS_FOR_WHOLE_CATALOGUE:
        values[WHOLE_CATALOGUE] = None
        return ListComparison(
            values,
            [f"{WHOLE_CATALOGUE} is null: {n_items:,} items, and whole rankings are compared up to 20,000"],
        )
    values[WHOLE_CATALOGUE] = _whole_catalogue(old, new, instances)
    if values[WHOLE_CATALOGUE] is None:
        return ListComparison(values, [f"{WHOLE_CATALOGUE} is null: a list does not rank all {n_items:,} items"])
    return ListComparison(values, [])


def _whole_catalogue(old: Judged, new: Judged, instances: Instances) -> NDArray[np.float64] | None:
    """Average overlap of whole rankings, shape (n,); None if a ranker leaves items out."""
    overlaps = []
    for chunk in in_chunks(instances):
        pair = [_whole(side, instances, chunk) for side in (old, new)]
        if any(items.shape[1] < instances.log.n_items or (items[:, -1] < 0).any() for items in pair):
            return None
        overlaps.append(average_overlap(*pair))
    return np.concatenate(overlaps) if overlaps else np.empty(0)


def _whole(side: Judged, instances: Instances, chunk: slice) -> NDArray[np.int32]:
    if side.whole is not None:
        return side.whole[chunk].astype(np.int32)
    return side.ranker.rank(instances.subset(chunk), instances.log.n_items).items


def in_chunks(instances: Instances) -> list[slice]:
    """Slices of few enough instances that whole rankings of them are small."""
    size = max(1, _FULL_RANKINGS_PER_CHUNK // instances.log.n_items)
    return [slice(begin, begin + size) for begin in range(0, len(instances), size)]
