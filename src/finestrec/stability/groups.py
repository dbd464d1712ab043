"""Groups of users or instances: a column of an ordered `polars.Enum`, one line each."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finestrec.data.identifiers import alike, positions
from finestrec.data.places import shown
from finestrec.data.usertables import UserTable
from finestrec.errors import DataError

NOT_GIVEN: Final = "(none given)"
_MOST_GROUPS = 50
_MOST_NUMBERS = 10
"""A column of more different numbers is cut into quarters."""


def user_slices(known: UserTable, users: pl.Series, *, is_text: bool, owner: str) -> tuple[pl.DataFrame, list[str]]:
    """Columns that describe users, as slices.

    Text, truth values and up to ten different numbers are groups as they stand; more numbers are cut into quarters of
    the users. Users that the table lacks, and missing values, are a group of their own.

    Args:
        known: Of users.
        users: Raw ids, shape (n,).
        is_text: Whether those came from text files, so that integers among them may be text elsewhere.
        owner: Of those users, for messages.

    Returns:
        One line a user; and a note where the table lacks some.

    Raises:
        DataError: If ids are of different types, the table has none of the users, or a column has too many groups.
    """
    asked, own = alike([(users, is_text, owner), (known.users, known.is_text, known.source)], "user")
    row = positions(asked, own)
    missing = row.null_count()
    if missing == len(row):
        raise DataError(
            f"{known.source} has none of the {len(row):,} users of {owner} (e.g. {shown(asked[0])}); its first is"
            f" {shown(own[0])}"
        )
    notes = [f"{known.source}: no row for {missing:,} users, whose slices are {NOT_GIVEN}"] if missing else []
    columns = (_by_value(column.gather(row), known) for column in known.properties)
    return pl.DataFrame(list(columns)), notes


def _by_value(column: pl.Series, known: UserTable) -> pl.Series:
    values = column.drop_nulls().unique()
    # A text file has no types: its numbers are recognised by their looks.
    numbers = values.cast(pl.Float64, strict=False) if known.is_text or column.dtype.is_numeric() else None
    if numbers is not None and not numbers.has_nulls():
        if len(values) > _MOST_NUMBERS:
            cut = quarters(column.cast(pl.Float64).fill_null(np.nan).to_numpy(), np.arange(len(column)))
            return cut.alias(column.name)
        values = values.gather(numbers.arg_sort())
    else:
        values = values.sort()
    if len(values) > _MOST_GROUPS:
        raise DataError(
            f"{known.source}, column {column.name!r}: {len(values):,} different values; slices are made of at most"
            f" {_MOST_GROUPS}, so group the values or leave the column out"
        )
    groups = dict.fromkeys([*values.cast(pl.String), *_none(column.has_nulls())])
    return column.cast(pl.String).fill_null(NOT_GIVEN).cast(pl.Enum(list(groups)))


def quarters(values: NDArray[np.generic], among: NDArray[np.int64]) -> pl.Series:
    """Groups of about a quarter each, named by their lowest and highest value.

    Args:
        values: Numbers, shape (n,); NaN is a group of its own.
        among: Which of them the quarters are of; all others are in the group that they come next to.

    Returns:
        Shape (n,). A value equal to a border is below it, so equal values are never parted.

    Examples:
        >>> import numpy as np
        >>> quarters(np.array([1, 1, 1, 2, 3, 5, 8, 13]), np.arange(8)).to_list()
        ['1', '1', '1', '2', '3 to 5', '3 to 5', '8 to 13', '8 to 13']
    """
    numbers = np.asarray(values, dtype=np.float64)
    known = numbers[among][~np.isnan(numbers[among])]
    if len(known) == 0:
        return pl.repeat(NOT_GIVEN, len(numbers), dtype=pl.Enum([NOT_GIVEN]), eager=True)
    borders = np.unique(np.quantile(known, [0.25, 0.5, 0.75], method="inverted_cdf"))
    group_of = np.searchsorted(borders, known)
    group = np.searchsorted(borders, numbers)
    used = np.unique(group_of)
    labels = [_span(known[group_of == g]) for g in used]
    place = np.searchsorted(used, np.minimum(group, used[-1]))
    missing = np.isnan(numbers)
    return named(np.where(missing, len(labels), place), [*labels, *_none(bool(missing.any()))])


def _span(values: NDArray[np.float64]) -> str:
    low, high = (f"{value:,.10g}" for value in (values.min(), values.max()))
    return low if low == high else f"{low} to {high}"


def _none(is_needed: bool) -> list[str]:
    return [NOT_GIVEN] if is_needed else []


def named(group: NDArray[np.int64], labels: Sequence[str]) -> pl.Series:
    """The labels at some positions, ordered as they are listed."""
    return pl.Series(labels, dtype=pl.Enum(list(labels))).gather(group)
