"""Where in the input a value stands, for error messages that can be acted on."""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from finestrec.errors import DataError

LONGEST_SHOWN = 60


def shown(value: object) -> str:
    """A value as an error message prints it: quoted, and cut when it is long."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 3] + "..."


@dataclass(frozen=True)
class Place:
    """One column of one input.

    Attributes:
        source: The file's name, or "the frame".
        column: The column's name as the input has it.
        line_of: Of a text file, finds the line (from 1) of a data row (from 0), or None if it cannot be told.
    """

    source: str
    column: str
    line_of: Callable[[int], int | None] | None = None

    @property
    def is_text(self) -> bool:
        """Whether the input is a text file, whose values have no type."""
        return self.line_of is not None

    def row(self, index: int) -> str:
        """Names the row at `index` (from 0) as people would look for it."""
        if self.line_of is None:
            return f"row {index} (counted from 0)"
        line = self.line_of(index)
        return f"data row {index + 1}" + ("" if line is None else f" (line {line})")

    def refuse(self, why: str) -> DataError:
        """An error about the column as a whole."""
        return DataError(f"{self.source}, column {self.column!r}: {why}")

    def refuse_where(self, wrong: pl.Series, values: pl.Series, why: str) -> None:
        """Refuse the column if any value is wrong, naming the first.

        Args:
            wrong: Booleans, shape (n,).
            values: The column as read, shape (n,).
            why: Completes the sentence "<value> ...".

        Raises:
            DataError: With source, row, column and value, and the number of further rows like it.
        """
        count = int(wrong.sum())
        if count == 0:
            return
        first = wrong.arg_max()
        assert first is not None  # there is a true value
        value = values[first]
        what = "nothing (null)" if value is None else shown(value)
        more = f" ({count - 1:,} more rows like it)" if count > 1 else ""
        raise DataError(f"{self.source}, {self.row(first)}, column {self.column!r}: {what} {why}{more}")
