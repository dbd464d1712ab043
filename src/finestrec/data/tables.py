"""Tables from files and frames, of which columns are read by position."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import polars as pl

from finestrec.data.places import Place
from finestrec.data.textfiles import SEPARATORS, TextFile
from finestrec.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    Source: TypeAlias = str | os.PathLike[str] | pl.DataFrame | pl.LazyFrame | pd.DataFrame

PARQUET = (".parquet", ".pq")


@dataclass(frozen=True, eq=False)
class Table:
    """A table whose columns are known and not read yet.

    Attributes:
        source: What error messages call it.
        names: Of the columns, as the input has them.
        read: The columns at some positions; those of a text file as text, null where a field is empty.
        line_of: Of a text file, finds the line of a row for error messages; see `Place`.
        has_names: Whether the input names its columns; else they are `column_1`, ...
    """

    source: str
    names: list[str]
    read: Callable[[Sequence[int]], list[pl.Series]]
    line_of: Callable[[int], int | None] | None = None
    has_names: bool = True

    @property
    def is_text(self) -> bool:
        """Whether values have no type."""
        return self.line_of is not None

    def place(self, at: int) -> Place:
        """Where the values of a column stand."""
        return Place(self.source, self.names[at], self.line_of)


def open_source(source: "Source", label: str) -> Table:
    """A file or a frame, by `open_file` or `open_frame`."""
    if isinstance(source, str | os.PathLike):
        return open_file(Path(source), label=label)
    return open_frame(source, label)


def open_file(path: Path, is_header: Callable[[list[str]], bool] = lambda _: True, label: str = "") -> Table:
    """A Parquet file, or a text file (csv, tsv, txt, inter, also .gz and .zst).

    Args:
        path: The file.
        is_header: Tells from the fields of a text file's first line whether they are names.
        label: Stands before the file's name in error messages.

    Raises:
        DataError: If there is no such file, or it is neither.
    """
    if path.is_dir():
        raise DataError(f"{path} is a directory; name a file in it")
    if not path.exists():
        raise DataError(f"there is no file {path}")
    source = f"{label} {path.name}".strip()
    if path.suffix.lower() in PARQUET:
        return _parquet(path, source)
    if TextFile.kind(path) in SEPARATORS:
        with _told(label):
            text = TextFile.open(path, is_header)

        def read(columns: Sequence[int]) -> list[pl.Series]:
            with _told(label):
                return text.read(columns)

        return Table(source, text.names, read, text.line_of, text.header)
    raise DataError(
        f"{source}: files that end in {path.suffix or 'nothing'!r} cannot be read; known are"
        f" {', '.join(SEPARATORS)} (also with .gz or .zst) and {', '.join(PARQUET)}"
    )


@contextmanager
def _told(label: str) -> Iterator[None]:
    """Put the label before what a text file is refused for: two inputs may have the same name."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{label} {error}".strip()) from None


def _parquet(path: Path, source: str) -> Table:
    table = pl.scan_parquet(path, glob=False)
    with _readable(source):
        names = table.collect_schema().names()

    def read(columns: Sequence[int]) -> list[pl.Series]:
        with _readable(source):
            frame = table.select(list(dict.fromkeys(names[at] for at in columns))).collect(engine="streaming")
        return [frame[names[at]] for at in columns]

    return Table(source, names, read)


@contextmanager
def _readable(source: str) -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        first = str(error).strip().split("\n", maxsplit=1)[0]
        raise DataError(f"{source} cannot be read as Parquet: {first}") from None


def open_frame(frame: "pl.DataFrame | pl.LazyFrame | pd.DataFrame", label: str = "the frame") -> Table:
    """A pandas or polars frame, which is not edited.

    Args:
        frame: The frame.
        label: What error messages call it.

    Raises:
        DataError: If it is no frame.
    """
    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect()
    if not hasattr(frame, "columns") or not hasattr(frame, "__getitem__"):
        raise DataError(f"{label}: expected a pandas or polars frame, found {type(frame).__name__}")
    labels: list[Any] = list(frame.columns)
    names = [str(name) for name in labels]
    return Table(label, names, lambda columns: [_as_series(frame, labels[at], names[at], label) for at in columns])


def _as_series(frame: Any, key: Any, name: str, label: str) -> pl.Series:
    column = frame[key]
    if isinstance(column, pl.Series):
        return column
    try:
        return pl.Series(name, column)
    except (ImportError, AttributeError, TypeError, ValueError, pl.exceptions.PolarsError):
        pass  # pandas without pyarrow, or a column of mixed objects: value by value is slower, but tells
    values = column.tolist()
    try:
        return pl.Series(name, values)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        first = next((value for value in values if value is not None), None)
        at, other = next(
            ((at, value) for at, value in enumerate(values) if value is not None and type(value) is not type(first)),
            (0, first),
        )
        raise DataError(
            f"{label}, column {name!r}, row {at}: {other!r} is of type {type(other).__name__}; the column begins"
            f" with {first!r}; make its values all integers or all text"
        ) from None
