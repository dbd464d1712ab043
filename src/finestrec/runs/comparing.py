"""A comparison in a run folder."""

from pathlib import Path

import polars as pl

from finestrec.runs.run import Run
from finestrec.runs.tables import LISTS, read_results, read_table, write_results, write_table
from finestrec.stability.comparison import Comparison, compare

COMPARISON = "comparison"
"""The folder of a run in which its served lists are compared with those of the run before."""
USERS, ITEMS = "users.parquet", "items.parquet"


def write_comparison(folder: Path, comparison: Comparison) -> None:
    """Write the summary as results.json and results.parquet, and the values of every user and item and the lists.

    `lists.parquet` has one row a user of both sides: user_id, and the columns old and new of lists of item ids.
    """
    assert comparison.pairs is not None  # it was made, not read
    write_table(comparison.users, folder / USERS)
    write_table(comparison.items, folder / ITEMS)
    write_table(comparison.pairs.frame(), folder / LISTS)
    write_results(folder, comparison.summary)


def compare_served(before: Run, after: Run, lists: pl.DataFrame | None = None) -> Comparison:
    """Compare the lists that two runs serve, to the depth that both have.

    Args:
        before: The earlier one.
        after: The later one.
        lists: Those of the later one, where they are not in its folder yet.
    """
    stocks = []
    for run in (before, after):
        items = run.split.log.vocabulary.items
        offered = items if run.retired is None else items.filter(~items.is_in(run.retired.implode()))
        stocks.append(pl.DataFrame({"item_id": offered}))
    return compare(
        read_table(before.path / LISTS),
        read_table(after.path / LISTS) if lists is None else lists,
        k=min(before.config.lists.k, after.config.lists.k),
        old_catalogue=stocks[0],
        catalogue=stocks[1],
    )


def read_comparison(folder: Path) -> Comparison:
    """Read what `write_comparison` wrote, but for the lists.

    Raises:
        RunFolderError: If a file is missing or damaged.
    """
    return Comparison(read_results(folder), read_table(folder / USERS), read_table(folder / ITEMS))
