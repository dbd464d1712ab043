"""Delete, replace and insert interactions of a packed log.

Every edit is a vectorised pass over the columns and gives a new log under the same vocabulary: an item that
disappears shifts no index, and a user without interactions keeps the row of the offsets.
"""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finestrec.data.log import NEW_INTERACTION, NO_ITEM, InteractionLog, Vocabulary
from finestrec.errors import OptionError
from finestrec.perturbation.keys import hashed_rows
from finestrec.randomness import StreamName

EditKind = Literal["delete", "replace", "insert"]
Kind = Literal["delete", "replace", "insert", "append"]
SubstituteRule = Literal["least_popular", "random", "most_popular", "neighbour"]


@dataclass(frozen=True, eq=False)
class Edits:
    """What was changed, one row an edit, in row order of the log before the edit.

    Attributes:
        kind: delete, replace, insert or append.
        interaction_ids: The interaction that was deleted, replaced, inserted before or appended, int64, shape (n,).
        users: Its user index, int64, shape (n,).
        times: Its time, which a new interaction takes over, int64, shape (n,).
        old_items: The item that is gone, int32, shape (n,); -1 for insert and append.
        new_items: The item that is new, int32, shape (n,); -1 for delete.
    """

    kind: Kind
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
    """A log after an edit.

    Attributes:
        log: Its `origin` is the log before.
        edits: What was done.
    """

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
        raise OptionError(f"unknown kind of perturbation {kind!r}; known are {', '.join(get_args(EditKind))}")
    return PerturbedLog(edited, _edits(log, kind, rows, old, new))


def appended(log: InteractionLog, rows: NDArray[np.int64]) -> PerturbedLog:
    """A log as what came of an earlier one by appending some of its rows.

    Args:
        log: The log after.
        rows: Positions in it of what is new, distinct and ascending, shape (n,).

    Returns:
        `log` itself, not an edited one, and the edits.
    """
    none = np.full(len(rows), NO_ITEM, dtype=np.int32)
    return PerturbedLog(log, _edits(log, "append", rows, none, log.items[rows]))


def _edits(
    log: InteractionLog, kind: Kind, rows: NDArray[np.int64], old: NDArray[np.int32], new: NDArray[np.int32]
) -> Edits:
    return Edits(
        kind=kind,
        interaction_ids=log.interaction_ids[rows],
        users=np.searchsorted(log.offsets, rows, side="right") - 1,
        times=log.times[rows],
        old_items=old,
        new_items=new,
    )


def substitutes(
    log: InteractionLog,
    rule: SubstituteRule,
    rows: NDArray[np.int64],
    seed: int,
    *indices: int,
    stream: StreamName = "perturbation",
    differing: bool = False,
) -> NDArray[np.int32]:
    """Items for replaced and inserted interactions.

    Args:
        log: The training log; popularity is counted in it alone.
        rule: least_popular: the item of lowest count >= 1, ties to the lowest index (FINEST's choice);
            most_popular: the item of highest count, ties to the lowest index; random: uniformly among all items;
            neighbour: an item that stands beside the row's item in some history, as often as it does, that is, an edge
            of the co-consumption graph drawn by its weight; the item itself where it stands nowhere beside another row.
        rows: What is replaced or inserted before, shape (n,).
        seed: Drives `random` and `neighbour` only; the draws are keyed by interaction id.
        indices: Tell draws apart, as in `finestrec.randomness.hashed`.
        stream: The stream of `random`.
        differing: Give no row the item that it has: the next by the same rule, or uniformly among all others.

    Returns:
        Item indices, int32, shape (n,).

    Raises:
        OptionError: If the rule is unknown, or items are to differ and there is only one, or they may be neighbours:
            a repeated item is its own.
    """
    if rule not in get_args(SubstituteRule):
        raise OptionError(f"unknown substitute item {rule!r}; known are {', '.join(get_args(SubstituteRule))}")
    if differing and log.n_items < 2:
        raise OptionError("no item can be replaced by another in a catalogue of one item; use delete or insert")
    if differing and rule == "neighbour":
        raise OptionError("a neighbour may be the same item again; choose random, popular or least_popular")
    old = log.items[rows]
    if rule in {"random", "neighbour"}:
        # Keyed apart from the draw of the rows: the chosen ones have the lowest numbers there.
        draws = hashed_rows(log, rows, seed, stream, *indices, 1)
        if rule == "neighbour":
            return _neighbours(log, old, draws)
        if not differing:
            return (draws % np.uint64(log.n_items)).astype(np.int32)
        others = (draws % np.uint64(log.n_items - 1)).astype(np.int32)
        return others + (others >= old)
    best, next_best = _extremes(log.item_counts, rule)
    return np.where(differing & (old == best), next_best, best).astype(np.int32)


def _neighbours(log: InteractionLog, items: NDArray[np.int32], draws: NDArray[np.uint64]) -> NDArray[np.int32]:
    """For each item another that stands just before or after one of its rows, drawn by a random number each.

    The row is the item's by the number's share of 2^64 and not by a remainder, so that one row more or less moves few
    draws.
    """
    by_item = np.argsort(log.items, kind="stable")
    counts = log.item_counts
    share = (draws >> np.uint64(11)) * 2.0**-53
    row = by_item[(np.cumsum(counts) - counts)[items] + (share * counts[items]).astype(np.int64)]
    user = log.users
    after = np.minimum(row + 1, len(log) - 1)
    before = np.maximum(row - 1, 0)
    is_after = (after != row) & (user[after] == user[row])
    is_before = (before != row) & (user[before] == user[row])
    forwards = is_after & ((draws & np.uint64(1) == 0) | ~is_before)
    return np.asarray(log.items[np.where(forwards, after, np.where(is_before, before, row))])


def _extremes(counts: NDArray[np.int64], rule: SubstituteRule) -> tuple[int, int]:
    """The first two items by a rule; where no second one has interactions, the first of those without."""
    last = np.iinfo(np.int64).max
    key = -counts if rule == "most_popular" else np.where(counts > 0, counts, last - 1)
    best = int(np.argmin(key))
    key[best] = last
    return best, int(np.argmin(key))
