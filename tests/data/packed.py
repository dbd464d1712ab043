"""Small packed logs, made without the reader: one list of (item, time) a user, interaction ids shuffled."""

import numpy as np
import polars as pl
from hypothesis import strategies as st

from finestrec.data.log import InteractionLog, Vocabulary
from finestrec.perturbation.edits import EditKind, edit

N_ITEMS = 7
KINDS: list[EditKind] = ["delete", "replace", "insert"]
History = list[tuple[int, int]]


def packed(histories: list[History], seed: int = 0) -> InteractionLog:
    n = sum(map(len, histories))
    numbers = iter(np.random.default_rng(seed).permutation(10 * n + 1)[:n].tolist())
    by_user = [sorted((time, next(numbers), item) for item, time in history) for history in histories]
    rows = [row for user in by_user for row in user]
    return InteractionLog(
        items=np.array([item for _, _, item in rows], dtype=np.int32),
        times=np.array([time for time, _, _ in rows], dtype=np.int64),
        interaction_ids=np.array([number for _, number, _ in rows], dtype=np.int64),
        offsets=np.cumsum([0, *map(len, by_user)]).astype(np.int64),
        vocabulary=Vocabulary(
            pl.Series([f"u{user}" for user in range(len(by_user))], dtype=pl.String), pl.Series(list("abcdefg"))
        ),
    )


def of_lengths(*lengths: int, seed: int = 0) -> InteractionLog:
    """A log whose users have so many interactions, with random items and times that tie across users."""
    rng = np.random.default_rng(seed)
    return packed([[(int(rng.integers(N_ITEMS)), t) for t in range(length)] for length in lengths], seed)


@st.composite
def logs(draw: st.DrawFn, max_users: int = 5, max_length: int = 12) -> InteractionLog:
    """Logs with users of zero and one interaction, and with many equal times."""
    interaction = st.tuples(st.integers(0, N_ITEMS - 1), st.integers(0, 4))
    histories = draw(st.lists(st.lists(interaction, max_size=max_length), min_size=1, max_size=max_users))
    return packed(histories, draw(st.integers(0, 99)))


def segments(log: InteractionLog) -> list[list[int]]:
    """Row numbers of each user."""
    return [list(range(log.offsets[user], log.offsets[user + 1])) for user in range(log.n_users)]


def edited(log: InteractionLog, kind: EditKind, rows: list[int]) -> InteractionLog:
    items = np.full(len(rows), N_ITEMS - 1, dtype=np.int32)
    return edit(log, kind, np.array(rows, dtype=np.int64), items).log


@st.composite
def edited_logs(draw: st.DrawFn, max_edits: int = 3) -> InteractionLog:
    """A log and up to three edits on top of one another, each of any number of rows."""
    log = draw(logs())
    for _ in range(draw(st.integers(0, max_edits))):
        rows = draw(st.sets(st.integers(0, len(log) - 1))) if len(log) else set()
        log = edited(log, draw(st.sampled_from(KINDS)), sorted(rows))
    return log
