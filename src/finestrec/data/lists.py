"""Files of recommendation lists, and of the users or items that are asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import polars as pl

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


def read_ids_file(path: Path, dtype: pl.DataType, column: Literal["user_id", "item_id"]) -> pl.Series:
    """Raw user or item ids, each once, in the order of the file.

    Args:
        path: Parquet, csv or tsv with the column; any other text file has one id a line.
        dtype: Type of the ids of the log. What cannot be of that type is no user of it and is kept as it is
            where that is possible.
        column: The name of the column.

    Raises:
        DataError: If the file is missing or empty, or its ids can be none of the log.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    ids = _column(path, column).drop_nulls().unique(maintain_order=True)
    if len(ids) == 0:
        raise DataError(
            f"{path.name} names no {column.removesuffix('_id')}s; expected one id a line, or a column {column}"
        )
    return _of_type(ids, dtype, column, path.name)


def _of_type(ids: pl.Series, dtype: pl.DataType, column: str, name: str) -> pl.Series:
    if dtype == pl.String:
        return ids.cast(pl.String)
    integers = ids.cast(pl.Int64, strict=False)
    if integers.null_count():
        wrong, what = ids.filter(integers.is_null())[0], column.removesuffix("_id")
        raise DataError(f"{name}: the {what} id {wrong!r} is not an integer, but all {what} ids of the log are")
    return integers


def _column(path: Path, column: str) -> pl.Series:
    with _readable(path):
        if path.suffix.lower() in PARQUET:
            frame = pl.read_parquet(path, glob=False)
        else:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
            separator = _SEPARATORS.get(path.suffix.lower(), ",")
            names = [name.strip().strip('"') for name in lines[0].split(separator)] if lines else []
            if column not in names:
                return pl.Series(column, [line.strip() for line in lines if line.strip()], dtype=pl.String)
            frame = pl.read_csv(path, separator=separator, infer_schema=False)
    _check_column(frame, column, path)
    return frame[column]


def _check_column(frame: pl.DataFrame, column: str, path: Path) -> None:
    if column not in frame.columns:
        raise DataError(f"{path.name} has no column {column}; its columns are {', '.join(frame.columns)}")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        first = str(error).split("\n", maxsplit=1)[0]
        raise DataError(f"{path.name} cannot be read: {first}") from None
