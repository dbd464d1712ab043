"""Logs from files and frames, and back.

csv, tsv, txt (tab, comma or semicolon), RecBole's `.inter`, each also with .gz or .zst, Parquet, pandas and
polars. The number of a row in the input, from 0, is its lasting interaction id; duplicates are kept.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finestrec.data.columns import Columns, Role, find_columns, has_header, positional_columns
from finestrec.data.files import aside
from finestrec.data.identifiers import index_ids, read_ids
from finestrec.data.log import InteractionLog, TimeUnit, Vocabulary
from finestrec.data.places import Place
from finestrec.data.tables import PARQUET, Table, open_file, open_frame
from finestrec.data.textfiles import SEPARATORS
from finestrec.data.timestamps import TICKS_PER_SECOND, to_ticks, unit_by_magnitude
from finestrec.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def read_log(
    path: str | os.PathLike[str],
    *,
    user: str | None = None,
    item: str | None = None,
    timestamp: str | None = None,
    header: bool | None = None,
    min_length: int = 1,
    like: InteractionLog | None = None,
) -> InteractionLog:
    """Read a log from a file.

    Args:
        path: A csv, tsv, txt or inter file (also .gz, .zst) or a Parquet file.
        user: Name of the user column; by default the usual synonyms are recognised. In a file without a
            header the columns are `column_1`, `column_2`, ... Ids that are text are kept as they stand, with zeros
            in front and blanks around.
        item: Name of the item column.
        timestamp: Name of the time column: seconds, milliseconds or microseconds as numbers, or ISO 8601
            text; see `finestrec.data.timestamps`.
        header: Whether a text file's first line names the columns; by default that is found out. Without a
            header the columns are user, item, timestamp.
        min_length: Users with fewer interactions are dropped, and the vocabulary is frozen after that.
        like: An earlier log: where its ids are text, so are those of a text file, which has no types itself.

    Raises:
        DataError: If the file or a value in it is not usable; says file, row, column and value.
    """
    wanted: dict[Role, str | None] = {"user": user, "item": item, "timestamp": timestamp}
    table = open_file(Path(path), lambda fields: has_header(fields, wanted) if header is None else header)
    columns = (
        find_columns(table.names, wanted, table.source)
        if table.has_names
        else positional_columns(len(table.names), wanted, table.source)
    )
    return _log(table, columns, like).with_min_length(min_length)


def log_from_frame(
    frame: "pl.DataFrame | pl.LazyFrame | pd.DataFrame",
    *,
    user: str | None = None,
    item: str | None = None,
    timestamp: str | None = None,
) -> InteractionLog:
    """Read a log from a pandas or polars frame, which is not edited.

    Args:
        frame: One row an interaction. Row numbers (not index labels) become interaction ids.
        user: Name of the user column; by default the usual synonyms are recognised.
        item: Name of the item column.
        timestamp: Name of the time column.

    Raises:
        DataError: If a column is missing or a value is not usable; says column, row and value.
    """
    table = open_frame(frame)
    wanted: dict[Role, str | None] = {"user": user, "item": item, "timestamp": timestamp}
    return _log(table, find_columns(table.names, wanted, table.source))


def _log(table: Table, columns: Columns, like: InteractionLog | None = None) -> InteractionLog:
    users, items, times = table.read(columns)
    if len(users) == 0:
        raise DataError(f"{table.source} has columns but no rows; a log needs at least one interaction")
    places = [table.place(at) for at in columns]
    ticks, unit = to_ticks(times, places[2])
    known = None if like is None or not table.is_text else like.vocabulary
    user_of_row, user_ids = index_ids(_ids(users, places[0], None if known is None else known.users))
    item_of_row, item_ids = index_ids(_ids(items, places[1], None if known is None else known.items))
    return packed(user_of_row, item_of_row, ticks, Vocabulary(user_ids, item_ids), unit)


def _ids(column: pl.Series, place: Place, known: pl.Series | None) -> pl.Series:
    ids = read_ids(column, place)
    return column if known is not None and known.dtype == pl.String else ids


def packed(
    users: NDArray[np.int32],
    items: NDArray[np.int32],
    times: NDArray[np.int64],
    vocabulary: Vocabulary,
    time_unit: TimeUnit,
) -> InteractionLog:
    """The log of unsorted rows; a row's position becomes its interaction id.

    Args:
        users: User index of each row, shape (n,).
        items: Item index of each row, shape (n,).
        times: Ticks of `time_unit`, shape (n,).
        vocabulary: Raw ids of the indices.
        time_unit: What one tick is.
    """
    order = _by_user_and_time(users, times)
    lengths = np.bincount(users, minlength=len(vocabulary.users))
    return InteractionLog(
        items=items[order],
        times=times[order],
        interaction_ids=order,
        offsets=np.concatenate(([0], np.cumsum(lengths))),
        vocabulary=vocabulary,
        time_unit=time_unit,
    )


def _by_user_and_time(users: NDArray[np.int32], times: NDArray[np.int64]) -> NDArray[np.int64]:
    if len(users) == 0:
        return np.empty(0, dtype=np.int64)
    earliest = int(times.min())
    span = int(times.max()) - earliest + 1
    if span * (int(users.max()) + 1) >= 2**63:
        return np.lexsort((times, users))
    # One sort of a packed key takes half the time of two sorts; stable, so equal times stay in input order.
    key = users * np.int64(span)
    key += times - earliest
    return np.argsort(key, kind="stable")


def write_log(log: InteractionLog, path: str | os.PathLike[str]) -> None:
    """Write a log with its raw ids, in the order of (time, interaction id).

    Columns are user_id, item_id, timestamp and, in Parquet only, interaction_id. Times are the log's ticks,
    or seconds with decimals where ticks would be read back as another unit. The file is whole or absent. Only
    Parquet keeps the type of the ids: text ids that all look like integers come back from csv as integers.

    Args:
        log: Any log; users without interactions leave no trace.
        path: Ends in .csv, .tsv or .parquet.

    Raises:
        DataError: If the ending is another one, or the folder is missing or not writable.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in (".csv", ".tsv", *PARQUET):
        raise DataError(f"{path.name}: a log is written as .csv, .tsv or .parquet, not as {ending or 'nothing'!r}")
    if path.is_dir() or not path.parent.is_dir():
        problem = "is a directory" if path.is_dir() else f"cannot be written: there is no folder {path.parent}"
        raise DataError(f"{path} {problem}")
    frame = log.to_frame()[log.order()]
    if _needs_decimals(log):
        frame = frame.with_columns(pl.col("timestamp") / TICKS_PER_SECOND[log.time_unit])
    try:
        with aside(path) as temporary:
            if ending in PARQUET:
                frame.write_parquet(temporary)
            else:
                frame.drop("interaction_id").write_csv(temporary, separator=SEPARATORS[ending][0])
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from None


def _needs_decimals(log: InteractionLog) -> bool:
    largest = int(np.abs(log.times).max(initial=0))
    return unit_by_magnitude(largest) != log.time_unit
