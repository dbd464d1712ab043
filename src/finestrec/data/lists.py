"""Files of recommendation lists, and of the users or items that are asked for."""

from pathlib import Path
from typing import Literal

import polars as pl

from finestrec.data.columns import SYNONYMS, Role, recognised_column
from finestrec.data.files import aside
from finestrec.data.identifiers import without_fraction
from finestrec.data.tables import PARQUET, open_file
from finestrec.data.textfiles import SEPARATORS, TextFile
from finestrec.errors import DataError

_SEPARATORS = {".csv": ",", ".tsv": "\t"}


def check_ending(path: Path) -> None:
    """Refuse a name that `write_lists` cannot write, before any work is done.

    Raises:
        DataError: If the ending is unknown.
    """
    if path.suffix.lower() not in (*_SEPARATORS, *PARQUET):
        raise DataError(
            f"{path.name}: lists are written as .parquet, .csv or .tsv, not as {path.suffix or 'nothing'!r}"
        )


def write_lists(lists: pl.DataFrame, path: Path) -> None:
    """Write lists by the ending of the name; the file is whole or absent.

    Raises:
        DataError: If the ending is unknown.
    """
    check_ending(path)
    ending = path.suffix.lower()
    with aside(path) as temporary:
        if ending in PARQUET:
            lists.write_parquet(temporary)
        else:
            lists.write_csv(temporary, separator=_SEPARATORS[ending])


def read_ids_file(path: Path, dtype: pl.DataType, column: Literal["user_id", "item_id"]) -> tuple[pl.Series, pl.Series]:
    """Raw user or item ids, each once, in the order of the file.

    Args:
        path: A table as logs are, with the column; any other text file has one id a line.
        dtype: Type of the ids of the log, Int64 or String.
        column: The name of the column.

    Returns:
        The ids that are of that type, and as text those that cannot be: "007" or "abc" where all ids are integers.
        Where all of a file are written as whole floats, "7.0" is 7, as it is in a log.

    Raises:
        DataError: If the file is missing, empty or not readable.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    ids = _column(path, column).drop_nulls().unique(maintain_order=True)
    if len(ids) == 0:
        raise DataError(
            f"{path.name} names no {column.removesuffix('_id')}s; expected one id a line, or a column {column}"
        )
    if dtype == pl.String:
        return ids.cast(pl.String), ids.clear().cast(pl.String)
    if ids.dtype == pl.String:
        ids = without_fraction(ids).unique(maintain_order=True)
    integers = ids.cast(pl.Int64, strict=False)
    # An integer and no other way to write or to round one: "007" and 7 are never the same id.
    same = ids == integers if ids.dtype.is_numeric() else ids == integers.cast(pl.String)
    same = same.fill_null(value=False)
    return integers.filter(same), ids.filter(~same).cast(pl.String)


def _column(path: Path, column: str) -> pl.Series:
    kind = TextFile.kind(path)
    if kind in PARQUET:
        table = open_file(path)
    elif kind in SEPARATORS and _begins_with_text(path):
        table = open_file(path, is_header=lambda names: _position(names, column, path) is not None)
        if not table.has_names and path.suffix.lower() == kind:  # the line is the id, whatever is in it
            return _lines(path, column)
    else:
        return _lines(path, column)
    at = _position(table.names, column, path) if table.has_names else 0
    if at is None or not (table.has_names or len(table.names) == 1):
        raise DataError(f"{path.name} has no column {column}; its columns are {', '.join(table.names)}")
    [ids] = table.read([at])
    return ids


def _begins_with_text(path: Path) -> bool:
    with path.open("rb") as file:
        return bool(file.readline().strip())


def _lines(path: Path, column: str) -> pl.Series:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name} cannot be read: {error}") from None
    return pl.Series(column, [line.strip() for line in lines if line.strip()], dtype=pl.String)


def _position(names: list[str], column: str, path: Path) -> int | None:
    """Of the column of that name, or of one that a log may call so."""
    if column in names:
        return names.index(column)
    role: Role = "user" if column == "user_id" else "item"
    return recognised_column(names, SYNONYMS[role], role, path.name)
