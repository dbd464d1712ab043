"""The interaction log as packed columns.

A log of five interactions of two users, items indexed 0..2::

    offsets          [0,          3,     5]
    items            [2,  0,  2 | 1,  0 ]     index into vocabulary.items
    times            [5,  7,  7 | 1,  9 ]     integer ticks of `time_unit`
    interaction_ids  [4,  0,  1 | 2,  3 ]     row numbers in the input, for ever

Rows are sorted by user, then time, then interaction id, so a perturbation is a vectorised edit of whole
columns. Users are rows 0..U-1 of `vocabulary.users`; a user whose interactions were all deleted keeps the
index and has an empty segment. Nothing is renumbered after a perturbation.
"""

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NewType

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finestrec.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

ItemId = NewType("ItemId", object)
"""A raw item id, as the input file has it (string or integer)."""
ItemIndex = NewType("ItemIndex", int)
"""A position in `Vocabulary.items`, 0..N-1; also the score column of the item."""

TimeUnit = Literal["s", "ms", "us"]
TICKS_PER_DAY: dict[TimeUnit, int] = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000}

NEW_INTERACTION = -1
"""The interaction id of a row that a perturbation substituted or inserted."""
NO_ITEM = -1
"""The item index that stands for none: an unknown target, the end of a shorter list."""


