"""What an audit found, in rows, in a table and in words."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

import polars as pl

from finestrec.measures.names import parse_measure
from finestrec.stability.rows import AuditRow, Regime, rows_to_frame, rows_to_json
from finestrec.stability.statistics import Interval

if TYPE_CHECKING:
    from rich.table import Table

SIMILARITY = ("RBO(p=0.9)", "FRBO(p=0.9)@10", "Jaccard@10")
ACCURACY = ("MRR", "Recall@10", "NDCG@10")
EQUAL_ACCURACY_MARGIN = 0.01
"""Accuracy is equal when the lower 95% bound of the relative change in NDCG@10 is above minus this."""


@dataclass(frozen=True)
class Finding:
    """Rows that differ in the seed only, averaged.

    Attributes:
        measures: Means over the rows, None where any is None; the accuracy of the new side among them.
        ndcg_change: Mean of the relative change of NDCG@10 and of its bounds; users are resampled, seeds are not.
        seeds: How many rows.
    """

    regime: Regime
    method: str
    perturbation: str | None
    measures: dict[str, float | None]
    ndcg_change: Interval | None
    seconds: float
    seeds: int

    @property
    def equally_accurate(self) -> bool | None:
        """Whether accuracy is equal to the reference side's within the margin; None without targets."""
        return None if self.ndcg_change is None else self.ndcg_change["lower"] > -EQUAL_ACCURACY_MARGIN


@dataclass(frozen=True)
class StabilityAudit:
    """The rows of an audit.

    Attributes:
        rows: One a comparison.
    """

    rows: list[AuditRow]

    def to_json(self) -> dict[str, Any]:
        """The document of results.json."""
        return {**rows_to_json(self.rows), "excess_over_seed_noise": self.excess_over_seed_noise()}

    def frame(self) -> pl.DataFrame:
        """One line a row."""
        return rows_to_frame([row.to_json() for row in self.rows])

    def findings(self) -> list[Finding]:
        """Rows averaged over seeds, coupled changes first.

        Rows that change seed and log at once are findings of their own, of the method "retrain, other seed".
        """
        groups: dict[tuple[Regime, str, str | None], list[AuditRow]] = {}
        for row in sorted(self.rows, key=lambda row: row.other_seed is not None):
            both = row.regime != "floor" and row.other_seed is not None
            method = f"{row.method}, other seed" if both else row.method
            groups.setdefault((row.regime, method, row.perturbation), []).append(row)
        return [
            Finding(
                regime=regime,
                method=method,
                perturbation=perturbation,
                measures=_means([{**row.measures, **row.accuracy} for row in rows]),
                ndcg_change=_mean_interval([row.ndcg_change for row in rows]),
                seconds=fmean(row.seconds for row in rows),
                seeds=len(rows),
            )
            for (regime, method, perturbation), rows in groups.items()
        ]

    def excess_over_seed_noise(self) -> list[dict[str, Any]]:
        """Mean over seeds s != t of sim(D_s, D_t) - sim(D_s, D'_t), for each perturbation; needs two seeds.

        For measures of change, sim is 1 - change, so that more than seed noise is positive throughout.

        Not to be subtracted from the coupled change or added to it: they answer different questions.
        """
        floors = {
            frozenset((row.seed, row.other_seed)): row.measures for row in self.rows if row.method == "other_seed"
        }
        differences: dict[str, list[dict[str, float | None]]] = {}
        for row in self.rows:
            if row.other_seed is None or row.regime == "floor" or row.perturbation is None:
                continue
            noise = floors[frozenset((row.seed, row.other_seed))]
            differences.setdefault(row.perturbation, []).append(
                {name: _excess(name, noise[name], value) for name, value in row.measures.items()}
            )
        return [
            {"perturbation": perturbation, "pairs": len(rows), "measures": _means(rows)}
            for perturbation, rows in differences.items()
        ]

    def table(self, regime: Regime, perturbation: str | None = None) -> "Table":
        """A table of one regime for a terminal; with the rows without a perturbation, and the floors."""
        from rich.table import Table

        table = Table(title=f"{regime}: {perturbation}" if perturbation else regime)
        table.add_column("method")
        for name in (*SIMILARITY, *ACCURACY):
            table.add_column(name, justify="right")
        # The floors are those of models of E epochs, which stand in anchored-update only.
        shown = {regime, "floor"} if regime == "anchored-update" else {regime}
        for finding in self.findings():
            if finding.regime not in shown or finding.perturbation not in {perturbation, None}:
                continue
            label = finding.method.replace("_", " ")
            if finding.regime == "floor":
                label = f"floor: {label}"
            elif finding.perturbation is None:
                label += ", nothing deleted" if perturbation and perturbation.startswith("delete") else ", no change"
            table.add_row(label, *(digits(finding.measures[column.header]) for column in table.columns[1:]))  # type: ignore[index]
        return table

    def verdict(self) -> str:
        """The findings in words: what the perturbation did, what another seed does, what each method saves."""
        found = {(f.regime, f.method, f.perturbation): f for f in self.findings()}
        sentences = []
        for perturbation in dict.fromkeys(row.perturbation for row in self.rows if row.perturbation):
            here = {
                method: finding
                for (regime, method, spec), finding in found.items()
                if regime == "anchored-update" and spec == perturbation
            }
            if "retrain" in here:
                text = f"{perturbation}: retraining changed {_of_ten(here['retrain'])} of 10 items, all else equal"
                if ("floor", "other_seed", None) in found:
                    text += f"; another seed alone changes {_of_ten(found['floor', 'other_seed', None])}"
                    text += f"; both together {_of_ten(here['retrain, other seed'])}"
                sentences.append(text + ".")
            sentences += [_sentence(f) for method, f in here.items() if not method.startswith("retrain")]
        return " ".join(sentences)


def _sentence(finding: Finding) -> str:
    text = f"With {finding.method.replace('_', ' ')} {_of_ten(finding)} of 10 changed"
    change = finding.ndcg_change
    if change is None:
        return text + "."
    words = "at equal accuracy" if finding.equally_accurate else "but accuracy is not shown to be equal"
    return (
        f"{text}, {words} (NDCG@10 {change['mean']:+.1%} against the incumbent, 95% interval"
        f" {change['lower']:+.1%} to {change['upper']:+.1%})."
    )


def _excess(name: str, noise: float | None, value: float | None) -> float | None:
    if noise is None or value is None:
        return None
    return value - noise if parse_measure(name).is_change else noise - value


def _of_ten(finding: Finding) -> str:
    turnover = finding.measures["Turnover@10"]
    return "an unknown number" if turnover is None else f"{10 * turnover:.1f}"


def digits(value: float | None) -> str:
    """A measure as tables show it."""
    return "n/a" if value is None else f"{value:.3f}"


def _means(rows: Sequence[dict[str, float | None]]) -> dict[str, float | None]:
    def mean(values: Iterable[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return fmean(known) if len(known) == len(rows) else None

    return {name: mean(row[name] for row in rows) for name in rows[0]}


def _mean_interval(intervals: Sequence[Interval | None]) -> Interval | None:
    known = [interval for interval in intervals if interval is not None]
    if len(known) < len(intervals):
        return None
    mean, lower, upper = (fmean(interval[key] for interval in known) for key in ("mean", "lower", "upper"))
    return {"mean": mean, "lower": lower, "upper": upper}
