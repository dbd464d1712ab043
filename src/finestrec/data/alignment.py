"""A later log beside a stored one: interaction ids that last across nights, and a shared vocabulary."""

from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finestrec.data.identifiers import positions
from finestrec.data.log import NEW_INTERACTION, InteractionLog, TimeUnit, Vocabulary
from finestrec.data.timestamps import TICKS_PER_SECOND
from finestrec.errors import DataError

_SHOWN = 5


def align(new: InteractionLog, stored: InteractionLog) -> InteractionLog:
    """Give the interactions of a new log the ids they have in a stored one.

    Interactions are the same if user, item and time are, and they are the same occurrence of the three: the
    first duplicate matches the first, the second the second. What is not matched is new and gets ids above
    the stored maximum, in (time, input row) order.

    Args:
        new: The later log, with a vocabulary of its own.
        stored: The whole stored log; had it lost rows, their ids could be given anew.

    Returns:
        `new` with its own vocabulary, the stored log's time unit and ids, sorted by user, time and id.

    Raises:
        DataError: If ids of the two logs differ in type, or times do not fit the stored unit.
    """
    _check_types(new.vocabulary, stored.vocabulary)
    new = _in_unit(new, stored.time_unit)
    ids = _stored_ids(new, stored)
    fresh = np.flatnonzero(ids == NEW_INTERACTION)
    fresh = fresh[np.lexsort((new.interaction_ids[fresh], new.times[fresh]))]
    ids[fresh] = int(stored.interaction_ids.max(initial=-1)) + 1 + np.arange(len(fresh))
    # Rows are sorted by user and time already, so only those of equal times move.
    tied = np.flatnonzero(new.tied_rows())
    order = np.arange(len(new))
    order[tied] = tied[np.lexsort((ids[tied], new.times[tied], new.users[tied]))]
    return replace(new, items=new.items[order], interaction_ids=ids[order], origin=None)


def _stored_ids(new: InteractionLog, stored: InteractionLog) -> NDArray[np.int64]:
    """Stored id of each new row, -1 for rows without a match, shape (n,)."""
    user = positions(new.vocabulary.users, stored.vocabulary.users).fill_null(-1).to_numpy()[new.users]
    item = positions(new.vocabulary.items, stored.vocabulary.items).fill_null(-1).to_numpy()[new.items]
    ids = np.full(len(new), NEW_INTERACTION)
    known = np.flatnonzero((user >= 0) & (item >= 0))
    if len(known) == 0:
        return ids
    # One number an interaction, equal where user, time and item are. Both logs are sorted by the first two,
    # which makes the sorts and searches below nearly linear; a join of tables takes ten times as long.
    key = _paired(
        _paired(
            np.concatenate((stored.users, user[known])),
            np.concatenate((stored.times, new.times[known])),
        ),
        np.concatenate((stored.items, item[known])),
    )
    stored_key, new_key = key[: len(stored)], key[len(stored) :]
    stored_order = np.argsort(stored_key, kind="stable")
    new_order = np.argsort(new_key, kind="stable")
    stored_key, new_key = stored_key[stored_order], new_key[new_order]
    occurrence = np.arange(len(new_key)) - np.searchsorted(new_key, new_key)
    candidate = np.searchsorted(stored_key, new_key) + occurrence
    match = np.flatnonzero(candidate < len(stored))
    match = match[stored_key[candidate[match]] == new_key[match]]
    ids[known[new_order[match]]] = stored.interaction_ids[stored_order[candidate[match]]]
    return ids


