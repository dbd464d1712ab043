"""Lists as recommenders write them, read by polars and by a dictionary."""

from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finestrec.data.tables import open_file, open_frame
from finestrec.data.userlists import UserLists, read_lists
from finestrec.errors import DataError


def lists_of(read: UserLists) -> dict[Any, list[Any]]:
    return {
        user: [read.vocabulary[int(item)] for item in row if item >= 0]
        for user, row in zip(read.users, read.items, strict=True)
    }


def read(frame: Any, depth: int = 5) -> UserLists:
    return read_lists(open_frame(frame, "NEW"), depth)


ROWS = st.lists(
    st.tuples(st.integers(-3, 3), st.integers(0, 9), st.integers(0, 4)),
    min_size=1,
    max_size=40,
    unique_by=lambda r: r[:2],
)


@given(ROWS, st.integers(1, 6), st.booleans(), st.booleans())
def test_scores_equal_to_sorting_in_python(rows: list[Any], depth: int, shuffled: bool, as_text: bool) -> None:
    rows = rows if shuffled else sorted(rows)
    name = (lambda item: f"i{item}") if as_text else int
    frame = pl.DataFrame(
        {"user": [r[0] for r in rows], "item": [name(r[1]) for r in rows], "score": [float(r[2]) for r in rows]}
    )
    expected = {}
    for user in sorted({r[0] for r in rows}):
        mine = sorted((r for r in rows if r[0] == user), key=lambda r: (-r[2], name(r[1])))
        expected[user] = [name(r[1]) for r in mine][:depth]
    found = read(frame, depth)
    assert lists_of(found) == expected
    assert list(lists_of(found)) == sorted(expected)
    ties = {u for u in expected if len({r[2] for r in rows if r[0] == u}) < sum(r[0] == u for r in rows)}
    assert [note for note in found.notes if f"{len(ties):,} lists have equal scores" in note] == found.notes
    assert bool(found.notes) == bool(ties)
    assert found.longest == max(sum(r[0] == u for r in rows) for u in expected)


@given(st.dictionaries(st.integers(0, 9), st.permutations(range(5)), min_size=1), st.integers(0, 3), st.randoms())
def test_ranks_in_any_order_and_from_any_number(lists: dict[int, list[int]], first: int, random: Any) -> None:
    rows = [(user, item, first + at) for user, items in lists.items() for at, item in enumerate(items)]
    random.shuffle(rows)
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "rank"], orient="row")
    assert lists_of(read(frame)) == {user: list(items) for user, items in lists.items()}
    assert read(frame).notes == []


def test_ranks_win_over_scores_and_gaps_are_closed() -> None:
    frame = {"user_id": [1, 1, 1], "item_id": [7, 8, 9], "rank": [5, 2, 1], "score": [9.0, 2.0, 1.0]}
    found = read(pl.DataFrame(frame))
    assert lists_of(found) == {1: [9, 8, 7]}
    assert found.notes == ["NEW: 1 lists leave ranks out; the items behind them moved up"]


@pytest.mark.parametrize(
    "names",
    [
        ("user_id", "item_id", "score", "rank"),  # RecTools
        ("user", "item", "score", "rank"),  # LensKit
        ("user_id:token", "item_id:token", "score:float", "rank:float"),  # RecBole
    ],
)
def test_column_names_of_other_libraries(tmp_path: Path, names: tuple[str, str, str, str]) -> None:
    rows = [("u1", "b", 2.0, 1), ("u1", "a", 1.0, 2), ("u2", "a", 1.0, 1)]
    frame = pl.DataFrame(rows, schema=list(names), orient="row")
    frame.write_csv(tmp_path / "lists.csv")
    frame.write_csv(tmp_path / "lists.tsv", separator="\t")
    frame.write_parquet(tmp_path / "lists.parquet")
    for ending in ("csv", "tsv", "parquet"):
        for kept in (names, names[:3]):
            table = open_file(tmp_path / f"lists.{ending}")
            if kept != names:
                table = open_frame(frame.select(kept))
            assert lists_of(read_lists(table, 3)) == {"u1": ["b", "a"], "u2": ["a"]}
    assert lists_of(read(pd.DataFrame(rows, columns=list(names)))) == {"u1": ["b", "a"], "u2": ["a"]}