def _read_only(array: NDArray[np.int64]) -> NDArray[np.int64]:
    array.flags.writeable = False
    return array


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The raw ids behind the indices, frozen when the log was read.

    Attributes:
        users: Raw user ids, shape (U,), unique, ascending.
        items: Raw item ids, shape (N,), unique; ascending when first frozen, later ones are appended.
    """

    users: pl.Series
    items: pl.Series


@dataclass(frozen=True)
class LogSummary:
    """What a log holds, for people to read. Users and items without interactions are not counted.

    Attributes:
        duplicates: Rows equal to an earlier row in user, item and time. They are kept.
        repeat_share: Share of interactions with an item that the user had before, 0..1.
        tied_time_share: Share of interactions with the time of the user's previous interaction, 0..1.
    """

    users: int
    items: int
    interactions: int
    median_length: float
    max_length: int
    duplicates: int
    repeat_share: float
    tied_time_share: float


@dataclass(frozen=True, eq=False)
class InteractionLog:
    """An immutable log of (user, item, time), packed by user.

    Attributes:
        items: Item indices, int32, shape (n,).
        times: Ticks of `time_unit`, int64, shape (n,), ascending within a user.
        interaction_ids: Lasting ids, int64, shape (n,); -1 for substituted and inserted rows.
        offsets: Start of each user's rows, int64, shape (U + 1,).
        vocabulary: Raw ids of users and items.
        time_unit: What one tick is.
        origin: The log that this one was derived from by edits, or None. Windows and batches are dealt from
            the origin, so that a perturbation does not re-deal them.
    """

    items: NDArray[np.int32]
    times: NDArray[np.int64]
    interaction_ids: NDArray[np.int64]
    offsets: NDArray[np.int64]
    vocabulary: Vocabulary
    time_unit: TimeUnit = "s"
    origin: "InteractionLog | None" = field(default=None, repr=False)

    def __post_init__(self) -> None:
        n = len(self.items)
        if not (len(self.times) == len(self.interaction_ids) == n):
            raise DataError(
                f"a log's columns differ in length: {n} items, {len(self.times)} times,"
                f" {len(self.interaction_ids)} interaction ids"
            )
        n_users = len(self.vocabulary.users)
        if len(self.offsets) != n_users + 1 or self.offsets[0] != 0 or self.offsets[-1] != n:
            raise DataError(
                f"a log of {n} rows and {n_users} users needs {n_users + 1} offsets from 0 to {n};"
                f" found {len(self.offsets)}"
            )
        for column in (self.items, self.times, self.interaction_ids, self.offsets):
            column.flags.writeable = False

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        return f"InteractionLog({len(self):,} interactions, {self.n_users:,} users, {self.n_items:,} items)"

    @property
    def n_users(self) -> int:
        """Users of the vocabulary, those without interactions included."""
        return len(self.offsets) - 1

    @property
    def n_items(self) -> int:
        """Items of the vocabulary, those without interactions included."""
        return len(self.vocabulary.items)

    @property
    def root(self) -> "InteractionLog":
        """The log at the start of the chain of edits: this one, if it was never edited."""
        return self if self.origin is None else self.origin.root

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Interactions per user, shape (U,)."""
        return _read_only(np.diff(self.offsets))

    @cached_property
    def users(self) -> NDArray[np.int64]:
        """User index of each row, shape (n,)."""
        return _read_only(np.repeat(np.arange(self.n_users), self.lengths))

    @cached_property
    def item_counts(self) -> NDArray[np.int64]:
        """Interactions per item, shape (N,)."""
        return _read_only(np.bincount(self.items, minlength=self.n_items))

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change when any value of the log does."""
        digest = hashlib.blake2b(digest_size=8)
        for column in (self.items, self.times, self.interaction_ids, self.offsets):
            digest.update(np.ascontiguousarray(column).data)
        for ids in (self.vocabulary.users, self.vocabulary.items):
            # The lengths keep ["ab", "c"] and ["a", "bc"] apart, and the type 1 and "1".
            text = ids.cast(pl.String)
            digest.update(f"{ids.dtype}{len(ids)}".encode())
            digest.update(text.str.len_bytes().cast(pl.Int64).to_numpy().tobytes())
            digest.update("".join(text).encode())
        digest.update(self.time_unit.encode())
        return digest.hexdigest()

    def order(self) -> NDArray[np.int64]:
        """Row positions in the order of the whole log, (time, interaction id), shape (n,).

        Substituted and inserted rows, which have no id of their own, stay beside their neighbours: they count
        as the user's next interaction at the same time, or else as the previous one. So the order within a
        user is always that of the rows.
        """
        new = self.interaction_ids == NEW_INTERACTION
        if not new.any():
            return np.lexsort((self.interaction_ids, self.times))
        ids = (
            pl.DataFrame({"user": self.users, "time": self.times, "id": self.interaction_ids})
            .select(pl.col("id").replace(NEW_INTERACTION, None).backward_fill().forward_fill().over("user", "time"))
            .to_series()
            .fill_null(NEW_INTERACTION)
            .to_numpy()
        )
        return np.lexsort((np.arange(len(self)), ids, self.times))

    def _continues_a_moment(self) -> NDArray[np.bool_]:
        """Whether a row has the user and the time of the row before it, shape (n,)."""
        continues = np.zeros(len(self), dtype=bool)
        continues[1:] = self.times[1:] == self.times[:-1]
        continues[self.offsets[:-1][self.lengths > 0]] = False
        return continues

    def tied_rows(self) -> NDArray[np.bool_]:
        """Whether the row's user has another row with the same time, shape (n,)."""
        continues = self._continues_a_moment()
        tied = continues.copy()
        tied[:-1] |= continues[1:]
        return tied

    def keep(self, mask: NDArray[np.bool_]) -> "InteractionLog":
        """The rows where `mask` is true, under the same vocabulary and user indices.

        The result is a log of its own, not an edit: `origin` is None.
        """
        return replace(
            self,
            items=self.items[mask],
            times=self.times[mask],
            interaction_ids=self.interaction_ids[mask],
            offsets=np.concatenate(([0], np.cumsum(mask)))[self.offsets].astype(np.int64),
            origin=None,
        )

    def with_min_length(self, min_length: int) -> "InteractionLog":
        """Drop users with fewer interactions and freeze the vocabulary of what is left.

        Raises:
            DataError: If no user is left.
        """
        long_enough = self.lengths >= min_length
        if long_enough.all() and self.item_counts.all() and self.origin is None and self.n_users:
            return self
        if not long_enough.any():
            raise DataError(
                f"all {self.n_users:,} users have fewer than {min_length} interactions (the longest history"
                f" has {int(self.lengths.max(initial=0))}); lower the minimum length (data.min_length) or use"
                " more data"
            )
        kept = self.keep(np.repeat(long_enough, self.lengths))
        used = kept.item_counts > 0
        new_index = np.cumsum(used, dtype=np.int32) - np.int32(1)
        return replace(
            kept,
            items=new_index[kept.items],
            offsets=np.concatenate(([0], np.cumsum(self.lengths[long_enough]))),
            vocabulary=Vocabulary(
                users=self.vocabulary.users.filter(pl.Series(long_enough)),
                items=self.vocabulary.items.filter(pl.Series(used)),
            ),
        )

    def with_items(self, items: pl.Series) -> "InteractionLog":
        """The same log under a given item vocabulary; rows of items outside it are dropped.

        Args:
            items: Raw item ids, shape (N,), unique, of the vocabulary's type.

        Raises:
            DataError: If the ids are of another type, or one repeats.
        """
        from finestrec.data.identifiers import positions

        if items.dtype != self.vocabulary.items.dtype:
            raise DataError(
                f"the log's item ids are of type {self.vocabulary.items.dtype}, the given ones of"
                f" {items.dtype}; give both as integers or both as text"
            )
        if items.n_unique() < len(items):
            raise DataError(f"an item vocabulary needs unique ids; {items.filter(items.is_duplicated())[0]!r} repeats")
        index = positions(self.vocabulary.items, items).fill_null(-1).to_numpy().astype(np.int32)
        kept = self.keep((index >= 0)[self.items])
        return replace(
            kept,
            items=index[kept.items],
            vocabulary=Vocabulary(users=self.vocabulary.users, items=items),
        )

    def summary(self) -> LogSummary:
        """Counts and shares of the log, duplicates and ties included."""
        n = max(len(self), 1)
        lengths = self.lengths[self.lengths > 0]
        pairs = self.users * self.n_items + self.items
        tied = self.tied_rows()
        tied_interactions = pl.DataFrame({"pair": pairs[tied], "time": self.times[tied]})
        return LogSummary(
            users=len(lengths),
            items=int((self.item_counts > 0).sum()),
            interactions=len(self),
            median_length=float(np.median(lengths)) if len(lengths) else 0.0,
            max_length=int(lengths.max(initial=0)),
            duplicates=len(tied_interactions) - tied_interactions.n_unique(),
            repeat_share=(len(self) - pl.Series(pairs).n_unique()) / n,
            tied_time_share=float(self._continues_a_moment().sum()) / n,
        )

    def to_frame(self) -> pl.DataFrame:
        """Raw ids again: columns user_id, item_id, timestamp, interaction_id, sorted by user and time."""
        return pl.DataFrame(
            {
                "user_id": self.vocabulary.users.gather(self.users),
                "item_id": self.vocabulary.items.gather(self.items),
                "timestamp": self.times,
                "interaction_id": self.interaction_ids,
            }
        )

    @classmethod
    def from_frame(
        cls,
        frame: "pl.DataFrame | pd.DataFrame",
        *,
        user: str | None = None,
        item: str | None = None,
        timestamp: str | None = None,
        min_length: int = 1,
    ) -> "InteractionLog":
        """Read a pandas or polars frame; the frame is not edited.

        Args:
            frame: One row an interaction. Row numbers become interaction ids.
            user: Name of the user column; by default the usual synonyms are recognised.
            item: Name of the item column.
            timestamp: Name of the time column: seconds, milliseconds or microseconds as numbers, datetimes,
                or ISO 8601 text.
            min_length: Users with fewer interactions are dropped, and the vocabulary is frozen after that.

        Raises:
            DataError: If a column is missing or a value is not usable; says column, row and value.
        """
        from finestrec.data.sources import log_from_frame

        return log_from_frame(frame, user=user, item=item, timestamp=timestamp).with_min_length(min_length)
