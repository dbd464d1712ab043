"""Two files of lists, yesterday's and today's: what moved, for whom, and at which accuracy.

Measured for each user who has a list on both sides, and averaged over users (`finestrec.measures.names` has the
definitions; k is a depth that was asked for)::

    RBO(p=0.9)@k   FRBO(p=0.9)@k   Jaccard@k            how alike the lists are
    Turnover@k     Top1Change                           the share of items, or of first items, that changed
    RankDisplacement@k                                  places by which items moved that both lists have
    TopOut@k                                            places by which yesterday's first item fell
    RetiredTurnover@k   MovedTurnover@k                 Turnover that today's catalogue explains, and the rest
    NewTurnover@k                                       the share of places that items new to the catalogue took
    Recall@k   NDCG@k   MRR@k                           accuracy of NEW on held-out interactions; old(...) of OLD,
                                                        change(...) the relative change
    NegativeFlips@k   PositiveFlips@k                   users who had a hit and lost it, or had none and got one
    LostUsers                                           the share of OLD's users who have no list in NEW

RankDisplacement is a mean over users of whom an item was kept; accuracy and flips are over users with held-out
interactions. Intervals are percentile bootstraps over users (`finestrec.stability.statistics`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finestrec.data.log import NO_ITEM
from finestrec.data.tables import open_source
from finestrec.data.usertables import read_user_table
from finestrec.errors import OptionError
from finestrec.measures.movement import ranks_in
from finestrec.measures.names import Measure, MeasureKind
from finestrec.measures.relevance import mrr_at, ndcg_at, recall_at
from finestrec.stability.groups import user_slices
from finestrec.stability.pairing import Pairs, Truth, paired, read_item_set
from finestrec.stability.statistics import bootstrap_means

if TYPE_CHECKING:
    from finestrec.data.tables import Source

SCHEMA = 1
P = 0.9
SHOWN = 20
"""Items and users that the summary names of each kind."""
LOST_USERS = "LostUsers"
ACCURACY = {"Recall": recall_at, "NDCG": ndcg_at, "MRR": mrr_at}
_KINDS: tuple[MeasureKind, ...] = ("RBO", "FRBO", "Jaccard", "Turnover", "RankDisplacement", "TopOut")

Values = dict[str, NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Comparison:
    """What a comparison found.

    Attributes:
        summary: JSON's terms: `sources`, `k`, `users`, `items`, `notes`, and `rows`, the first over all users and
            one for each slice (`column` and `value`), with `users`, and by name `measures`, `lower`, `upper` and
            `known` (users with a value).
        users: One line a user of either side: user_id, side (both, old, new), a column a measure, a column
            "slice:..." a property.
        items: One line an item of either side: item_id, lists that have it (old, new), how many it left and entered.
        pairs: The lists themselves; None where the comparison was read back from a folder.
    """

    summary: dict[str, Any]
    users: pl.DataFrame
    items: pl.DataFrame
    pairs: Pairs | None = None

    @property
    def names(self) -> list[str]:
        """Everything that a gate can ask for."""
        return list(self.summary["rows"][0]["measures"])

    def row(self, part: tuple[str, str] | None = None) -> dict[str, Any]:
        """The means over all users, or over a slice.

        Args:
            part: Column and value.

        Raises:
            OptionError: If there is no such slice; lists those there are.
        """
        rows: list[dict[str, Any]] = self.summary["rows"]
        for row in rows:
            if (row["column"], row["value"]) == (part or (None, None)):
                return row
        assert part is not None  # the row of all users is always there
        columns: dict[str, list[str]] = {}
        for row in rows[1:]:
            columns.setdefault(row["column"], []).append(row["value"])
        if part[0] not in columns:
            known = f"there are {', '.join(columns)}" if columns else "there are none; give --users FILE"
            raise OptionError(f"there are no slices by {part[0]!r}; {known}")
        raise OptionError(f"no user with {part[0]} {part[1]!r} was compared; there are {', '.join(columns[part[0]])}")


def measure_names(k: Sequence[int], *, truth: bool, catalogue: bool, old_catalogue: bool) -> list[str]:
    """What a comparison with these inputs measures, before any is read."""
    names = []
    for depth in k:
        names += [_measure(kind, depth).name for kind in _KINDS]
        names += [f"RetiredTurnover@{depth}", f"MovedTurnover@{depth}"] if catalogue else []
        names += [f"NewTurnover@{depth}"] if old_catalogue else []
    names.append("Top1Change")
    for depth in k if truth else ():
        for name in ACCURACY:
            names += [f"{name}@{depth}", f"old({name}@{depth})", f"change({name}@{depth})"]
        names += [f"NegativeFlips@{depth}", f"PositiveFlips@{depth}"]
    return [*names, LOST_USERS]


def compare(
    old: "Source",
    new: "Source",
    *,
    k: int | Sequence[int] = 10,
    truth: "Source | None" = None,
    users: "Source | None" = None,
    catalogue: "Source | None" = None,
    old_catalogue: "Source | None" = None,
    seed: int = 0,
) -> Comparison:
    """Compare yesterday's lists with today's.

    Args:
        old: Yesterday's: a Parquet, csv or tsv file or a data frame of user_id, item_id and rank or score; see
            `finestrec.data.userlists` for what else is understood.
        new: Today's.
        k: Depths, 1 or more; lists are read to the largest. Items that entered and left are counted at the first.
        truth: Held-out interactions, user_id and item_id: adds accuracy and flips.
        users: One row a user: user_id, and columns to slice by.
        catalogue: item_id of today's catalogue: what left and is not in it was retired.
        old_catalogue: item_id of yesterday's catalogue: what entered and is not in it is new.
        seed: Of the resampling.

    Returns:
        Means with intervals, over all users and in slices, and a value for each user.

    Raises:
        DataError: If a file is not usable, or the sides have no user in common.
        OptionError: If k is none.
    """
    depths = checked_depths(k)
    given = {
        "OLD": old,
        "NEW": new,
        "truth": truth,
        "users": users,
        "catalogue": catalogue,
        "old catalogue": old_catalogue,
    }
    tables = {label: None if source is None else open_source(source, label) for label, source in given.items()}
    before, after = tables["OLD"], tables["NEW"]
    assert before is not None
    assert after is not None
    pairs = paired(before, after, max(depths))
    slices, notes = pl.DataFrame(), list[str]()
    if tables["users"]:
        slices, notes = user_slices(
            read_user_table(tables["users"]), pairs.users, is_text=pairs.is_text, owner="the lists"
        )
    held_out = Truth.read(tables["truth"], pairs) if tables["truth"] else None
    stock = {side: read_item_set(table, pairs) for side in ("catalogue", "old catalogue") if (table := tables[side])}
    values, items = _measured(pairs, depths, stock.get("catalogue"), stock.get("old catalogue"))
    if held_out is not None:
        values |= _accuracy(pairs, held_out, depths)
    summary = {
        "schema": SCHEMA,
        "kind": "comparison",
        "sources": {name: table.source for name, table in tables.items() if table},
        "k": depths,
        "users": _user_counts(pairs, held_out),
        "items": _item_summary(items, depths[0]),
        "notes": [*pairs.notes, *notes, *_catalogue_notes(items)],
        "rows": _rows(values, slices, pairs, seed),
    }
    return Comparison(summary, _user_frame(pairs, values, slices), items, pairs)


def checked_depths(k: int | Sequence[int]) -> list[int]:
    """Depths as a list.

    Raises:
        OptionError: If there is none, one twice, or one below 1.
    """
    depths = [k] if isinstance(k, int) else list(k)
    if not depths or min(depths) < 1 or len(set(depths)) < len(depths):
        raise OptionError(f"k is {', '.join(map(str, depths)) or 'nothing'}; expected different numbers from 1")
    return depths


def _measure(kind: MeasureKind, k: int) -> Measure:
    return Measure(kind, p=P if kind in {"RBO", "FRBO"} else None, k=k)


def _measured(
    pairs: Pairs, depths: Sequence[int], catalogue: NDArray[np.bool_] | None, old_catalogue: NDArray[np.bool_] | None
) -> tuple[Values, pl.DataFrame]:
    """Every list measure of every user, and how each item fared at the first depth."""
    measures = [_measure(kind, k) for k in depths for kind in _KINDS] + [Measure("Top1Change")]
    values = {measure.name: np.empty(len(pairs.users)) for measure in measures}
    turned = [f"RetiredTurnover@{k}" for k in depths if catalogue is not None]
    turned += [f"NewTurnover@{k}" for k in depths if old_catalogue is not None]
    values |= {name: np.empty(len(pairs.users)) for name in turned}
    n_items = len(pairs.vocabulary)
    counts = {name: np.zeros(n_items, dtype=np.int64) for name in ("old", "new", "left", "entered")}
    for part, a, b in pairs.chunks():
        for measure in measures:
            values[measure.name][part] = measure(a, b)
        for k in depths:
            before, after = a[:, :k], b[:, :k]
            left = np.where(ranks_in(before, after) == 0, before, NO_ITEM)
            entered = np.where(ranks_in(after, before) == 0, after, NO_ITEM)
            places = np.maximum(np.maximum((before >= 0).sum(axis=1), (after >= 0).sum(axis=1)), 1)
            if catalogue is not None:
                values[f"RetiredTurnover@{k}"][part] = _share(left, ~catalogue, places)
            if old_catalogue is not None:
                values[f"NewTurnover@{k}"][part] = _share(entered, ~old_catalogue, places)
            if k == depths[0]:
                for name, lists in zip(counts, (before, after, left, entered), strict=True):
                    counts[name] += np.bincount(lists[lists >= 0], minlength=n_items)
    if catalogue is not None:
        for k in depths:
            values[f"MovedTurnover@{k}"] = values[f"Turnover@{k}"] - values[f"RetiredTurnover@{k}"]
    items = pl.DataFrame({"item_id": pairs.vocabulary, **counts})
    known = {"in_catalogue": catalogue, "in_old_catalogue": old_catalogue}
    return values, items.with_columns(pl.Series(name, flags) for name, flags in known.items() if flags is not None)


def _share(lists: NDArray[np.int32], flags: NDArray[np.bool_], places: NDArray[np.integer]) -> NDArray[np.float64]:
    """The share of places whose item is flagged; -1 never is."""
    share: NDArray[np.float64] = np.append(flags, False)[lists].sum(axis=1) / places
    return share


def _accuracy(pairs: Pairs, truth: Truth, depths: Sequence[int]) -> Values:
    sides = {"old({})": truth.ranks(pairs.old), "{}": truth.ranks(pairs.new)}
    values: Values = {}
    for k in depths:
        for name, function in ACCURACY.items():
            for form, ranks in sides.items():
                values[form.format(f"{name}@{k}")] = function(truth.owners, ranks, truth.relevant, k)
        before, after = values[f"old(Recall@{k})"], values[f"Recall@{k}"]
        unknown = np.isnan(before)
        values[f"NegativeFlips@{k}"] = np.where(unknown, np.nan, (before > 0) & (after == 0))
        values[f"PositiveFlips@{k}"] = np.where(unknown, np.nan, (before == 0) & (after > 0))
    return values


def _rows(values: Values, slices: pl.DataFrame, pairs: Pairs, seed: int) -> list[dict[str, Any]]:
    everyone = np.arange(len(pairs.users))
    rows = [_row((None, None), values, everyone, seed)]
    n_old = len(pairs.users) + len(pairs.only_old)
    for key, value in (("measures", len(pairs.only_old) / n_old), ("lower", None), ("upper", None), ("known", n_old)):
        rows[0][key][LOST_USERS] = value
    for column in slices.columns:
        for value in slices[column].unique().sort():
            here = (slices[column] == value).arg_true().to_numpy()
            rows.append(_row((column, value), values, here, seed))
    return rows


def _row(part: tuple[str | None, str | None], values: Values, users: NDArray[np.integer], seed: int) -> dict[str, Any]:
    """Means and intervals over some users; None where no user has a value."""
    table = np.stack([column[users] for column in values.values()], axis=1)
    known = ~np.isnan(table)
    counts = known.sum(axis=0)
    # A mean over users with a value is a ratio of two means over all, and is resampled as such.
    partial = np.flatnonzero(counts < len(users))
    columns = np.concatenate([np.where(known, table, 0.0), known[:, partial]], axis=1)
    found = bootstrap_means([columns], [users.astype(np.int64)], seed=seed)
    row: dict[str, Any] = {"column": part[0], "value": part[1], "users": len(users)}
    row |= {"measures": {}, "lower": {}, "upper": {}, "known": {}}

    def note(name: str, interval: Any, count: int) -> None:
        for key, inner in (("measures", "mean"), ("lower", "lower"), ("upper", "upper")):
            row[key][name] = None if interval is None else interval[inner]
        row["known"][name] = count

    names = list(values)
    for at, name in enumerate(names):
        interval = None
        if counts[at] == len(users):
            interval = found.interval(at)
        elif counts[at]:
            interval = found.ratio(at, len(names) + int(np.searchsorted(partial, at)))
        note(name, interval, int(counts[at]))
    for name in names:
        if f"old({name})" in values:
            at, baseline = names.index(name), names.index(f"old({name})")
            ratio = found.ratio(at, baseline) if found.means[0, baseline] > 0 else None
            change = None if ratio is None else {key: value - 1 for key, value in ratio.items()}  # type: ignore[operator]
            note(f"change({name})", change, int(counts[at]))
    return row


def _user_counts(pairs: Pairs, truth: Truth | None) -> dict[str, Any]:
    counts: dict[str, Any] = {
        "both": len(pairs.users),
        "only_old": len(pairs.only_old),
        "only_new": len(pairs.only_new),
        "only_old_examples": pairs.only_old.head(SHOWN).to_list(),
        "only_new_examples": pairs.only_new.head(SHOWN).to_list(),
    }
    if truth is not None:
        counts["with_truth"] = int((truth.relevant > 0).sum())
        counts["truth_without_lists"] = truth.strangers
    return counts


def _item_summary(items: pl.DataFrame, k: int) -> dict[str, Any]:
    """Items that left and entered most; more moves first, then by id."""
    summary: dict[str, Any] = {
        "k": k,
        "left": int(items["left"].sum()),
        "entered": int(items["entered"].sum()),
    }
    if "in_catalogue" in items:
        summary["left_retired"] = int(items.filter(~pl.col("in_catalogue"))["left"].sum())
    if "in_old_catalogue" in items:
        summary["entered_new"] = int(items.filter(~pl.col("in_old_catalogue"))["entered"].sum())
    for name in ("left", "entered"):
        most = items.filter(pl.col(name) > 0).sort(name, "item_id", descending=[True, False]).head(SHOWN)
        summary[f"most_{name}"] = most.to_dicts()
    return summary


def _catalogue_notes(items: pl.DataFrame) -> list[str]:
    notes = []
    for column, lists, side in (("in_catalogue", "new", "NEW"), ("in_old_catalogue", "old", "OLD")):
        if column in items:
            strays = items.filter(~pl.col(column) & (pl.col(lists) > 0))
            if len(strays):
                notes.append(
                    f"{side} lists {len(strays):,} items that are not in its catalogue, {strays[lists].sum():,} times"
                )
    return notes


def _user_frame(pairs: Pairs, values: Values, slices: pl.DataFrame) -> pl.DataFrame:
    both = pl.DataFrame({"user_id": pairs.users, "side": pl.repeat("both", len(pairs.users), eager=True), **values})
    both = both.with_columns(slices[name].cast(pl.String).alias(f"slice:{name}") for name in slices.columns)
    # A user without held-out interactions has no accuracy: null, and never NaN.
    both = both.with_columns(pl.col(name).fill_nan(None) for name in values)
    alone = [
        pl.DataFrame({"user_id": users, "side": pl.repeat(side, len(users), eager=True)})
        for side, users in (("old", pairs.only_old), ("new", pairs.only_new))
    ]
    return pl.concat([both, *alone], how="diagonal")
