"""The log as a list of rows in plain Python: slow, obvious, and what the packed log must agree with."""

from statistics import median
from typing import Any

from finestrec.data.log import InteractionLog

Row = tuple[Any, Any, int, int]
"""User, item, time and interaction id."""


def slow_read(rows: list[tuple[Any, Any, int]], min_length: int = 1) -> list[Row]:
    numbered = [(user, item, time, number) for number, (user, item, time) in enumerate(rows)]
    lengths: dict[Any, int] = {}
    for user, *_ in numbered:
        lengths[user] = lengths.get(user, 0) + 1
    kept = [row for row in numbered if lengths[row[0]] >= min_length]
    return sorted(kept, key=lambda row: (row[0], row[2], row[3]))


def rows_of(log: InteractionLog) -> list[Row]:
    return log.to_frame().rows()


def slow_summary(rows: list[Row]) -> dict[str, float]:
    histories: dict[Any, list[tuple[Any, int]]] = {}
    for user, item, time, _ in rows:
        histories.setdefault(user, []).append((item, time))
    repeats = ties = duplicates = 0
    for history in histories.values():
        for at, (item, time) in enumerate(history):
            repeats += item in [earlier for earlier, _ in history[:at]]
            ties += at > 0 and history[at - 1][1] == time
            duplicates += (item, time) in history[:at]
    lengths = [len(history) for history in histories.values()]
    return {
        "users": len(histories),
        "items": len({item for _, item, *_ in rows}),
        "interactions": len(rows),
        "median_length": float(median(lengths)) if lengths else 0.0,
        "max_length": max(lengths, default=0),
        "duplicates": duplicates,
        "repeat_share": repeats / max(len(rows), 1),
        "tied_time_share": ties / max(len(rows), 1),
    }


def check_invariants(log: InteractionLog) -> None:
    """What every log promises about its columns."""
    assert log.items.dtype == "int32"
    assert log.times.dtype == log.interaction_ids.dtype == log.offsets.dtype == "int64"
    assert log.offsets[0] == 0
    assert log.offsets[-1] == len(log.items) == len(log.times) == len(log.interaction_ids)
    assert log.vocabulary.users.n_unique() == log.n_users
    assert log.vocabulary.items.n_unique() == log.n_items
    for user in range(log.n_users):
        rows = slice(log.offsets[user], log.offsets[user + 1])
        keys = list(zip(log.times[rows], log.interaction_ids[rows], strict=True))
        assert keys == sorted(keys)
    for column in (log.items, log.times, log.interaction_ids, log.offsets, log.users, log.lengths, log.item_counts):
        assert not column.flags.writeable
