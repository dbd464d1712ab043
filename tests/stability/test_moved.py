"""Most changed users and items, against plain loops."""

from collections import Counter

import numpy as np
import polars as pl
import pytest

from finestrec.measures.overlap import frbo
from finestrec.stability.moved import CHANGE, changed_users, moved_items


def table(seed: int, users: int = 30, instances: int = 80) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    old = np.stack([rng.permutation(25)[:10] for _ in range(instances)])
    new = old.copy()
    for row in range(instances):
        at = rng.integers(0, 10, size=rng.integers(0, 4))
        new[row, at] = 30 + at
    return pl.DataFrame(
        {
            "user_id": rng.integers(0, users, instances),
            "interaction_id": np.arange(instances),
            CHANGE: frbo(old, new, 0.9, 10),
            "old_items": pl.Series([[f"i{item}" for item in row] for row in old]),
            "new_items": pl.Series([[f"i{item}" for item in row] for row in new]),
        }
    )


@pytest.fixture
def tables() -> list[pl.DataFrame]:
    return [table(0), table(1)]


def test_items_that_enter_and_leave_are_counted_as_by_a_loop(tables: list[pl.DataFrame]) -> None:
    entered: Counter[str] = Counter()
    left: Counter[str] = Counter()
    old_lists: Counter[str] = Counter()
    for each in tables:
        for old, new in zip(each["old_items"].to_list(), each["new_items"].to_list(), strict=True):
            entered.update(set(new) - set(old))
            left.update(set(old) - set(new))
            old_lists.update(old)
    found = moved_items(tables)
    assert {row["item_id"]: row["entered"] for row in found.to_dicts() if row["entered"]} == entered
    assert {row["item_id"]: row["left"] for row in found.to_dicts() if row["left"]} == left
    for row in found.to_dicts():
        assert row["old_lists"] == old_lists[row["item_id"]]
        assert row["new_lists"] == row["old_lists"] + row["entered"] - row["left"]
    moves = (found["entered"] + found["left"]).to_list()
    assert moves == sorted(moves, reverse=True)


def test_users_are_ranked_by_their_mean_and_shown_by_their_worst_instance(tables: list[pl.DataFrame]) -> None:
    both = pl.concat(tables).to_dicts()
    means = {
        user: np.mean([row[CHANGE] for row in both if row["user_id"] == user]) for user in {r["user_id"] for r in both}
    }
    found = changed_users(tables, 7)
    assert found["user_id"].to_list() == sorted(means, key=lambda user: (means[user], user))[:7]
    for row in found.to_dicts():
        assert row[f"mean {CHANGE}"] == pytest.approx(means[row["user_id"]])
        worst = min((r for r in both if r["user_id"] == row["user_id"]), key=lambda r: r[CHANGE])
        assert (row["old_items"], row["new_items"]) == (worst["old_items"], worst["new_items"])


def test_identical_lists_move_nothing(tables: list[pl.DataFrame]) -> None:
    same = tables[0].with_columns(pl.col("old_items").alias("new_items"), pl.lit(1.0).alias(CHANGE))
    assert len(moved_items([same])) == 0
    assert len(changed_users([same])) == 0


def test_ragged_and_empty_lists() -> None:
    ragged = pl.DataFrame(
        {
            "user_id": [1, 2],
            "interaction_id": [0, 1],
            CHANGE: [0.5, 0.0],
            "old_items": pl.Series([[1, 2], []], dtype=pl.List(pl.Int64)),
            "new_items": pl.Series([[2], [3]], dtype=pl.List(pl.Int64)),
        }
    )
    assert moved_items([ragged]).rows() == [(1, 1, 0, 0, 1), (3, 0, 1, 1, 0)]
