"""The table of a comparison, one line a test instance, and what a row says of it.

Columns of the table::

    user_id interaction_id                  raw user id; the test interaction
    RBO(p=0.9) FRBO(p=0.9)@10 ...           one a list similarity, null throughout where it cannot be had
    RBO(p=0.9)@10                           where the lists of both sides end at ten
    old_rank new_rank                       of the target, in the lists of either side; 0 unknown, -1 beyond the list
    old_items new_items                     the first ten, raw item ids
    activity recency popularity target_rank user_ndcg touch erased_item_listed ...      slices
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finestrec.data.identifiers import index_ids
from finestrec.data.log import InteractionLog
from finestrec.data.sequences import Instances
from finestrec.data.userlists import raw_lists
from finestrec.errors import DataError
from finestrec.stability.comparing import (
    MEASURES,
    RBO,
    WHOLE_CATALOGUE,
    Judged,
    ListComparison,
    accuracies,
    compare_judged,
)
from finestrec.stability.slices import APART, COLUMNS, TOUCH, accuracy_slices, change_slices
from finestrec.stability.statistics import BootstrapMeans, Interval, bootstrap_means

SHOWN_RANKS: Final = 10
SIMILARITIES: Final = (*MEASURES, WHOLE_CATALOGUE)
ACCURACIES: Final = ("MRR", "Recall@10", "NDCG@10")
USER_TABLE_NEEDS: Final = ("user_id", *SIMILARITIES, "old_rank", "new_rank")
_QUANTILES: Final = tuple(range(10, 100, 10))


def instance_table(
    old: Judged, new: Judged, comparison: ListComparison, test: Instances, slices: pl.DataFrame | None = None
) -> pl.DataFrame:
    """The table of a comparison.

    Args:
        old: The reference side.
        new: The other side.
        comparison: Of their lists.
        test: The instances of both.
        slices: Columns of groups, one line an instance.
    """
    vocabulary = test.log.vocabulary
    columns: dict[str, Any] = {"user_id": vocabulary.users.gather(test.users), "interaction_id": test.ids}
    for name, values in comparison.values.items():
        columns[name] = pl.Series(values, dtype=pl.Float64)
        if values is None:
            columns[name] = pl.repeat(None, len(test), dtype=pl.Float64, eager=True)
    for side, judged in (("old", old), ("new", new)):
        columns[f"{side}_rank"] = judged.ranks.astype(np.int32)
    for side, judged in (("old", old), ("new", new)):
        columns[f"{side}_items"] = raw_lists(judged.lists.items[:, :SHOWN_RANKS], vocabulary.items)
    table = pl.DataFrame(columns)
    return table if slices is None else table.hstack(slices)


def compared(
    old: Judged,
    new: Judged,
    test: Instances,
    before: InteractionLog,
    after: InteractionLog,
    slices: pl.DataFrame | None = None,
    withdrawn: NDArray[np.bool_] | None = None,
) -> tuple[dict[str, Any], pl.DataFrame]:
    """Compare two sides: what a row says of it, see `row_values`, with notes; and the table.

    Args:
        old: The reference side.
        new: The other side.
        test: The instances of both.
        before: The unperturbed training log.
        after: The training log of the new side.
        slices: Groups of the instances that need no lists, one line an instance.
        withdrawn: Items that the new side no longer offers, shape (N,); none by default.

    Raises:
        DataError: If no instance is left for the headline.
    """
    comparison = compare_judged(old, new, test)
    columns = change_slices(before, after, test, old.lists.items, withdrawn)
    if (old.lists.target_ranks > 0).all():
        columns = accuracy_slices(old.lists.target_ranks, test.users).hstack(columns)
    if slices is not None:
        columns = slices.hstack(columns)
    table = instance_table(old, new, comparison, test, columns)
    return {**row_values(table), "notes": comparison.notes}, table


def slice_names(table: pl.DataFrame) -> list[str]:
    """The columns of a table that are slices."""
    return [name for name in table.columns if name not in {*COLUMNS, *similarity_names(table)}]


def similarity_names(table: pl.DataFrame) -> list[str]:
    """The columns of a table that are similarities; RBO at a depth among them where lists are short."""
    return [*SIMILARITIES, *(name for name in table.columns if name.startswith(f"{RBO.name}@"))]


def headline(table: pl.DataFrame) -> pl.DataFrame:
    """Without the instances of erased users, who have no lists any more that could hold, and of erased targets."""
    return table if TOUCH not in table.columns else table.filter(~pl.col(TOUCH).cast(pl.String).is_in(APART))


class Quantities:
    """Numbers of the instances of several tables, one a seed, and their means with intervals.

    Attributes:
        names: The similarities that all tables have, and accuracy of both sides where all targets are known:
            "NDCG@10" of the new side, "old NDCG@10" of the other, "gained NDCG@10" their difference.
        values: For each table, shape (n, names).
        users: For each table, a number for the user of each instance, the same in all of them, shape (n,).
    """

    def __init__(self, tables: Sequence[pl.DataFrame]) -> None:
        self.tables = tables
        columns = [_quantities(table) for table in tables]
        self.names = [name for name in columns[0] if all(name in each for each in columns)]
        self.values = [np.stack([each[name] for name in self.names], axis=1) for each in columns]
        number, _ = index_ids(pl.concat([table["user_id"] for table in tables]))
        borders = np.cumsum([len(table) for table in tables])[:-1]
        self.users: list[NDArray[np.int64]] = np.split(number.astype(np.int64), borders)

    def means(self, pairs: Sequence[tuple[int, int]] | None = None) -> BootstrapMeans:
        """Of all instances, columns in the order of `names`; for pairs of seeds see `bootstrap_means`."""
        return bootstrap_means(self.values, self.users, pairs=pairs)

    def sliced(self, name: str, pairs: Sequence[tuple[int, int]] | None = None) -> tuple[list[str], BootstrapMeans]:
        """Of the groups of a slice that have instances: their names, and their means."""
        found = pl.concat([table[name] for table in self.tables])
        used = found.unique()
        labels = [label for label in found.dtype.categories if label in used]  # type: ignore[attr-defined]
        group = found.cast(pl.String).replace_strict(labels, range(len(labels)), return_dtype=pl.Int64).to_numpy()
        groups = np.split(group, np.cumsum([len(table) for table in self.tables])[:-1])
        return labels, bootstrap_means(self.values, self.users, groups, len(labels), pairs=pairs)

    def intervals(self, means: BootstrapMeans, group: int = 0) -> dict[str, Interval]:
        """By name; of means of what lies in 0..1, where they lie as well."""
        found = {name: means.interval(column, group) for column, name in enumerate(self.names)}
        return {name: each if name.startswith("gained ") else _in_unit(each) for name, each in found.items()}

    def ndcg_change(self, means: BootstrapMeans) -> Interval | None:
        """Relative change of NDCG@10; None without known targets or without a hit before.

        The gain is resampled and not the new value, so that no change is exactly that.
        """
        if "old NDCG@10" not in self.names or means.means[0, self.names.index("old NDCG@10")] == 0:
            return None
        return means.ratio(self.names.index("gained NDCG@10"), self.names.index("old NDCG@10"))


def _in_unit(found: Interval) -> Interval:
    return {"mean": found["mean"], "lower": max(found["lower"], 0.0), "upper": min(found["upper"], 1.0)}


def _quantities(table: pl.DataFrame) -> dict[str, NDArray[np.float64]]:
    found = {name: table[name].to_numpy() for name in similarity_names(table) if not table[name].null_count()}
    before, after = (accuracies(table[f"{side}_rank"].to_numpy()) for side in ("old", "new"))
    known = [name for name in ACCURACIES if before[name] is not None and after[name] is not None]
    found |= {name: value for name, value in after.items() if name in known and value is not None}
    found |= {f"old {name}": value for name, value in before.items() if name in known and value is not None}
    if "NDCG@10" in known:
        found["gained NDCG@10"] = found["NDCG@10"] - found["old NDCG@10"]
    return found


def row_values(table: pl.DataFrame) -> dict[str, Any]:
    """What an `AuditRow` says of a comparison; nothing of erased users and of erased targets.

    Args:
        table: Of the comparison.

    Raises:
        DataError: If nothing else is left.
    """
    kept = headline(table)
    if not len(kept):
        raise DataError(
            f"each of the {len(table):,} test instances is of an erased user or has a target that was taken down, so"
            " nothing is left to be compared; erase less"
        )
    quantities = Quantities([kept])
    means = quantities.means()
    found: Mapping[str, Interval] = quantities.intervals(means)
    return {
        "n_instances": len(kept),
        "n_users": kept["user_id"].n_unique(),
        "measures": {name: found[name]["mean"] if name in found else None for name in similarity_names(table)},
        "accuracy": {name: found[name]["mean"] if name in found else None for name in ACCURACIES},
        "reference_accuracy": {
            name: found[f"old {name}"]["mean"] if f"old {name}" in found else None for name in ACCURACIES
        },
        "intervals": {
            name: {"lower": found[name]["lower"], "upper": found[name]["upper"]}
            for name in (*similarity_names(table), *ACCURACIES)
            if name in found
        },
        "quantiles": _quantiles(kept),
        "ndcg_change": quantities.ndcg_change(means),
    }


def user_table(table: pl.DataFrame) -> pl.DataFrame:
    """Means of each user's instances: user_id, instances, the similarities, and MRR of either side."""
    return table.group_by("user_id", maintain_order=True).agg(
        pl.len().alias("instances"),
        *(pl.col(name).mean() for name in SIMILARITIES),
        *(
            # Null where a target is not known, or beyond its list.
            pl.when((pl.col(f"{side}_rank") > 0).all()).then((1 / pl.col(f"{side}_rank")).mean()).alias(f"{side}_MRR")
            for side in ("old", "new")
        ),
    )


def _quantiles(table: pl.DataFrame) -> dict[str, dict[str, float]]:
    """Deciles over users of their mean similarity, by linear interpolation; p50 is the median."""
    users = user_table(table)
    return {
        name: {
            f"p{at}": float(value)
            for at, value in zip(_QUANTILES, np.percentile(users[name].to_numpy(), _QUANTILES), strict=True)
        }
        for name in SIMILARITIES
        if not users[name].null_count()
    }
