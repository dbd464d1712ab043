"""What an audit found: rows, what they say together, tables of users and items."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from finestrec.stability.differences import Difference, differences, excess_over_seed_noise
from finestrec.stability.findings import Finding, LoadTable, finding, grouped
from finestrec.stability.instances import headline, user_table
from finestrec.stability.moved import changed_users, moved_items
from finestrec.stability.rows import AuditRow, Regime, rows_to_frame, rows_to_json
from finestrec.stability.words import verdict

if TYPE_CHECKING:
    from rich.table import Table

SIMILARITY = ("RBO(p=0.9)", "FRBO(p=0.9)@10", "Jaccard@10")
ACCURACY = ("MRR", "Recall@10", "NDCG@10")
TABLES = ("users", "slices", "changed_users", "moved_items")
"""Names of the tables beside the rows."""


@dataclass(frozen=True)
class StabilityAudit:
    """What an audit found.

    Attributes:
        rows: One a comparison.
        findings: Rows that differ in the seed only, taken together, coupled changes first.
        differences: Methods beside one another.
        excess_over_seed_noise: See `finestrec.stability.differences.excess_over_seed_noise`.
        tables: `users`: a line a comparison and user, with means over the user's instances. `slices`: a line a
            finding, slice, group and measure. `changed_users`: of each finding the most changed users, both lists side
            by side. `moved_items`: of each finding the items that entered or left a list of ten. Absent where the
            audit was read from results.json.
    """

    rows: list[AuditRow]
    findings: list[Finding] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    excess_over_seed_noise: list[dict[str, Any]] = field(default_factory=list)
    tables: dict[str, pl.DataFrame] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Sequence[AuditRow], load: LoadTable) -> "StabilityAudit":
        """Sum up the rows of an audit.

        Args:
            rows: One or more.
            load: Gives the table of a row's instances.
        """
        groups = grouped(rows)
        found: list[Finding] = []
        parts: dict[str, list[pl.DataFrame]] = {name: [] for name in TABLES}
        for group, members in groups.items():
            one, slices = finding(group, members, load)
            found.append(one)
            parts["slices"].append(slices)
            kept = [headline(load(row)) for row in members]
            parts["changed_users"].append(_keyed(changed_users(kept), group))
            parts["moved_items"].append(_keyed(moved_items(kept), group))
            parts["users"] += [
                _keyed(user_table(table), (*group[:2], row.perturbation)).insert_column(
                    3, pl.lit(row.comparison).alias("comparison")
                )
                for row, table in zip(members, kept, strict=True)
            ]
        return cls(
            rows=list(rows),
            findings=found,
            differences=differences(groups, load),
            excess_over_seed_noise=excess_over_seed_noise(rows, load),
            tables={name: pl.concat(frames) for name, frames in parts.items()},
        )

    @classmethod
    def from_json(
        cls, document: Mapping[str, Any], tables: Mapping[str, pl.DataFrame] | None = None
    ) -> "StabilityAudit":
        """Read what `to_json` gave, beside the tables if they are at hand."""
        return cls(
            rows=[AuditRow(**row) for row in document["rows"]],
            findings=[Finding(**values) for values in document["findings"]],
            differences=[Difference(**values) for values in document["differences"]],
            excess_over_seed_noise=document["excess_over_seed_noise"],
            tables=dict(tables or {}),
        )

    def to_json(self) -> dict[str, Any]:
        """The document of results.json."""
        return {
            **rows_to_json(self.rows),
            "findings": [asdict(each) for each in self.findings],
            "differences": [asdict(each) for each in self.differences],
            "excess_over_seed_noise": self.excess_over_seed_noise,
        }

    def frame(self) -> pl.DataFrame:
        """One line a row."""
        return rows_to_frame([row.to_json() for row in self.rows])

    def table(self, regime: Regime, perturbation: str | None = None) -> "Table":
        """A table of one regime for a terminal; with the rows without a perturbation, and the floors.

        Behind each mean stands half the width of its 95% interval.
        """
        from rich.table import Table

        table = Table(title=f"{regime}: {perturbation}" if perturbation else regime)
        table.add_column("method")
        for name in (*SIMILARITY, *ACCURACY):
            table.add_column(name, justify="right")
        # The floors are those of models of E epochs, which stand in anchored-update only.
        shown = {regime, "floor"} if regime == "anchored-update" else {regime}
        for each in self.findings:
            if each.regime not in shown or each.perturbation not in {perturbation, None}:
                continue
            label = each.method.replace("_", " ")
            if each.regime == "floor":
                label = f"floor: {label}"
            elif each.perturbation is None:
                label += ", nothing deleted" if perturbation and perturbation.startswith("delete") else ", no change"
            table.add_row(label, *(_cell(each, name) for name in (*SIMILARITY, *ACCURACY)))
        return table

    def verdict(self) -> str:
        """The findings in words, a paragraph a perturbation."""
        return verdict(self.findings, self.differences)


def _keyed(table: pl.DataFrame, group: tuple[Regime, str, str | None]) -> pl.DataFrame:
    names = ("regime", "method", "perturbation")
    keys = [pl.lit(value, dtype=pl.String).alias(name) for name, value in zip(names, group, strict=True)]
    return table.select(*keys, pl.all())


def _cell(each: Finding, name: str) -> str:
    bounds = each.intervals.get(name)
    text = digits(each.measures[name])
    return text if bounds is None else f"{text} ±{(bounds['upper'] - bounds['lower']) / 2:.3f}".replace("±0.", "±.")


def digits(value: float | None) -> str:
    """A measure as tables show it."""
    return "n/a" if value is None else f"{value:.3f}"
