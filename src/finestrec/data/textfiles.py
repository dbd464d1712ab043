"""Text tables: which separator, whether there is a header, and columns of text."""

import csv
import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from finestrec.errors import DataError

SEPARATORS: dict[str, str] = {".csv": ",;\t", ".tsv": "\t", ".txt": "\t,;", ".inter": "\t"}
"""Endings of text files, and the separators that each may have; the first one in the first line is it."""
_COMPRESSED = (".gz", ".zst")
_HEAD_BYTES = 4096


@dataclass(frozen=True)
class TextFile:
    """A text table whose layout is known.

    Attributes:
        names: Column names, or `column_1`, ... where the file has no header.
        header: Whether the first line is names.
    """

    path: Path
    separator: str
    names: list[str]
    header: bool

    @staticmethod
    def kind(path: Path) -> str:
        """The ending that says what is in the file, that of the compression left aside."""
        if path.suffix.lower() in _COMPRESSED:
            path = path.with_suffix("")
        return path.suffix.lower()

    @classmethod
    def open(cls, path: Path, is_header: Callable[[list[str]], bool]) -> "TextFile":
        """Look at the first line of a file.

        Args:
            path: With an ending of `SEPARATORS`.
            is_header: Tells from the fields of the first line whether they are names.

        Raises:
            DataError: If the file is not text.
        """
        _check_is_text(path)
        separator = _separator(path)
        fields = [field.strip() for field in _first_row(path, separator)]
        if is_header(fields):
            return cls(path, separator, fields, True)
        return cls(path, separator, [f"column_{at + 1}" for at in range(len(fields))], False)

    def read(self, columns: Sequence[int]) -> list[pl.Series]:
        """Columns as text, null where a field is empty or absent.

        Args:
            columns: Their positions, from 0.

        Raises:
            DataError: If the file cannot be read to its end.
        """
        keys = [f"column_{at + 1}" for at in range(len(self.names))]
        try:
            frame = pl.read_csv(
                self.path,
                has_header=False,
                skip_rows=int(self.header),
                separator=self.separator,
                schema=dict.fromkeys(keys, pl.String),
                columns=sorted(set(columns)),
                glob=False,
                raise_if_empty=False,
                missing_columns="insert",
            )
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(self._what_is_wrong(error)) from None
        series = [frame[keys[at]] for at in columns]
        return [column.head(_without_blank_end(series)) for column in series]

    def line_of(self, row: int) -> int | None:
        """The line, from 1, on which a data row (from 0) begins; None if it cannot be told.

        Fields in quotes may have line breaks in them, so the file is read up to there.
        """
        return self._find(lambda at, _: at == row + self.header)

    def _find(self, is_wanted: Callable[[int, list[str]], bool]) -> int | None:
        """The line on which the first row begins whose number and fields are wanted."""
        opener = {".gz": gzip.open, ".zst": None}.get(self.path.suffix.lower(), open)
        if opener is None:
            return None
        begins = 1
        try:
            with opener(self.path, "rt", encoding="utf-8", newline="") as file:
                reader = csv.reader(file, delimiter=self.separator)
                for at, fields in enumerate(reader):
                    if is_wanted(at, fields):
                        return begins
                    begins = reader.line_num + 1
        except (OSError, UnicodeDecodeError, csv.Error, EOFError):
            pass
        return None

    def _what_is_wrong(self, error: Exception) -> str:
        line = self._find(lambda _, fields: len(fields) > len(self.names))
        if line is not None:
            return (
                f"{self.path.name}, line {line}: more fields than the {len(self.names)} of the first line;"
                " quote fields that contain the separator"
            )
        return _unreadable(self.path, error)


def _unreadable(path: Path, error: Exception) -> str:
    first = str(error).strip().split("\n", maxsplit=1)[0]
    if "utf-8" in first.lower() or "utf8" in first.lower():
        return f"{path.name} is not UTF-8 text; convert it, e.g. with iconv -t utf-8"
    if "could not parse" in first or "CSV malformed" in first:
        return (
            f"{path.name}: a quotation mark is not closed, or stands inside a field; write such a field as"
            ' "5"" nail", quoted and the mark doubled'
        )
    return f"{path.name} cannot be read: {first}"


def _check_is_text(path: Path) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    if not head:
        raise DataError(f"{path.name} is empty; expected a table of at least one row")
    if head.startswith(b"PAR1"):
        raise DataError(f"{path.name} is a Parquet file; let its name end in .parquet")
    if b"\0" in head and path.suffix.lower() not in _COMPRESSED:
        raise DataError(f"{path.name} is not UTF-8 text (it has NUL bytes); expected a table of text, or .parquet")


def _first_row(path: Path, separator: str, quote: str | None = '"') -> list[str]:
    try:
        row = pl.read_csv(
            path,
            has_header=False,
            n_rows=1,
            separator=separator,
            quote_char=quote,
            infer_schema=False,
            truncate_ragged_lines=True,
            glob=False,
        ).row(0)
    except pl.exceptions.NoDataError:
        raise DataError(f"{path.name} is empty; expected a table of at least one row") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(_unreadable(path, error)) from None
    if not any(row):
        raise DataError(f"{path.name}: the first line is blank; expected column names or the first interaction")
    return [field or "" for field in row]


def _separator(path: Path) -> str:
    choices = SEPARATORS[TextFile.kind(path)]
    [line] = _first_row(path, separator="\x01", quote=None)
    return next((choice for choice in choices if choice in line), choices[0])


def _without_blank_end(series: list[pl.Series]) -> int:
    """Rows up to the last one that is not blank: lines are often left blank at the end of a file."""
    rows = len(series[0])
    while rows and all(column[rows - 1] is None for column in series):
        rows -= 1
    return rows
