"""Rows that differ in the seed only, taken together: means with intervals, and slices."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final

import numpy as np
import polars as pl
from scipy import stats

from finestrec.stability.instances import (
    ACCURACIES,
    SIMILARITIES,
    USER_TABLE_NEEDS,
    Quantities,
    headline,
    slice_names,
    user_table,
)
from finestrec.stability.rows import AuditRow, Bounds, LogChange, Regime
from finestrec.stability.slices import TOUCH
from finestrec.stability.statistics import Interval

EQUAL_ACCURACY_MARGIN: Final = 0.01
"""Accuracy is equal when the lower 95% bound of the relative change in NDCG@10 is above minus this."""
SERVED_BY: Final = "RBO(p=0.9)"
LoadTable = Callable[[AuditRow], pl.DataFrame]
"""The table of a row's instances."""


def equally_accurate(ndcg_change: Interval | None) -> bool | None:
    """Whether a relative change of NDCG@10 is within the margin; None without targets."""
    return None if ndcg_change is None else ndcg_change["lower"] > -EQUAL_ACCURACY_MARGIN


@dataclass(frozen=True)
class Finding:
    """Rows that differ in the seed only.

    Attributes:
        regime: As in the rows.
        method: As in the rows; rows that change seed and log at once are of the method "retrain, other seed".
        perturbation: As in the rows.
        seeds: How many rows.
        n_users: Users with instances.
        measures: Means over all instances of all rows, None where any row has none; accuracy of the new side among
            them.
        intervals: 95% bounds of `measures`, users and seeds resampled together.
        ndcg_change: Relative change of NDCG@10 over all rows, with its 95% interval.
        seconds: Mean over the rows.
        log_change: What the perturbation did to the training log, mean over the rows; None without one.
        touch: For the groups of `change_slices`, as far as there are any: users, instances, and `measures`
            with their intervals. None without a perturbation.
        served: Spearman's rank correlation between a user's MRR in the incumbent's lists and the user's
            RBO(p=0.9): rho, p and the number of users. Above 0, badly served users have unstable lists. None where
            it is not defined.
    """

    regime: Regime
    method: str
    perturbation: str | None
    seeds: int
    n_users: int
    measures: dict[str, float | None]
    intervals: dict[str, Bounds]
    ndcg_change: Interval | None
    seconds: float
    log_change: LogChange | None = None
    touch: dict[str, dict[str, Any]] | None = None
    served: dict[str, float] | None = None

    @property
    def equally_accurate(self) -> bool | None:
        """Whether accuracy is equal to the reference side's within the margin; None without targets."""
        return equally_accurate(self.ndcg_change)


Group = tuple[Regime, str, str | None]


def grouped(rows: Sequence[AuditRow]) -> dict[Group, list[AuditRow]]:
    """Rows by regime, method and perturbation, coupled changes first."""
    groups: dict[Group, list[AuditRow]] = {}
    for row in sorted(rows, key=lambda row: row.other_seed is not None):
        both = row.regime != "floor" and row.other_seed is not None
        method = f"{row.method}, other seed" if both else row.method
        groups.setdefault((row.regime, method, row.perturbation), []).append(row)
    return groups


def finding(group: Group, rows: Sequence[AuditRow], load: LoadTable) -> tuple[Finding, pl.DataFrame]:
    """A group of rows taken together, and its slices.

    Args:
        group: Its key.
        rows: Its rows.
        load: Gives the table of each.

    Returns:
        The finding; and one line a slice, group of it and measure: mean, lower and upper, users and instances. Slices
        of a single group are left out.
    """
    whole = [load(row) for row in rows]
    kept = [headline(table) for table in whole]
    quantities, pairs = Quantities(kept), pairs_of(rows)
    means = quantities.means(pairs)
    found = quantities.intervals(means)
    touch = _sliced(Quantities(whole), TOUCH, pairs) if group[2] is not None and TOUCH in whole[0].columns else None
    others = [name for name in slice_names(kept[0]) if name != TOUCH]
    slices = {name: _sliced(quantities, name, pairs) for name in others} | ({} if touch is None else {TOUCH: touch})
    shown = (*SIMILARITIES, *ACCURACIES)
    regime, method, perturbation = group
    return Finding(
        regime=regime,
        method=method,
        perturbation=perturbation,
        seeds=len(rows),
        n_users=pl.concat([table["user_id"] for table in kept]).n_unique(),
        measures={name: found[name]["mean"] if name in found else None for name in shown},
        intervals={name: bounds(found[name]) for name in shown if name in found},
        ndcg_change=quantities.ndcg_change(means),
        seconds=fmean(row.seconds for row in rows),
        log_change=_mean_change(rows),
        touch=touch,
        served=_served(kept),
    ), _lines(group, slices)


def pairs_of(rows: Sequence[AuditRow]) -> list[tuple[int, int]] | None:
    """The two seeds of each row, where rows are of two."""
    pairs = [(row.seed, row.other_seed) for row in rows if row.other_seed is not None]
    return pairs or None


def bounds(interval: Interval) -> Bounds:
    """Without the mean."""
    return {"lower": interval["lower"], "upper": interval["upper"]}


def _mean_change(rows: Sequence[AuditRow]) -> LogChange | None:
    changes = [row.log_change for row in rows if row.log_change is not None]
    return {key: fmean(change[key] for change in changes) for key in changes[0]} if changes else None


def _sliced(quantities: Quantities, name: str, pairs: Sequence[tuple[int, int]] | None) -> dict[str, dict[str, Any]]:
    labels, means = quantities.sliced(name, pairs)
    found = pl.concat([table.select("user_id", name) for table in quantities.tables])
    result: dict[str, dict[str, Any]] = {}
    for number, label in enumerate(labels):
        users = found.filter(pl.col(name) == label)["user_id"]
        result[label] = {
            "users": users.n_unique(),
            "instances": len(users),
            "measures": quantities.intervals(means, number),
        }
    return result


def _lines(group: Group, slices: dict[str, dict[str, dict[str, Any]]]) -> pl.DataFrame:
    regime, method, perturbation = group
    schema: dict[str, type[pl.DataType]] = {
        "regime": pl.String,
        "method": pl.String,
        "perturbation": pl.String,
        "slice": pl.String,
    }
    schema |= {"group": pl.String, "users": pl.Int64, "instances": pl.Int64, "measure": pl.String}
    schema |= {"mean": pl.Float64, "lower": pl.Float64, "upper": pl.Float64}
    lines = [
        (regime, method, perturbation, name, label, of["users"], of["instances"], measure, *interval.values())
        for name, groups in slices.items()
        if len(groups) > 1
        for label, of in groups.items()
        for measure, interval in of["measures"].items()
    ]
    return pl.DataFrame(lines, schema=schema, orient="row")


def _served(tables: Sequence[pl.DataFrame]) -> dict[str, float] | None:
    if any(table[SERVED_BY].null_count() or (table["old_rank"] <= 0).any() for table in tables):
        return None
    users = user_table(pl.concat([table.select(USER_TABLE_NEEDS) for table in tables]))
    stable, served = users[SERVED_BY].to_numpy(), users["old_MRR"].to_numpy()
    if len(users) < 3 or np.ptp(stable) == 0 or np.ptp(served) == 0:
        return None
    found = stats.spearmanr(served, stable)
    return {"rho": float(found.statistic), "p": float(found.pvalue), "users": len(users)}
