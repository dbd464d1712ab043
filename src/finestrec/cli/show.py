"""Results in words and tables."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from finestrec.stability.results import ACCURACY, SIMILARITY, digits

if TYPE_CHECKING:
    from finestrec.data.log import LogSummary


def described(summary: "LogSummary") -> str:
    """A log in one line."""
    return (
        f"{summary.users:,} users, {summary.items:,} items, {summary.interactions:,} interactions (median"
        f" {summary.median_length:g} a user, longest {summary.max_length:,}), {summary.duplicates:,} duplicates,"
        f" {summary.repeat_share:.1%} repeats, {summary.tied_time_share:.1%} at the time of the one before"
    )


def comparison_table(rows: Sequence[tuple[str, Mapping[str, Any]]], title: str | None = None) -> Table:
    """Similarity and accuracy, one line a result.

    Args:
        rows: A label and a result row each.
        title: Stands above.
    """
    table = Table(title=title)
    table.add_column("method")
    for name in (*SIMILARITY, *ACCURACY):
        table.add_column(name, justify="right")
    for label, row in rows:
        values = [row["measures"][name] for name in SIMILARITY] + [row["accuracy"][name] for name in ACCURACY]
        table.add_row(label, *map(digits, values))
    return table


def accuracy_table(row: Mapping[str, Any]) -> Table:
    """Accuracy of one result."""
    table = Table(*ACCURACY, "test instances", "training seconds")
    table.add_row(
        *(digits(row["accuracy"][name]) for name in ACCURACY), f"{row['n_instances']:,}", f"{row['seconds']:.1f}"
    )
    return table
