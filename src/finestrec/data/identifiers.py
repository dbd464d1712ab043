"""Raw user and item ids: integers or text, never merged by accident.

A text file has no types, so a column is integers only if every value is written as integers are: "007" keeps
the whole column text, and "007" and "7" stay two ids. Frames and Parquet files keep their types.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finestrec.data.places import Place
from finestrec.errors import DataError

_MISSING_WORDS = ("nan", "null", "none", "na", "n/a", "<na>", "nil")
_ODD_INTEGER = r"^(\+|-?0[0-9]|-0)"
_INTEGRAL_FLOAT = r"^(0|-?[1-9][0-9]*)\.0+$"
_LARGEST_EXACT = 2.0**53
_WIDEST_TABLE_A_ROW = 4

_MISSING = "is not an id; every interaction needs a user and an item"


def read_ids(column: pl.Series, place: Place) -> pl.Series:
    """A column of raw ids as Int64 or String.

    Args:
        column: Integers, integral floats, text or categories, shape (n,).
        place: What error messages name.

    Raises:
        DataError: If an id is missing, or its type cannot be an id.
    """
    place.refuse_where(column.is_null(), column, _MISSING)
    if isinstance(column.dtype, pl.Categorical | pl.Enum):
        column = column.cast(pl.String)
    if column.dtype == pl.String:
        return _from_text(column, place)
    if column.dtype.is_integer():
        integers = column.cast(pl.Int64, strict=False)
        place.refuse_where(integers.is_null(), column, "does not fit into 64 bits with sign; give such ids as text")
        return integers
    if column.dtype.is_float():
        place.refuse_where(~column.is_finite(), column, _MISSING)
        place.refuse_where(column != column.round(), column, "is not an id; ids are integers or text")
        place.refuse_where(
            column.abs() > _LARGEST_EXACT,
            column,
            "has lost digits as a float; give such ids as integers or text",
        )
        return column.cast(pl.Int64)
    raise place.refuse(f"is of type {column.dtype}; ids are integers or text")


def _from_text(column: pl.Series, place: Place) -> pl.Series:
    if not place.is_text:
        place.refuse_where(column.str.strip_chars() == "", column, _MISSING)
        return column
    integers = column.cast(pl.Int64, strict=False)
    if integers.null_count() and column.str.contains(r"^\s|\s$").any():
        stripped = column.str.strip_chars()
        place.refuse_where(stripped == "", column, _MISSING)
        integers = stripped.cast(pl.Int64, strict=False)
    else:
        stripped = column
        place.refuse_where(column == "", column, _MISSING)
    if integers.null_count() == 0:
        return column if stripped.str.contains(_ODD_INTEGER).any() else integers
    if integers.null_count() < len(integers):
        words = integers.is_null() & stripped.str.to_lowercase().is_in(_MISSING_WORDS)
        if int(words.sum()) == integers.null_count():
            place.refuse_where(words, column, "is not an id among integers; remove these rows or give them an id")
        return column
    integers = without_fraction(stripped).cast(pl.Int64, strict=False)
    return integers if integers.null_count() == 0 else column


def without_fraction(text: pl.Series) -> pl.Series:
    """Text that is "7.0" throughout, as pandas writes integers once a value was missing, as "7"; else as it is."""
    return text.str.replace(r"\.0+$", "") if text.str.contains(_INTEGRAL_FLOAT).all() else text


def index_ids(ids: pl.Series) -> tuple[NDArray[np.int32], pl.Series]:
    """Indices of ids in their sorted vocabulary.

    Returns:
        Indices, shape (n,), and the unique ids in ascending order (integers by value, text by code point).
    """
    if ids.dtype == pl.Int64 and len(ids):
        numbers = ids.to_numpy()
        lowest = int(numbers.min())
        width = int(numbers.max()) - lowest + 1
        if width <= _WIDEST_TABLE_A_ROW * len(ids):
            return _index_by_table(numbers, lowest, width, ids.name)
    vocabulary = ids.unique().sort()
    return positions(ids, vocabulary).to_numpy().astype(np.int32), vocabulary


def _index_by_table(
    numbers: NDArray[np.int64], lowest: int, width: int, name: str
) -> tuple[NDArray[np.int32], pl.Series]:
    """`index_ids` of integers that lie close together: a tenth of the time of hashing them."""
    shifted = numbers - lowest
    present = np.zeros(width, dtype=np.bool_)
    present[shifted] = True
    values = np.flatnonzero(present)
    table = np.cumsum(present, dtype=np.int32)
    table -= 1
    return table[shifted], pl.Series(name, values + lowest)


def alike(columns: Sequence[tuple[pl.Series, bool, str]], what: str) -> list[pl.Series]:
    """Raw ids of several inputs as one type, so that equal ids are equal.

    Args:
        columns: For each input its ids as `read_ids` gives them, whether it is a text file, and its name. Integers of
            a text file were recognised by their looks, so they become text where another input has text.
        what: What the ids are of, for the error.

    Raises:
        DataError: If one input has text and another one integers by type.
    """
    text = [source for ids, _, source in columns if ids.dtype == pl.String]
    if not text:
        return [ids for ids, _, _ in columns]
    for ids, is_text, source in columns:
        if ids.dtype != pl.String and not is_text:
            raise DataError(
                f"the {what} ids are integers in {source} and text in {text[0]}, so none could be the same; write them"
                " alike"
            )
    return [ids.cast(pl.String) for ids, _, _ in columns]


def positions(ids: pl.Series, vocabulary: pl.Series) -> pl.Series:
    """Position of each id in a vocabulary of the same type, null where it is absent.

    Args:
        ids: Raw ids, shape (n,).
        vocabulary: Unique raw ids, shape (V,), in any order.

    Returns:
        Int64 positions, shape (n,).
    """
    table = pl.DataFrame({"id": vocabulary}).with_row_index("at")
    found = pl.DataFrame({"id": ids}).join(table, on="id", how="left", maintain_order="left")
    return found["at"].cast(pl.Int64)
