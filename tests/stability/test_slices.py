"""Groups of instances, against plain loops and by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finestrec.data.log import InteractionLog
from finestrec.data.splits import split
from finestrec.data.tables import open_file, open_frame
from finestrec.data.usertables import read_user_table
from finestrec.errors import DataError
from finestrec.perturbation.edits import edit
from finestrec.stability.groups import quarters
from finestrec.stability.slices import accuracy_slices, change_slices, log_slices, table_slices

DAY = 86_400


@pytest.fixture(scope="module")
def log() -> InteractionLog:
    """Eight users of 10 to 17 interactions of 12 items, one user a day later than the one before."""
    rng = np.random.default_rng(0)
    rows = [
        {"user": user, "item": int(rng.integers(12) ** 2 // 12), "timestamp": 1_600_000_000 + user * DAY + t}
        for user in range(8)
        for t in range(10 + user)
    ]
    return InteractionLog.from_frame(pl.DataFrame(rows))


def test_activity_recency_and_popularity_are_counted_in_training(log: InteractionLog) -> None:
    parts = split(log)
    test = parts.held_out(50)
    found = log_slices(parts.train, test)
    # Users 0 to 7 have 9 to 16 training interactions (of 10 to 17, one is held out), two to a quarter.
    expected = ["9 to 10", "11 to 12", "13 to 14", "15 to 16"]
    assert found["activity"].to_list() == [expected[user // 2] for user in test.users]
    expected = ["0 to 1", "2 to 3", "4 to 5", "6 to 7"]
    assert found["recency"].to_list() == [expected[(7 - user) // 2] for user in test.users]
    counts = [int((parts.train.items == target).sum()) for target in test.targets]
    for count, label in zip(counts, found["popularity"], strict=True):
        low, _, high = label.partition(" to ")
        assert int(low) <= count <= int(high or low)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40))
def test_quarters_keep_order_and_equal_values_together(values: list[int]) -> None:
    groups = quarters(np.array(values), np.arange(len(values)))
    physical = groups.to_physical().to_list()
    for a, b in ((i, j) for i in range(len(values)) for j in range(len(values))):
        assert (values[a] == values[b]) <= (physical[a] == physical[b])
        assert (values[a] < values[b]) <= (physical[a] <= physical[b])
    assert len(groups.unique()) == len(groups.dtype.categories)  # type: ignore[attr-defined]
    for label in groups.unique():
        inside = [value for value, group in zip(values, groups, strict=True) if group == label]
        assert label == (str(inside[0]) if min(inside) == max(inside) else f"{min(inside)} to {max(inside)}")


def test_distinct_values_are_quartered_evenly() -> None:
    assert quarters(np.random.default_rng(0).random(400), np.arange(400)).value_counts()["count"].to_list() == [100] * 4


def test_values_outside_what_is_quartered_and_missing_ones_have_a_group() -> None:
    found = quarters(np.array([0.0, 1.0, 2.0, 3.0, 4.0, 99.0, np.nan]), np.arange(1, 5))
    assert found.to_list() == ["1", "1", "2", "3", "4", "4", "(none given)"]


def test_accuracy_groups_by_hand() -> None:
    ranks = np.array([1, 2, 10, 11, 100, 101])
    found = accuracy_slices(ranks, np.array([7, 7, 3, 5, 5, 5]))
    assert found["target_rank"].to_list() == ["1", "2 to 10", "2 to 10", "11 to 100", "11 to 100", "above 100"]
    # User 7: (1 + 1 / log2(3)) / 2 = 0.82; user 3: 1 / log2(11) = 0.29; user 5: nothing in the first ten.
    assert found["user_ndcg"].to_list() == ["above 0.5"] * 2 + ["above 0.2 to 0.5"] + ["0"] * 3


def test_erased_users_and_items_are_told_apart_from_touched_ones(log: InteractionLog) -> None:
    train = split(log).train
    test = split(log).held_out(50)
    item = int(train.items[train.users == 5][0])
    rows = np.flatnonzero((train.users == 2) | (train.items == item))
    after = edit(train, "delete", rows).log
    lists = np.array([[item, 3], [4, -1]] * len(test), dtype=np.int32)[: len(test)]
    found = change_slices(train, after, test, lists)
    others = {int(user) for user in train.users[rows]} - {2}
    expected = ["erased" if user == 2 else "touched" if user in others else "untouched" for user in test.users]
    assert found["touch"].to_list() == expected
    assert found["erased_item_listed"].to_list() == (["yes", "no"] * len(test))[: len(test)]


def slices_of(table: pl.DataFrame, log: InteractionLog) -> pl.DataFrame:
    return table_slices(read_user_table(open_frame(table, "users")), log.vocabulary)


def test_columns_of_users_are_joined_by_raw_id(log: InteractionLog) -> None:
    table = pl.DataFrame(
        {
            "user_id": [7, 3, 99, 1, 0],
            "country": ["DE", "FR", "IT", None, "DE"],
            "tier": [2, 10, 3, 2, None],
            "paying": [True, False, True, True, False],
        }
    )
    found = slices_of(table, log)
    none = "(none given)"
    assert found["country"].to_list() == ["DE", none, none, "FR", none, none, none, "DE"]
    assert found["tier"].to_list() == [none, "2", none, "10", none, none, none, "2"]
    assert found["tier"].dtype.categories.to_list() == ["2", "10", none]  # type: ignore[attr-defined]
    assert found["paying"].to_list() == ["false", "true", none, "false", none, none, none, "true"]


def test_a_column_of_many_numbers_is_quartered(log: InteractionLog) -> None:
    many = InteractionLog.from_frame(pl.DataFrame({"user": range(40), "item": 1, "timestamp": range(40)}))
    table = pl.DataFrame({"user_id": range(40), "age": range(40)})
    assert slices_of(table, many)["age"].unique().len() == 4


def test_numbers_of_a_text_file_are_numbers(tmp_path: Path) -> None:
    log = InteractionLog.from_frame(pl.DataFrame({"user": range(40), "item": 1, "timestamp": range(40)}))
    lines = [f"{u},{u + 0.5},{(2, 10)[u % 2]},{(10, 'many')[u % 2]}" for u in range(40)]
    (tmp_path / "users.csv").write_text("\n".join(["uid,age,tier,visits", *lines, "41,,,"]))
    found = table_slices(read_user_table(open_file(tmp_path / "users.csv")), log.vocabulary)
    assert found["age"].unique().sort().to_list() == ["0.5 to 9.5", "10.5 to 19.5", "20.5 to 29.5", "30.5 to 39.5"]
    assert found["tier"].dtype.categories.to_list() == ["2", "10"]  # type: ignore[attr-defined]
    assert found["visits"].dtype.categories.to_list() == ["10", "many"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"user_id": [1, 2]}, "has user ids and no other column"),
        ({"user_id": [1, 1], "a": [1, 2]}, "user 1 has more than one row"),
        ({"user_id": [100, 200], "a": [1, 2]}, "none of the 8 users of the log"),
        ({"user_id": [1, 2], "touch": [1, 2]}, "a column touch, which every audit has itself"),
        ({"user_id": [1, 2], "Jaccard@10": [1, 2]}, "a column Jaccard@10, which every audit has itself"),
    ],
)
def test_unusable_tables_of_users_are_refused(columns: dict[str, Any], message: str, log: InteractionLog) -> None:
    with pytest.raises(DataError, match=message):
        slices_of(pl.DataFrame(columns), log)


def test_a_column_of_names_is_no_slice() -> None:
    log = InteractionLog.from_frame(pl.DataFrame({"user": range(60), "item": 1, "timestamp": range(60)}))
    table = pl.DataFrame({"user_id": range(60), "name": [f"n{i}" for i in range(60)]})
    with pytest.raises(DataError, match="column 'name': 60 different values; slices are made of at most 50"):
        slices_of(table, log)
