"""Small packed logs, and the same log as a list of rows that plain Python can edit."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from hypothesis import strategies as st

from finestrec.data.log import InteractionLog, Vocabulary

ITEMS = list("abcdef")
N_ITEMS = len(ITEMS)


@dataclass(frozen=True)
class Row:
    user: int
    item: int
    time: int
    id: int


def make(histories: list[list[tuple[int, int]]], seed: int = 0) -> InteractionLog:
    """One list of (item, time) a user; interaction ids are spread and shuffled."""
    n = sum(map(len, histories))
    ids = iter(np.random.default_rng(seed).permutation(10 * n + 1)[:n].tolist())
    by_user = [sorted((time, next(ids), item) for item, time in history) for history in histories]
    rows = [row for user in by_user for row in user]
    return InteractionLog(
        items=np.array([item for *_, item in rows], dtype=np.int32),
        times=np.array([time for time, *_ in rows], dtype=np.int64),
        interaction_ids=np.array([identifier for _, identifier, _ in rows], dtype=np.int64),
        offsets=np.cumsum([0, *map(len, by_user)]).astype(np.int64),
        vocabulary=Vocabulary(pl.Series([f"u{n}" for n in range(len(by_user))], dtype=pl.String), pl.Series(ITEMS)),
    )


def of_lengths(*lengths: int, seed: int = 0) -> InteractionLog:
    rng = np.random.default_rng(seed)
    return make([[(int(rng.integers(N_ITEMS)), t) for t in range(length)] for length in lengths], seed)


@st.composite
def logs(draw: st.DrawFn, min_rows: int = 0) -> InteractionLog:
    interaction = st.tuples(st.integers(0, N_ITEMS - 1), st.integers(0, 3))
    histories = draw(
        st.lists(st.lists(interaction, max_size=6), min_size=1, max_size=5).filter(
            lambda users: sum(map(len, users)) >= min_rows
        )
    )
    return make(histories, draw(st.integers(0, 99)))


def rows_of(log: InteractionLog) -> list[Row]:
    return [
        Row(user, int(log.items[row]), int(log.times[row]), int(log.interaction_ids[row]))
        for user in range(log.n_users)
        for row in range(log.offsets[user], log.offsets[user + 1])
    ]


def check_invariants(log: InteractionLog) -> None:
    """What every log promises, edited ones included."""
    assert log.items.dtype == np.int32
    assert log.times.dtype == log.interaction_ids.dtype == log.offsets.dtype == np.int64
    assert len(log.offsets) == log.n_users + 1 == len(log.vocabulary.users) + 1
    assert log.offsets[0] == 0
    assert log.offsets[-1] == len(log.items) == len(log.times) == len(log.interaction_ids)
    assert (np.diff(log.offsets) >= 0).all()
    assert ((log.items >= 0) & (log.items < log.n_items)).all()
    lasting = log.interaction_ids[log.interaction_ids >= 0].tolist()
    assert len(lasting) == len(set(lasting))
    for user in range(log.n_users):
        rows = [row for row in rows_of(log) if row.user == user]
        times = [row.time for row in rows]
        assert times == sorted(times)
        keys = [(row.time, row.id) for row in rows if row.id >= 0]
        assert keys == sorted(keys)
    for column in (log.items, log.times, log.interaction_ids, log.offsets):
        assert not column.flags.writeable
