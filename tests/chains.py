"""Synthetic Markov chains: logs whose order can be learnt."""

import numpy as np
import polars as pl

from finestrec.data.log import InteractionLog


def markov_log(users: int, items: int, length: int, seed: int, *, shuffled: bool = False) -> InteractionLog:
    """Users walk one cycle through the items, with a tenth of random jumps; shuffled, the order says nothing."""
    rng = np.random.default_rng(seed)
    cycle = np.random.default_rng(99).permutation(items)
    following = np.empty(items, dtype=np.int64)
    following[cycle] = np.roll(cycle, -1)
    walks = np.empty((users, length), dtype=np.int64)
    walks[:, 0] = rng.integers(items, size=users)
    for t in range(1, length):
        jump = rng.random(users) < 0.1
        walks[:, t] = np.where(jump, rng.integers(items, size=users), following[walks[:, t - 1]])
    if shuffled:
        walks = rng.permuted(walks, axis=1)
    frame = pl.DataFrame(
        {
            "user": np.repeat(np.arange(users), length),
            "item": walks.ravel(),
            "timestamp": np.tile(np.arange(length), users),
        }
    )
    return InteractionLog.from_frame(frame)
