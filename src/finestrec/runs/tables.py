"""The tables of a run folder: the log with its ids and parts, the frozen vocabulary, the results."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finestrec.data.alignment import under_vocabulary
from finestrec.data.files import aside, write_aside
from finestrec.data.identifiers import index_ids
from finestrec.data.log import InteractionLog, Vocabulary
from finestrec.data.sources import packed
from finestrec.data.splits import Split
from finestrec.errors import FinestrecError, RunFolderError
from finestrec.stability.rows import rows_to_frame

LOG = "interactions.parquet"
VOCABULARY = {"user_id": "vocabulary/users.parquet", "item_id": "vocabulary/items.parquet"}
RESULTS = "results"
LISTS = "lists.parquet"
TRAIN, TEST = "train", "test"


def write_table(frame: pl.DataFrame, path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a Parquet file that is whole or absent."""
    with aside(path) as temporary:
        frame.write_parquet(temporary, metadata=metadata)


def read_table(path: Path) -> pl.DataFrame:
    """Read a Parquet file of a run folder.

    Raises:
        RunFolderError: If it is missing or damaged.
        PermissionError: If it may not be read.
    """
    if not path.is_file():
        raise RunFolderError(f"{path} is missing; make the run again")
    refuse_unreadable(path)
    try:
        return pl.read_parquet(path, glob=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise damaged(path, error) from None


def refuse_unreadable(path: Path) -> None:
    """Let the error about a file that may not be read be what it is: the file is not damaged.

    Raises:
        PermissionError: If so.
    """
    with suppress(FileNotFoundError), path.open("rb"):
        pass


def damaged(path: Path, error: Exception | str) -> RunFolderError:
    """The error about a file that cannot be used."""
    reason = str(error).strip().split("\n", maxsplit=1)[0]
    return RunFolderError(f"{path} is truncated or damaged ({reason}); make the run again")


@dataclass(frozen=True, eq=False)
class StoredLog:
    """What a run was made from.

    Attributes:
        whole: Every interaction of the file, under a vocabulary of its own.
        split: The run's users and the frozen vocabulary; training rows are a prefix of each user's.
        test_ids: Interactions that are test; what is neither is held back because it came after one.
    """

    whole: InteractionLog
    split: Split
    test_ids: NDArray[np.int64]

    def write(self, folder: Path) -> None:
        """Write the log and the vocabulary."""
        ids = self.whole.interaction_ids
        is_train = pl.lit(pl.Series(np.isin(ids, self.split.train.interaction_ids)))
        is_test = pl.lit(pl.Series(np.isin(ids, self.test_ids)))
        part = pl.when(is_train).then(pl.lit(TRAIN)).when(is_test).then(pl.lit(TEST))
        frame = self.whole.to_frame().with_columns(part=part)
        (folder / "vocabulary").mkdir(exist_ok=True)
        for column, name in VOCABULARY.items():
            vocabulary = self.split.log.vocabulary
            values = vocabulary.users if column == "user_id" else vocabulary.items
            write_table(pl.DataFrame({column: values}), folder / name)
        write_table(frame, folder / LOG, {"time_unit": self.whole.time_unit})

    @classmethod
    def read(cls, folder: Path) -> "StoredLog":
        """Read what `write` wrote.

        Raises:
            RunFolderError: If a file is missing or damaged.
        """
        frame = read_table(folder / LOG)
        try:
            users, items = (read_table(folder / name)[column] for column, name in VOCABULARY.items())
            vocabulary = Vocabulary(users, items)
            whole = _whole(frame, pl.read_parquet_metadata(folder / LOG)["time_unit"])
            is_ours = whole.vocabulary.users.is_in(users.implode()).to_numpy()
            log = under_vocabulary(whole.keep(is_ours[whole.users]), vocabulary)
            ids = frame["interaction_id"].to_numpy()
            is_train = np.isin(log.interaction_ids, ids[(frame["part"] == TRAIN).fill_null(False).to_numpy()])
            test_ids = ids[(frame["part"] == TEST).fill_null(False).to_numpy()]
        except (pl.exceptions.PolarsError, KeyError, FinestrecError) as error:
            if isinstance(error, RunFolderError):
                raise
            raise damaged(folder / LOG, error) from None
        n_train = np.bincount(log.users[is_train], minlength=log.n_users)
        return cls(whole, Split(log, n_train), test_ids)


def _whole(frame: pl.DataFrame, time_unit: Any) -> InteractionLog:
    """The log of rows that are sorted by user, time and id already."""
    user, users = index_ids(frame["user_id"])
    item, items = index_ids(frame["item_id"])
    log = packed(user, item, frame["timestamp"].to_numpy(), Vocabulary(users, items), time_unit)
    return replace(log, interaction_ids=frame["interaction_id"].to_numpy()[log.interaction_ids])


def write_results(folder: Path, document: Mapping[str, Any], tables: Mapping[str, pl.DataFrame] | None = None) -> None:
    """Write results.json, its rows flattened as results.parquet, and the tables beside them.

    Args:
        folder: Where.
        document: With the key "rows".
        tables: By the name of the file.
    """
    for name, table in (tables or {}).items():
        write_table(table, folder / f"{name}.parquet")
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    write_table(rows_to_frame(document["rows"]), folder / f"{RESULTS}.parquet")
    write_aside(folder / f"{RESULTS}.json", text)


def read_results(folder: Path) -> dict[str, Any]:
    """The document of results.json.

    Raises:
        RunFolderError: If it is missing or damaged.
    """
    path = folder / f"{RESULTS}.json"
    try:
        document: dict[str, Any] = json.loads(path.read_text())
    except OSError:
        raise RunFolderError(f"{path} is missing; make the run again") from None
    except ValueError as error:
        raise damaged(path, error) from None
    return document
