"""Lists as recommenders write them: one row an item, or one row a user, to arrays of lists.

What is done with what occurs in such files:

- The order is that of the ranks where there is a column of them, whatever number they begin with; gaps are closed and
  counted. Two items at one rank of a list are refused.
- Without ranks the order is that of the scores, highest first; equal scores stand in the order of their item ids
  (integers by value, text by code point), as they do in lists of ours, and such lists are counted.
- A Parquet column of lists (one row a user; LensKit's "native" layout has structs of item_id, score and rank) is taken
  in the order that it is in, or in that of its ranks. Such a list may be empty.
- Rows may come in any order. An item twice in a list, and a user twice in a file of one row a user, are refused.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finestrec.compiled import compiled
from finestrec.data.columns import LIST_SYNONYMS, recognised_column, required_column
from finestrec.data.identifiers import index_ids, read_ids
from finestrec.data.log import NO_ITEM
from finestrec.data.places import Place, shown
from finestrec.data.tables import Table
from finestrec.errors import DataError


@dataclass(frozen=True, eq=False)
class UserLists:
    """One list a user.

    Attributes:
        source: Of what file, for messages.
        is_text: Whether that was a text file, whose ids have no type of their own.
        users: Raw ids in ascending order, shape (U,).
        vocabulary: Raw ids of the items of all lists, whole, in ascending order, shape (V,).
        items: Positions in the vocabulary, best first, -1 ends a shorter row, int32, shape (U, depth).
        longest: Items of the longest list as the file has it.
        notes: What was done with gaps and ties.
    """

    source: str
    is_text: bool
    users: pl.Series
    vocabulary: pl.Series
    items: NDArray[np.int32]
    longest: int
    notes: list[str]


@dataclass(eq=False)
class _Rows:
    """One row an item, those of a list together.

    Attributes:
        table: What was read.
        users: Raw id of each list, shape (lists,).
        lengths: Of each list, shape (lists,).
        items: Raw ids, shape (n,).
        key: Ranks or scores, shape (n,); None where the order is given.
        by_score: Whether the key is scores.
    """

    table: Table
    users: pl.Series
    lengths: NDArray[np.int64]
    items: pl.Series
    key: NDArray[np.int64] | NDArray[np.float64] | None
    by_score: bool


def read_lists(table: Table, depth: int, *, items_are_text: bool = False) -> UserLists:
    """The first items of every list of a table.

    Args:
        table: With columns of users and items, and of ranks, scores or both, named as RecTools, RecBole and LensKit
            name them.
        depth: Items of a list to keep; the rest is checked and left out.
        items_are_text: Take ids that look like integers as the text that they are written in, whose order equal scores
            stand in then.

    Raises:
        DataError: If a column is missing, a value is not usable, or a list has an item twice; names user and item.
    """
    rows = _read(table)
    if items_are_text:
        rows.items = rows.items.cast(pl.String)
    code, vocabulary = index_ids(rows.items)
    rows.items = vocabulary.clear()  # the raw column is large and done with
    row_of_list, users = index_ids(rows.users)
    notes = []
    starts = np.concatenate(([0], np.cumsum(rows.lengths)))
    if rows.key is not None:
        if len(users) < len(rows.users) or not _is_ordered(rows, starts, code):
            code, rows.key, starts = _ordered(rows, code, row_of_list, len(users))
            row_of_list = np.arange(len(users), dtype=np.int32)
        notes = _check_order(rows, starts, code, users.gather(row_of_list), vocabulary)
    items = np.full((len(users), depth), NO_ITEM, dtype=np.int32)
    marks = np.full(len(vocabulary), NO_ITEM, dtype=np.int32)
    twice = _kernel()(starts, row_of_list, code, marks, items)
    if twice >= 0:
        user = users[int(row_of_list[np.searchsorted(starts, twice, side="right") - 1])]
        raise DataError(
            f"{table.source}: item {shown(vocabulary[int(code[twice])])} is more than once in the list of user"
            f" {shown(user)}; a list holds an item once"
        )
    return UserLists(table.source, table.is_text, users, vocabulary, items, int(np.diff(starts).max()), notes)


def _read(table: Table) -> _Rows:
    at_user = required_column(table.names, LIST_SYNONYMS["user"], "user", table.source)
    at_item = None if table.is_text else recognised_column(table.names, frozenset({"items"}), "item", table.source)
    if at_item is None:
        at_item = required_column(table.names, LIST_SYNONYMS["item"], "item", table.source)
    at_rank = recognised_column(table.names, LIST_SYNONYMS["rank"], "rank", table.source)
    at_score = recognised_column(table.names, LIST_SYNONYMS["score"], "score", table.source)
    at_key = at_score if at_rank is None else at_rank
    users, items, *keys = table.read([at_user, at_item] if at_key is None else [at_user, at_item, at_key])
    if len(users) == 0:
        raise DataError(f"{table.source} has columns but no rows; expected lists of at least one user")
    users = read_ids(users, table.place(at_user))
    if isinstance(items.dtype, pl.List | pl.Array):
        return _nested(table, users, items, table.place(at_item))
    if at_key is None:
        raise DataError(
            f"{table.source} has neither ranks nor scores, so the order of its lists cannot be told; expected a column"
            f" 'rank' or 'score'; the columns are {', '.join(map(shown, table.names))}"
        )
    starts = (users != users.shift(1)).fill_null(True).arg_true().to_numpy()
    return _Rows(
        table=table,
        users=users.gather(starts),
        lengths=np.diff(starts, append=len(users)).astype(np.int64),
        items=read_ids(items, table.place(at_item)),
        key=_key(keys[0], table.place(at_key), by_score=at_rank is None),
        by_score=at_rank is None,
    )


def _nested(table: Table, users: pl.Series, whole: pl.Series, place: Place) -> _Rows:
    if users.n_unique() < len(users):
        user = users.filter(users.is_duplicated())[0]
        raise DataError(f"{table.source}: user {shown(user)} has more than one list; expected one row a user")
    place.refuse_where(whole.is_null(), whole, "is not a list")
    if isinstance(whole.dtype, pl.Array):
        whole = whole.arr.to_list()
    lengths = whole.list.len()
    flat = whole.filter(lengths > 0).explode()
    key = None
    if isinstance(flat.dtype, pl.Struct):
        fields = flat.struct.unnest()
        at_item = required_column(fields.columns, LIST_SYNONYMS["item"], "item", f"{table.source}, column items")
        at_rank = recognised_column(fields.columns, LIST_SYNONYMS["rank"], "rank", f"{table.source}, column items")
        if at_rank is not None:
            key = _key(fields.to_series(at_rank), place, by_score=False)
        flat = fields.to_series(at_item)
    return _Rows(table, users, lengths.to_numpy().astype(np.int64), read_ids(flat, place), key, False)


def _key(column: pl.Series, place: Place, *, by_score: bool) -> NDArray[np.int64] | NDArray[np.float64]:
    """Ranks as integers or scores as numbers."""
    place.refuse_where(column.is_null(), column, f"is not a {'score' if by_score else 'rank'}; every row needs one")
    if not (column.dtype == pl.String or column.dtype.is_numeric()):
        raise place.refuse(f"is of type {column.dtype}; expected numbers")
    numbers = column.str.strip_chars() if column.dtype == pl.String else column
    floats = numbers.cast(pl.Float64, strict=False)
    place.refuse_where(floats.is_null() | floats.is_nan(), column, "is not a number")
    if by_score:
        return floats.to_numpy()
    integers = numbers.cast(pl.Int64, strict=False) if numbers.dtype.is_integer() else None
    if integers is None:
        place.refuse_where(floats != floats.round(), column, "is not a rank; ranks are whole numbers")
        integers = floats.cast(pl.Int64, strict=False)
    place.refuse_where(integers.is_null() | (integers < 0), column, "is not a rank; ranks count from 1")
    return integers.to_numpy()


def _within(starts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which rows but the first have their predecessor in the same list."""
    same = np.ones(int(starts[-1]), dtype=np.bool_)
    same[starts[:-1][np.diff(starts) > 0]] = False
    return same[1:]


