"""Small logs and options that several tests share."""

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import settings

from finestrec.data.log import InteractionLog
from finestrec.stabilizers import Recipe

# A busy machine is no failure: no test asserts on time.
settings.register_profile("finestrec", deadline=None)
settings.load_profile("finestrec")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


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


@pytest.fixture(scope="session")
def chain() -> InteractionLog:
    """A log whose order can be learnt: 200 users, 30 items, 15 interactions each."""
    return markov_log(200, 30, 15, seed=0)


@pytest.fixture(scope="session")
def small_recipe() -> Recipe:
    """A model that trains in a second."""
    return Recipe.of(
        "lrurec",
        model_options={"hidden": 16, "blocks": 1},
        training={"epochs": 3, "lr": 5e-3},
        finest={"epochs": 2, "k": 10, "lr": 1e-3},
    )
