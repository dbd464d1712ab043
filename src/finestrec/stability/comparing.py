"""Two rankers on the same test instances: how far their lists are apart, and how accurate each is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finestrec.data.sequences import Instances
from finestrec.measures.accuracy import ndcg, recall, reciprocal_rank
from finestrec.measures.names import parse_measure
from finestrec.measures.overlap import average_overlap, rbo_depth
from finestrec.ranking import TopLists
from finestrec.stabilizers import Ranker

RBO_P = 0.9
MEASURES = ("RBO(p=0.9)", "FRBO(p=0.9)@10", "Jaccard@10", "Turnover@10")
WHOLE_CATALOGUE = "AverageOverlap@all"
MAX_ITEMS_FOR_WHOLE_CATALOGUE = 20_000
_FULL_RANKINGS_PER_CHUNK = 1 << 23


@dataclass(frozen=True, eq=False)
class Judged:
    """A ranker and its lists on the test instances.

    Attributes:
        ranker: Kept to ask for whole rankings.
        lists: To the depth that RBO(p=0.9) needs.
    """

    ranker: Ranker
    lists: TopLists

    def accuracy(self) -> dict[str, float | None]:
        """MRR, Recall@10 and NDCG@10, means over instances with a known target; None without any."""
        ranks = self.lists.target_ranks
        if len(ranks) == 0 or not ranks.all():
            return {"MRR": None, "Recall@10": None, "NDCG@10": None}
        return {
            "MRR": float(reciprocal_rank(ranks).mean()),
            "Recall@10": float(recall(ranks, 10).mean()),
            "NDCG@10": float(ndcg(ranks, 10).mean()),
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
    """Ask a ranker for its lists on the test instances."""
    return Judged(ranker, ranker.rank(instances, rbo_depth(RBO_P, instances.log.n_items)))


def compare(old: Judged, new: Judged, instances: Instances) -> ListComparison:
    """Compare the lists of two rankers, instance by instance."""
    values: dict[str, NDArray[np.float64] | None] = {
        name: parse_measure(name)(old.lists.items, new.lists.items) for name in MEASURES
    }
    n_items = instances.log.n_items
    if n_items > MAX_ITEMS_FOR_WHOLE_CATALOGUE:
        values[WHOLE_CATALOGUE] = None
        return ListComparison(
            values,
            [f"{WHOLE_CATALOGUE} is null: {n_items:,} items, and whole rankings are compared up to 20,000"],
        )
    values[WHOLE_CATALOGUE] = _whole_catalogue(old.ranker, new.ranker, instances)
    if values[WHOLE_CATALOGUE] is None:
        return ListComparison(values, [f"{WHOLE_CATALOGUE} is null: a list does not rank all {n_items:,} items"])
    return ListComparison(values, [])


def _whole_catalogue(old: Ranker, new: Ranker, instances: Instances) -> NDArray[np.float64] | None:
    """Average overlap of whole rankings, shape (n,); None if a ranker leaves items out."""
    n_items = instances.log.n_items
    chunk = max(1, _FULL_RANKINGS_PER_CHUNK // n_items)
    parts = [instances.subset(slice(begin, begin + chunk)) for begin in range(0, len(instances), chunk)]
    overlaps = []
    for part in parts:
        pair = [ranker.rank(part, n_items).items for ranker in (old, new)]
        if any(items.shape[1] < n_items or (items[:, -1] < 0).any() for items in pair):
            return None
        overlaps.append(average_overlap(*pair))
    return np.concatenate(overlaps) if overlaps else np.empty(0)