def _is_ordered(rows: _Rows, starts: NDArray[np.int64], code: NDArray[np.int32]) -> bool:
    key = rows.key
    assert key is not None
    if rows.by_score:
        right = (key[:-1] > key[1:]) | ((key[:-1] == key[1:]) & (code[:-1] < code[1:]))
    else:
        right = key[:-1] <= key[1:]
    right |= ~_within(starts)
    return bool(right.all())


def _ordered(
    rows: _Rows, code: NDArray[np.int32], row_of_list: NDArray[np.int32], n_users: int
) -> tuple[NDArray[np.int32], NDArray[np.int64] | NDArray[np.float64], NDArray[np.int64]]:
    """Items and keys by (user, key, item id), and where each user's begin."""
    owner = np.repeat(row_of_list, rows.lengths)
    lengths = np.bincount(owner, minlength=n_users)
    frame = pl.DataFrame({"owner": owner, "key": rows.key, "code": code})
    frame = frame.sort("owner", "key", "code", descending=[False, rows.by_score, False])
    return frame["code"].to_numpy(), frame["key"].to_numpy(), np.concatenate(([0], np.cumsum(lengths)))


def _check_order(
    rows: _Rows, starts: NDArray[np.int64], code: NDArray[np.int32], users: pl.Series, vocabulary: pl.Series
) -> list[str]:
    """Refuse items at one rank; say how many lists have ties or gaps."""
    key, source = rows.key, rows.table.source
    assert key is not None

    def lists(positions: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.unique(np.searchsorted(starts, positions, side="right") - 1)

    within = _within(starts)
    tied = np.flatnonzero((key[1:] == key[:-1]) & within) + 1
    if rows.by_score:
        if len(tied) == 0:
            return []
        return [f"{source}: {len(lists(tied)):,} lists have equal scores, which stand in the order of their item ids"]
    if len(tied):
        row = int(tied[0])
        user, first, second = users[int(lists(tied[:1])[0])], vocabulary[int(code[row - 1])], vocabulary[int(code[row])]
        raise DataError(
            f"{source}: items {shown(first)} and {shown(second)} have the same rank {key[row]} in the list of user"
            f" {shown(user)}; give each its own rank, or leave the column out and let scores decide"
        )
    gaps = np.flatnonzero((key[1:] > key[:-1] + 1) & within) + 1
    if len(gaps) == 0:
        return []
    return [f"{source}: {len(lists(gaps)):,} lists leave ranks out; the items behind them moved up"]


def raw_lists(items: NDArray[np.int32], vocabulary: pl.Series) -> pl.Series:
    """Lists of raw ids, one a row.

    Args:
        items: Positions in the vocabulary, -1 ends a shorter row, shape (n, depth).
        vocabulary: Raw ids.
    """
    listed = items != NO_ITEM
    lengths = listed.sum(axis=1)
    flat = pl.DataFrame(
        {"row": np.repeat(np.arange(len(items)), lengths), "item": vocabulary.gather(items[listed].astype(np.int64))}
    )
    rows = pl.DataFrame({"row": np.arange(len(items))})
    lists = flat.group_by("row", maintain_order=True).agg("item")
    return rows.join(lists, on="row", how="left", maintain_order="left")["item"].fill_null([])


@cache
def _kernel() -> Callable[..., int]:
    """`_fill` compiled; numba is imported at the first use, not with this module."""
    from numba import types

    def readonly(kind: types.Type) -> types.Array:
        return types.Array(kind, 1, "C", readonly=True)

    signature = types.int64(
        readonly(types.int64), readonly(types.int32), readonly(types.int32), types.int32[::1], types.int32[:, ::1]
    )
    return cast(Callable[..., int], compiled(signature)(_fill))


def _fill(
    starts: NDArray[np.int64],
    rows: NDArray[np.int32],
    code: NDArray[np.int32],
    marks: NDArray[np.int32],
    items: NDArray[np.int32],
) -> int:
    """Write lists into rows of `items`, as far as these go. Runs compiled.

    Returns:
        The first position of an item that its list has had already, else -1.
    """
    depth = items.shape[1]
    for i in range(len(rows)):
        for j in range(starts[i], starts[i + 1]):
            item = code[j]
            if marks[item] == i:
                return j
            marks[item] = i
            place = j - starts[i]
            if place < depth:
                items[rows[i], place] = item
    return -1