def _paired(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number per pair of numbers, ascending in (first, second); shape (n,)."""
    first, second = first - first.min(), second - second.min()
    if (int(first.max()) + 1) * (int(second.max()) + 1) >= 2**63:
        # Ranks are below the number of rows, so their product fits.
        first, second = (np.unique(values, return_inverse=True)[1] for values in (first, second))
    return first * np.int64(second.max() + 1) + second


def check_same_world(log: InteractionLog, known: InteractionLog) -> None:
    """Refuse a log in which an item's index or an interaction's id means something else than in an earlier one.

    Args:
        log: Its catalogue may have grown: its first items are the earlier one's.
        known: The earlier one.

    Raises:
        DataError: If an item, or an interaction of the same id, is another one.
    """
    if log.root is known.root:
        return
    how = (
        "read it whole and bring it under the earlier log's, with finestrec.data.alignment:"
        " under_vocabulary(align(log, earlier), earlier.vocabulary)"
    )
    ours, theirs = log.vocabulary.items, known.vocabulary.items
    if ours is not theirs and not ours.head(len(theirs)).equals(theirs):
        raise DataError(f"the items of the log have other indices than those the model was trained on; {how}")
    # New interactions share one id, so only the others are unique.
    rows, known_rows = (np.flatnonzero(each.interaction_ids != NEW_INTERACTION) for each in (log, known))
    _, here, there = np.intersect1d(
        log.interaction_ids[rows], known.interaction_ids[known_rows], assume_unique=True, return_indices=True
    )
    if np.any(log.items[rows[here]] != known.items[known_rows[there]]):
        raise DataError(
            "interactions of the log have ids that were other interactions' in the log that the model was trained on;"
            f" {how}"
        )


def _check_types(new: Vocabulary, stored: Vocabulary) -> None:
    for what, ours, theirs in (("user", new.users, stored.users), ("item", new.items, stored.items)):
        if len(ours) and len(theirs) and ours.dtype != theirs.dtype:
            raise DataError(
                f"{what} ids are {_type_name(ours)} (e.g. {ours[0]!r}) in the new log but"
                f" {_type_name(theirs)} (e.g. {theirs[0]!r}) in the stored one; write them the same way in"
                " both. In a csv file, one id such as '007' or 'x7' makes the whole column text"
            )


def _type_name(ids: pl.Series) -> str:
    return "text" if ids.dtype == pl.String else "integers"


def _in_unit(log: InteractionLog, unit: TimeUnit) -> InteractionLog:
    """The log with its times in another unit.

    Raises:
        DataError: If a time is not a whole number of ticks of that unit.
    """
    have, want = TICKS_PER_SECOND[log.time_unit], TICKS_PER_SECOND[unit]
    if want >= have:
        return replace(log, times=log.times * (want // have), time_unit=unit)
    factor = have // want
    inexact = np.flatnonzero(log.times % factor)
    if len(inexact):
        raise DataError(
            f"the stored log counts time in {unit}, but {len(inexact):,} times of the new log are finer (the"
            f" first is {log.times[inexact[0]]} {log.time_unit}); round the new log's times to whole {unit}"
        )
    return replace(log, times=log.times // factor, time_unit=unit)


def under_vocabulary(log: InteractionLog, vocabulary: Vocabulary) -> InteractionLog:
    """The same interactions, with users and items indexed by a given vocabulary.

    Args:
        log: A log with a vocabulary of its own.
        vocabulary: The one to use; its users without interactions in `log` get an empty segment.

    Raises:
        DataError: If the log has interactions of users or with items that the vocabulary lacks, or ids differ
            in type.
    """
    _check_types(log.vocabulary, vocabulary)
    user = positions(log.vocabulary.users, vocabulary.users)
    item = positions(log.vocabulary.items, vocabulary.items)
    _refuse_unknown("users", log.vocabulary.users, pl.Series(log.lengths > 0) & user.is_null())
    _refuse_unknown("items", log.vocabulary.items, pl.Series(log.item_counts > 0) & item.is_null())
    # Segments move as a whole: the new order of users is a gather of the old segments.
    moved = user.is_not_null().to_numpy()
    target = user.drop_nulls().to_numpy()
    starts = np.zeros(len(vocabulary.users), dtype=np.int64)
    lengths = np.zeros(len(vocabulary.users), dtype=np.int64)
    starts[target] = log.offsets[:-1][moved]
    lengths[target] = log.lengths[moved]
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    order = np.repeat(starts - offsets[:-1], lengths) + np.arange(len(log))
    index = item.fill_null(0).to_numpy().astype(np.int32)
    return replace(
        log,
        items=index[log.items[order]],
        times=log.times[order],
        interaction_ids=log.interaction_ids[order],
        offsets=offsets,
        vocabulary=vocabulary,
        origin=None,
    )


def _refuse_unknown(what: str, ids: pl.Series, unknown: pl.Series) -> None:
    count = int(unknown.sum())
    if count:
        examples = ", ".join(repr(value) for value in ids.filter(unknown).head(_SHOWN))
        raise DataError(
            f"the log has {count:,} {what if count > 1 else what[:-1]} that the run does not know ({examples}"
            f"{', ...' if count > _SHOWN else ''}); use `finestrec update`, which grows a catalogue, or drop"
            " their rows"
        )
