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
    """What a log holds, for people to read.

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
        return np.diff(self.offsets)

    @cached_property
    def users(self) -> NDArray[np.int64]:
        """User index of each row, shape (n,)."""
        return np.repeat(np.arange(self.n_users), self.lengths)

    @cached_property
    def item_counts(self) -> NDArray[np.int64]:
        """Interactions per item, shape (N,)."""
        return np.bincount(self.items, minlength=self.n_items)

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change when any value of the log does."""
        digest = hashlib.blake2b(digest_size=8)
        for column in (self.items, self.times, self.interaction_ids, self.offsets):
            digest.update(np.ascontiguousarray(column).data)
        for ids in (self.vocabulary.users, self.vocabulary.items):
            digest.update("\x1f".join(ids.cast(pl.String)).encode())
        digest.update(self.time_unit.encode())
        return digest.hexdigest()

    def order(self) -> NDArray[np.int64]:
        """Row positions in the order of the whole log, (time, interaction id)."""
        return np.lexsort((self.interaction_ids, self.times))

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
        if not long_enough.any():
            raise DataError(
                f"all {self.n_users:,} users have fewer than {min_length} interactions (the longest history has"
                f" {int(self.lengths.max(initial=0))}); lower the minimum length (data.min_length) or use more data"
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
            items: Raw item ids, shape (N,), of the vocabulary's type.
        """
        table = pl.DataFrame({"item": items}).with_row_index("index")
        index = (
            pl.DataFrame({"item": self.vocabulary.items.cast(items.dtype)})
            .join(table, on="item", how="left", maintain_order="left")["index"]
            .fill_null(len(items))
            .to_numpy()
        )
        known = (index < len(items))[self.items]
        kept = self.keep(known)
        return replace(
            kept,
            items=index[kept.items].astype(np.int32),
            vocabulary=Vocabulary(users=self.vocabulary.users, items=items),
        )

    def summary(self) -> LogSummary:
        """Counts and shares of the log, duplicates and ties included."""
        row = pl.DataFrame({"user": self.users, "item": self.items, "time": self.times})
        n = max(len(self), 1)
        first_of_user = np.zeros(len(self), dtype=bool)
        first_of_user[self.offsets[:-1][self.lengths > 0]] = True
        tied = (np.diff(self.times, prepend=0) == 0) & ~first_of_user
        return LogSummary(
            users=int((self.lengths > 0).sum()),
            items=int((self.item_counts > 0).sum()),
            interactions=len(self),
            median_length=float(np.median(self.lengths)) if self.n_users else 0.0,
            max_length=int(self.lengths.max(initial=0)),
            duplicates=len(self) - row.n_unique(),
            repeat_share=1 - row.select("user", "item").n_unique() / n,
            tied_time_share=float(tied.sum()) / n,
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
            timestamp: Name of the time column: seconds, milliseconds or microseconds as numbers, datetimes, or
                ISO 8601 text.
            min_length: Users with fewer interactions are dropped, and the vocabulary is frozen after that.

        Raises:
            DataError: If a column is missing or a value is not usable; says column, row and value.
        """
        from finestrec.data.sources import log_from_frame

        return log_from_frame(frame, user=user, item=item, timestamp=timestamp).with_min_length(min_length)
