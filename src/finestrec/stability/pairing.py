"""Two files of lists, user by user, with what else is known of the users and the items."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finestrec.data.columns import LIST_SYNONYMS, required_column
from finestrec.data.identifiers import alike, positions, read_ids
from finestrec.data.log import NO_ITEM
from finestrec.data.tables import Table
from finestrec.data.userlists import UserLists, raw_lists, read_lists
from finestrec.errors import DataError

CHUNK = 1 << 18
"""Pairs of lists that are compared at a time."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """The lists of users who have one on both sides.

    Attributes:
        users: Raw ids in ascending order, shape (n,).
        only_old: Users without a list in NEW.
        only_new: Users without a list in OLD.
        vocabulary: Raw ids of the items of either side, in ascending order, shape (V,).
        old: Positions in the old lists, which row is whose; see `chunks`.
        new: Likewise.
        is_text: Whether all ids came from text files, which have no types.
        notes: How the files were read.
    """

    users: pl.Series
    only_old: pl.Series
    only_new: pl.Series
    vocabulary: pl.Series
    old: "Side"
    new: "Side"
    is_text: bool
    notes: list[str]

    def chunks(self) -> Iterator[tuple[slice, NDArray[np.int32], NDArray[np.int32]]]:
        """Pairs of lists: which users, and for each side positions in the vocabulary, -1 past the end of a list."""
        for begin in range(0, len(self.users), CHUNK):
            part = slice(begin, min(begin + CHUNK, len(self.users)))
            yield part, self.old.lists(part), self.new.lists(part)

    def frame(self) -> pl.DataFrame:
        """Columns user_id, old and new: the raw ids of each list."""
        parts = []
        for part, *sides in self.chunks():
            old, new = (raw_lists(lists, self.vocabulary) for lists in sides)
            parts.append(pl.DataFrame({"user_id": self.users[part], "old": old, "new": new}))
        return pl.concat(parts)


@dataclass(frozen=True, eq=False)
class Side:
    """One file's lists.

    Attributes:
        items: Positions in the file's own vocabulary, -1 past the end, shape (U, depth).
        rows: Row of each common user, shape (n,).
        common: Position in the common vocabulary of each own one, and -1 at the end, shape (V_own + 1,).
    """

    items: NDArray[np.int32]
    rows: NDArray[np.int64]
    common: NDArray[np.int32]

    def lists(self, part: slice) -> NDArray[np.int32]:
        """Lists of some common users, as positions in the common vocabulary."""
        lists: NDArray[np.int32] = self.common[self.items[self.rows[part]]]
        return lists


def paired(old: Table, new: Table, depth: int) -> Pairs:
    """Read both sides and match their users.

    Args:
        old: Yesterday's lists.
        new: Today's.
        depth: Items of a list to read.

    Raises:
        DataError: If a table is not usable, or no user is in both.
    """
    sides = [read_lists(side, depth) for side in (old, new)]
    if sides[0].vocabulary.dtype != sides[1].vocabulary.dtype:
        # Equal scores stand in the order of ids, which is another one of numbers than of text.
        sides = [
            read_lists(table, depth, items_are_text=True)
            if side.is_text and side.vocabulary.dtype != pl.String
            else side
            for side, table in zip(sides, (old, new), strict=True)
        ]
    users = alike([(side.users, side.is_text, side.source) for side in sides], "user")
    items = alike([(side.vocabulary, side.is_text, side.source) for side in sides], "item")
    vocabulary = items[0] if items[0].equals(items[1]) else pl.concat([items[0], items[1]]).unique().sort()
    # Where each old user stands in NEW; text that was integers is not in the order of text.
    at_new = positions(users[0], users[1])
    rows_old = at_new.is_not_null().arg_true().to_numpy().astype(np.int64)
    rows_new = at_new.drop_nulls().to_numpy()
    if len(rows_old) == 0:
        raise DataError(
            f"{old.source} and {new.source} have no user in common ({len(users[0]):,} users and {len(users[1]):,});"
            " are these lists of the same system?"
        )
    without_old = np.ones(len(users[1]), dtype=np.bool_)
    without_old[rows_new] = False
    return Pairs(
        users=users[0].gather(rows_old).alias("user_id"),
        only_old=users[0].filter(at_new.is_null()),
        only_new=users[1].filter(without_old),
        vocabulary=vocabulary,
        old=Side(sides[0].items, rows_old, _common(items[0], vocabulary)),
        new=Side(sides[1].items, rows_new, _common(items[1], vocabulary)),
        is_text=old.is_text and new.is_text,
        notes=[note for side in sides for note in (*side.notes, *_short(side, depth))],
    )


def _short(side: UserLists, depth: int) -> list[str]:
    if side.longest >= depth:
        return []
    return [f"{side.source}: the longest list has {side.longest:,} items, fewer than the {depth:,} that are compared"]


def _common(own: pl.Series, vocabulary: pl.Series) -> NDArray[np.int32]:
    return np.append(positions(own, vocabulary).to_numpy(), NO_ITEM).astype(np.int32)


@dataclass(frozen=True, eq=False)
class Truth:
    """Held-out interactions of the common users, each (user, item) once.

    Attributes:
        owners: Row of the user of each relevant item that some list holds, ascending, shape (m,).
        items: Its position in the common vocabulary, shape (m,).
        relevant: Relevant items of each user, those that no list holds included, shape (n,).
        strangers: Users of the file without a pair of lists.
    """

    owners: NDArray[np.int64]
    items: NDArray[np.int32]
    relevant: NDArray[np.int64]
    strangers: int

    @classmethod
    def read(cls, table: Table, pairs: Pairs) -> "Truth":
        """Match a table of users and items.

        Raises:
            DataError: If it is not usable, or has none of the users.
        """
        at = [required_column(table.names, LIST_SYNONYMS[role], role, table.source) for role in ("user", "item")]
        columns = [read_ids(ids, table.place(where)) for where, ids in zip(at, table.read(at), strict=True)]
        users, user = alike(
            [(pairs.users, pairs.is_text, "the lists"), (columns[0], table.is_text, table.source)], "user"
        )
        known, item = alike(
            [(pairs.vocabulary, pairs.is_text, "the lists"), (columns[1], table.is_text, table.source)], "item"
        )
        frame = pl.DataFrame({"owner": positions(user, users), "user": user, "id": item}).unique(["user", "id"])
        strangers = frame.filter(pl.col("owner").is_null())["user"].n_unique()
        frame = frame.filter(pl.col("owner").is_not_null()).sort("owner", "id")
        if len(frame) == 0:
            raise DataError(f"{table.source} has no interaction of a user with lists in OLD and NEW")
        at_item = positions(frame["id"], known)
        held = at_item.is_not_null().to_numpy()
        return cls(
            owners=frame["owner"].to_numpy()[held],
            items=at_item.drop_nulls().to_numpy().astype(np.int32),
            relevant=np.bincount(frame["owner"].to_numpy(), minlength=len(users)),
            strangers=strangers,
        )

    def ranks(self, side: Side) -> NDArray[np.int64]:
        """The rank in its user's list of each relevant item, 0 where it is absent, shape (m,)."""
        ranks = np.zeros(len(self.items), dtype=np.int64)
        for begin in range(0, len(self.items), CHUNK):
            part = slice(begin, begin + CHUNK)
            lists = side.common[side.items[side.rows[self.owners[part]]]]
            row, column = np.nonzero(lists == self.items[part, None])
            ranks[begin + row] = column + 1
        return ranks


def read_item_set(table: Table, pairs: Pairs) -> NDArray[np.bool_]:
    """Which items of the common vocabulary a catalogue has, shape (V,).

    Args:
        table: With a column of item ids; other columns do not matter.
        pairs: The lists.

    Raises:
        DataError: If the table is not usable.
    """
    at = required_column(table.names, LIST_SYNONYMS["item"], "item", table.source)
    [column] = table.read([at])
    if len(column) == 0:
        raise DataError(f"{table.source} has columns but no rows; expected the items of a catalogue")
    ids = read_ids(column, table.place(at))
    known, own = alike([(pairs.vocabulary, pairs.is_text, "the lists"), (ids, table.is_text, table.source)], "item")
    return known.is_in(own.unique().implode()).to_numpy()
