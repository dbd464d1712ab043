"""Files of recommendation lists, and of the users or items that are asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import polars as pl

from finestrec.data.columns import SYNONYMS, Role, recognised_column
from finestrec.data.files import aside
from finestrec.data.tables import PARQUET
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
        path: Parquet, csv or tsv with the column; any other text file has one id a line.
        dtype: Type of the ids of the log, Int64 or String.
        column: The name of the column.

    Returns:
        The ids that are of that type, and as text those that cannot be: "007" or "abc" where all ids are integers.

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
    integers = ids.cast(pl.Int64, strict=False)
    # An integer and no other way to write or to round one: "007" and 7 are never the same id.
    same = ids == integers if ids.dtype.is_numeric() else ids == integers.cast(pl.String)
    same = same.fill_null(value=False)
    return integers.filter(same), ids.filter(~same).cast(pl.String)


def _column(path: Path, column: str) -> pl.Series:
    with _readable(path):
        if path.suffix.lower() in PARQUET:
            frame = pl.read_parquet(path, glob=False)
        else:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
            separator = _SEPARATORS.get(path.suffix.lower(), ",")
            names = [name.strip().strip('"') for name in lines[0].split(separator)] if lines else []
            if _position(names, column, path) is None:
                return pl.Series(column, [line.strip() for line in lines if line.strip()], dtype=pl.String)
            frame = pl.read_csv(path, separator=separator, infer_schema=False)
    at = _position(frame.columns, column, path)
    if at is None:
        raise DataError(f"{path.name} has no column {column}; its columns are {', '.join(frame.columns)}")
    return frame.to_series(at)


def _position(names: list[str], column: str, path: Path) -> int | None:
    """Of the column of that name, or of one that a log may call so."""
    if column in names:
        return names.index(column)
    role: Role = "user" if column == "user_id" else "item"
    return recognised_column(names, SYNONYMS[role], role, path.name)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        first = str(error).split("\n", maxsplit=1)[0]
        raise DataError(f"{path.name} cannot be read: {first}") from None
