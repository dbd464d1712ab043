"""Who and what moved most: users with both lists side by side, items with how many lists they entered and left."""

from collections.abc import Sequence
from typing import Final

import polars as pl

CHANGE: Final = "FRBO(p=0.9)@10"
"""What ranks users: the first ten, the top weighing most."""
MOST_CHANGED: Final = 20


def changed_users(tables: Sequence[pl.DataFrame], count: int = MOST_CHANGED) -> pl.DataFrame:
    """The users whose lists changed most, on average over their instances in all tables.

    Args:
        tables: Of comparisons that differ in the seed only, as `instance_table` makes them.
        count: How many at the most; users whose lists did not change are not among them.

    Returns:
        One line a user, most changed first, ties by user id: the mean similarity of the user, and the instance of
        the user that changed most: interaction_id, its similarity, old_items and new_items.
    """
    both = pl.concat([table.select("user_id", "interaction_id", CHANGE, "old_items", "new_items") for table in tables])
    users = both.group_by("user_id").agg(pl.col(CHANGE).mean().alias(f"mean {CHANGE}"))
    most = users.filter(pl.col(f"mean {CHANGE}") < 1).sort(f"mean {CHANGE}", "user_id").head(count)
    worst = both.sort(CHANGE, maintain_order=True).unique("user_id", keep="first", maintain_order=True)
    return most.join(worst, on="user_id", how="left", maintain_order="left")


def moved_items(tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """In how many of the lists of ten each item stood, which it entered and which it left.

    Args:
        tables: Of comparisons that differ in the seed only.

    Returns:
        One line an item that entered or left a list, the most moves first, ties by item id: item_id, old_lists,
        new_lists, entered, left; counts are summed over instances and tables.
    """
    sides = {side: _listed(tables, f"{side}_items") for side in ("old", "new")}
    keys = ["table", "instance", "item_id"]
    counts = {
        "old_lists": sides["old"],
        "new_lists": sides["new"],
        "entered": sides["new"].join(sides["old"], on=keys, how="anti"),
        "left": sides["old"].join(sides["new"], on=keys, how="anti"),
    }
    found = pl.concat([entries.select("item_id", count=pl.lit(name)) for name, entries in counts.items()])
    wide = found.group_by("item_id").agg((pl.col("count") == name).sum().cast(pl.Int64).alias(name) for name in counts)
    moves = pl.col("entered") + pl.col("left")
    return wide.filter(moves > 0).sort(-moves, "item_id")


def _listed(tables: Sequence[pl.DataFrame], column: str) -> pl.DataFrame:
    """A line an entry of a list."""
    numbered = [
        table.select(pl.lit(number).alias("table"), pl.int_range(pl.len()).alias("instance"), pl.col(column))
        for number, table in enumerate(tables)
    ]
    return pl.concat(numbered).explode(column).rename({column: "item_id"}).drop_nulls("item_id")