def test_a_column_of_lists() -> None:
    plain = pl.DataFrame(
        {"user_id": [3, 1, 2], "item_id": [[5, 4], [], [4]]}, schema_overrides={"item_id": pl.List(pl.Int64)}
    )
    assert lists_of(read(plain)) == {1: [], 2: [4], 3: [5, 4]}
    assert lists_of(read(plain, 1)) == {1: [], 2: [4], 3: [5]}
    structs = [[{"item_id": "b", "score": 1.0}, {"item_id": "a", "score": 2.0}], [{"item_id": "a", "score": 0.5}]]
    assert lists_of(read(pl.DataFrame({"user_id": [1, 2], "items": structs}))) == {1: ["b", "a"], 2: ["a"]}
    ranked = [[{"item_id": "b", "rank": 2}, {"item_id": "a", "rank": 1}]]
    assert lists_of(read(pl.DataFrame({"user_id": [1], "items": ranked}))) == {1: ["a", "b"]}
    with pytest.raises(DataError, match="user 1 has more than one list"):
        read(pl.DataFrame({"user_id": [1, 1], "items": [[1], [2]]}))
    with pytest.raises(DataError, match=r"nothing \(null\) is not a list"):
        read(pl.DataFrame({"user_id": [1, 2], "items": [[1], None]}))
    with pytest.raises(DataError, match="item 7 is more than once in the list of user 2"):
        read(pl.DataFrame({"user_id": [1, 2], "items": [[7], [7, 7]]}))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"user_id": [1, 1, 2], "item_id": [7, 7, 7], "rank": [1, 2, 1]}, "item 7 is more than once .* of user 1"),
        ({"user_id": [1, 2, 1], "item_id": [7, 7, 7], "score": [1.0, 2, 3]}, "item 7 is more than once .* of user 1"),
        ({"user_id": [1, 1], "item_id": ["a", "b"], "rank": [1, 1]}, "items 'a' and 'b' have .* rank 1 .* user 1"),
        ({"user_id": [1, 1], "item_id": [7, 8]}, "NEW has neither ranks nor scores.* 'rank' or 'score'"),
        ({"user_id": [1, 1], "item_id": [7, 8], "rank": [1, None]}, r"row 1 .*'rank': nothing \(null\) is not a rank"),
        ({"user_id": [1], "item_id": [7], "rank": [1.5]}, "1.5 is not a rank; ranks are whole"),
        ({"user_id": [1], "item_id": [7], "rank": [-1]}, "-1 is not a rank; ranks count from 1"),
        ({"user_id": [1], "item_id": [7], "rank": ["first"]}, "'first' is not a number"),
        ({"user_id": [1], "item_id": [7], "rank": [True]}, "is of type Boolean; expected numbers"),
        ({"user_id": [1], "item_id": [7], "score": [float("nan")]}, "nan is not a number"),
        ({"user_id": [1, None], "item_id": [7, 7], "rank": [1, 1]}, "'user_id': nothing .* is not an id"),
        ({"user_id": [1], "thing": [7], "rank": [1]}, "no column looks like the item; .* 'thing'"),
        ({"item_id": [7], "rank": [1]}, "no column looks like the user"),
        ({"user_id": [1], "user": [1], "item": [7], "rank": [1]}, "user could be any of the columns 'user_id', 'user'"),
        ({"user_id": [], "item_id": [], "rank": []}, "no rows"),
    ],
)  # fmt: skip
def test_what_is_no_list(columns: dict[str, list[Any]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(pl.DataFrame(columns))


def test_an_item_that_comes_again_below_the_depth_is_refused_too() -> None:
    with pytest.raises(DataError, match="item 7"):
        read(pl.DataFrame({"user_id": [1] * 4, "item_id": [7, 8, 9, 7], "rank": [1, 2, 3, 4]}), depth=2)


def test_far_apart_integers_are_ids_too() -> None:
    ids = [-(2**62), 5, 2**62]
    found = read(pl.DataFrame({"user_id": ids, "item_id": ids, "rank": [1, 1, 1]}))
    assert lists_of(found) == {i: [i] for i in ids}
