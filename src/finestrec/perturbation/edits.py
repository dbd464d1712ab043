"""Delete, replace and insert interactions of a packed log.

Every edit is a vectorised pass over the columns and gives a new log under the same vocabulary: an item that
disappears shifts no index, and a user without interactions keeps the row of the offsets.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finestrec.data.log import NEW_INTERACTION, NO_ITEM, InteractionLog, Vocabulary
from finestrec.errors import OptionError

EditKind = Literal["delete", "replace", "insert"]
SubstituteRule = Literal["least_popular", "random", "most_popular"]


@dataclass(frozen=True, eq=False)
class Edits:
    """What was changed, one row an edit, in row order of the log before the edit.

    Attributes:
        kind: delete, replace or insert.
        interaction_ids: The interaction that was deleted, replaced or inserted before, int64, shape (n,).
        users: Its user index, int64, shape (n,).
        times: Its time, which a new interaction takes over, int64, shape (n,).
        old_items: The item that is gone, int32, shape (n,); -1 for insert.
        new_items: The item that is new, int32, shape (n,); -1 for delete.
    """

    kind: EditKind
    interaction_ids: NDArray[np.int64]
    users: NDArray[np.int64]
    times: NDArray[np.int64]
    old_items: NDArray[np.int32]
    new_items: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.interaction_ids)

    def to_frame(self, vocabulary: Vocabulary) -> pl.DataFrame:
        """Raw ids: columns kind, interaction_id, user_id, timestamp, old_item_id, new_item_id (null where none)."""

        def raw(items: NDArray[np.int32]) -> pl.Series:
            index = pl.Series(items, dtype=pl.Int64)
            return vocabulary.items.gather(index.replace(NO_ITEM, None))

        return pl.DataFrame(
            {
                "kind": pl.repeat(self.kind, len(self), dtype=pl.String, eager=True),
                "interaction_id": self.interaction_ids,
                "user_id": vocabulary.users.gather(self.users),
                "timestamp": self.times,
                "old_item_id": raw(self.old_items),
                "new_item_id": raw(self.new_items),
            }
        )


@dataclass(frozen=True, eq=False)
class PerturbedLog:
    """A log after an edit; its `origin` is the log before."""

    log: InteractionLog
    edits: Edits


def edit(
    log: InteractionLog, kind: EditKind, rows: NDArray[np.int64], items: NDArray[np.int32] | None = None
) -> PerturbedLog:
    """Apply one kind of edit to some rows.

    Args:
        log: The log; it is not changed.
        kind: delete drops the rows; replace gives them other items and the id -1; insert puts a new interaction
            with the id -1 just before each of them, with its time.
        rows: Row positions, distinct and ascending, shape (n,).
        items: The new items, shape (n,), for replace and insert.

    Returns:
        The new log, and the edits.

    Raises:
        OptionError: If the kind is unknown.
    """
    none = np.full(len(rows), NO_ITEM, dtype=np.int32)
    if kind == "delete":
        mask = np.ones(len(log), dtype=bool)
        mask[rows] = False
        edited = replace(log.keep(mask), origin=log)
        old, new = log.items[rows], none
    elif kind == "replace":
        assert items is not None
        new_items, new_ids = log.items.copy(), log.interaction_ids.copy()
        new_items[rows], new_ids[rows] = items, NEW_INTERACTION
        edited = replace(log, items=new_items, interaction_ids=new_ids, origin=log)
        old, new = log.items[rows], items
    elif kind == "insert":
        assert items is not None
        edited = replace(
            log,
            items=np.insert(log.items, rows, items),
            times=np.insert(log.times, rows, log.times[rows]),
            interaction_ids=np.insert(log.interaction_ids, rows, NEW_INTERACTION),
            offsets=log.offsets + np.searchsorted(rows, log.offsets),
            origin=log,
        )
        old, new = none, items
    else:
        raise OptionError(f"unknown kind of perturbation {kind!r}; known are delete, replace, insert")
    edits = Edits(
        kind=kind,
        interaction_ids=log.interaction_ids[rows],
        users=np.searchsorted(log.offsets, rows, side="right") - 1,
        times=log.times[rows],
        old_items=old,
        new_items=new,
    )
    return PerturbedLog(edited, edits)


def substitutes(log: InteractionLog, rule: SubstituteRule, count: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """Items for replaced and inserted interactions.

    Args:
        log: The training log; popularity is counted in it alone.
        rule: least_popular: the item of lowest count >= 1, ties to the lowest index (FINEST's choice);
            most_popular: the item of highest count, ties to the lowest index; random: uniformly among all items.
        count: How many are needed.
        rng: Used by `random` only.

    Returns:
        Item indices, int32, shape (count,).

    Raises:
        OptionError: If the rule is unknown.
    """
    if rule == "random":
        return rng.integers(0, log.n_items, size=count, dtype=np.int32)
    counts = log.item_counts
    if rule == "least_popular":
        item = int(np.argmin(np.where(counts > 0, counts, np.iinfo(np.int64).max)))
    elif rule == "most_popular":
        item = int(np.argmax(counts))
    else:
        raise OptionError(f"unknown substitute item {rule!r}; known are least_popular, random, most_popular")
    return np.full(count, item, dtype=np.int32)
