"""Two comparisons beside one another, paired by instance: methods, and a perturbation beside seed noise."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import polars as pl

from finestrec.errors import DataError
from finestrec.measures.names import parse_measure
from finestrec.stability.findings import Group, LoadTable, bounds, grouped, pairs_of
from finestrec.stability.instances import SIMILARITIES, Quantities, headline
from finestrec.stability.rows import AuditRow, Regime
from finestrec.stability.statistics import BootstrapMeans, Interval, bootstrap_means, holm

BASELINES: Final = ("retrain", "warm_start")
"""What other methods of the same regime are compared with."""


@dataclass(frozen=True)
class Difference:
    """A method beside another one of the same regime, on the same perturbed logs, users and seeds.

    Attributes:
        regime: As in the rows.
        perturbation: The SPEC.
        method: The one.
        baseline: The other.
        seeds: How many rows of each.
        measures: For each measure, and for NDCG@10 of the new sides: mean, lower and upper of the one's value minus the
            other's, p of no difference, and p_corrected (Holm) for the number of `comparisons` of that measure.
        ndcg_change: NDCG@10 of the one's new side relative to the other's, with its 95% interval.
        comparisons: How many differences of one measure the audit has.
    """

    regime: Regime
    perturbation: str
    method: str
    baseline: str
    seeds: int
    measures: dict[str, dict[str, float]]
    ndcg_change: Interval | None
    comparisons: int


def differences(groups: dict[Group, list[AuditRow]], load: LoadTable) -> list[Difference]:
    """Each method beside each baseline of its regime, for each perturbation, p-values corrected by measure."""
    found = list(_differences(groups, load))
    for name in {name for each in found for name in each.measures}:
        having = [each.measures[name] for each in found if name in each.measures]
        for values, p in zip(having, holm([values["p"] for values in having]), strict=True):
            values["p_corrected"] = float(p)
    return [replace(each, comparisons=len(found)) for each in found]


def _differences(groups: dict[Group, list[AuditRow]], load: LoadTable) -> Iterator[Difference]:
    for (regime, method, perturbation), rows in groups.items():
        if perturbation is None or regime == "floor" or rows[0].other_seed is not None:
            continue
        for baseline in BASELINES:
            others = {row.seed: row for row in groups.get((regime, baseline, perturbation), [])}
            both = [(row, others[row.seed]) for row in rows if row.seed in others]
            if both and method not in BASELINES[: BASELINES.index(baseline) + 1]:
                yield _difference(regime, perturbation, method, baseline, [(load(a), load(b)) for a, b in both])


def _difference(
    regime: Regime, perturbation: str, method: str, baseline: str, tables: Sequence[tuple[pl.DataFrame, pl.DataFrame]]
) -> Difference:
    one, other = (Quantities([headline(pair[side]) for pair in tables]) for side in (0, 1))
    for a, b in zip(one.tables, other.tables, strict=True):
        if not a["interaction_id"].equals(b["interaction_id"]):
            raise DataError(f"{method} and {baseline} were judged on different test instances and cannot be compared")
    names = [name for name in one.names if name in other.names and not name.startswith(("old ", "gained "))]
    at = [[side.names.index(name) for name in names] for side in (one, other)]
    # Last the baseline's NDCG@10, which the change is relative to.
    values = [a[:, at[0]] - b[:, at[1]] for a, b in zip(one.values, other.values, strict=True)]
    if "NDCG@10" in names:
        base = other.names.index("NDCG@10")
        values = [np.column_stack([v, b[:, base]]) for v, b in zip(values, other.values, strict=True)]
    means = bootstrap_means(values, one.users)
    has_hits = "NDCG@10" in names and means.means[0, -1] > 0
    return Difference(
        regime=regime,
        perturbation=perturbation,
        method=method,
        baseline=baseline,
        seeds=len(tables),
        measures={
            name: _with_p(means, column) for column, name in enumerate(names) if name not in {"MRR", "Recall@10"}
        },
        ndcg_change=means.ratio(names.index("NDCG@10"), len(names)) if has_hits else None,
        comparisons=0,
    )


def excess_over_seed_noise(rows: Sequence[AuditRow], load: LoadTable) -> list[dict[str, Any]]:
    """Mean over seeds s != t of sim(D_s, D_t) - sim(D_s, D'_t), for each perturbation; needs a second seed.

    Of a night, whose D' is the training log, noise is that of D': floors are of the training log, and so this is
    sim(D'_s, D'_t) - sim(D_s, D'_t).

    For measures of change, sim is 1 - change, so that more than seed noise is positive throughout. It is paired: each
    instance with itself, so that instances of erased users or targets are on neither side.

    Not to be subtracted from the coupled change or added to it: they answer different questions.
    """
    noise = {frozenset((row.seed, row.other_seed)): row for row in rows if row.method == "other_seed"}
    found = []
    for (regime, _, perturbation), group in grouped(rows).items():
        if regime == "floor" or perturbation is None or group[0].other_seed is None:
            continue
        quantities = Quantities([headline(load(row)) for row in group])
        floors = Quantities(
            [
                _only(load(noise[frozenset((row.seed, row.other_seed))]), kept["interaction_id"])
                for row, kept in zip(group, quantities.tables, strict=True)
            ]
        )
        names = [name for name in SIMILARITIES if name in quantities.names and name in floors.names]
        values = []
        for a, b in zip(quantities.values, floors.values, strict=True):
            columns = [
                (b[:, floors.names.index(name)] - a[:, quantities.names.index(name)])
                * (-1 if parse_measure(name).is_change else 1)
                for name in names
            ]
            values.append(np.stack(columns, axis=1))
        means = bootstrap_means(values, quantities.users, pairs=pairs_of(group))
        intervals = {name: means.interval(column) for column, name in enumerate(names)}
        found.append(
            {
                "perturbation": perturbation,
                "pairs": len(group),
                "measures": {name: intervals[name]["mean"] if name in names else None for name in SIMILARITIES},
                "intervals": {name: bounds(interval) for name, interval in intervals.items()},
            }
        )
    return found


def _only(table: pl.DataFrame, interaction_ids: pl.Series) -> pl.DataFrame:
    return table.filter(pl.col("interaction_id").is_in(interaction_ids.implode()))


def _with_p(means: BootstrapMeans, column: int) -> dict[str, float]:
    found = means.interval(column)
    return {
        "mean": found["mean"],
        "lower": found["lower"],
        "upper": found["upper"],
        "p": means.p_value(column),
    }
