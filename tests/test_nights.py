"""Ten nights on a log whose order drifts: lists hold within a budget while accuracy follows."""

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finestrec.config import compose
from finestrec.data.log import InteractionLog
from finestrec.recommendation import recommend
from finestrec.runs import Plan, Run, entered
from finestrec.runs.comparing import COMPARISON, read_comparison
from finestrec.runs.making import Maker, prepare
from finestrec.runs.night import growing_night
from finestrec.runs.searching import Limits
from finestrec.stability.gate import judged, parse_budget

USERS, ITEMS, NIGHTS, K = 120, 30, 10, 5
BUDGET = (parse_budget(f"Jaccard@{K} >= 0.5"),)
CONFIG = compose(
    [
        {
            "model": {"name": "lrurec", "hidden": 16, "blocks": 1},
            "training": {"epochs": 15, "lr": 1e-2, "max_length": 6},
            "finest": {"epochs": 3, "lr": 5e-3, "k": 5, "weight": 1.0},
            "split": {"method": "none"},
            "lists": {"k": K},
            "device": {"threads": 1},
        }
    ]
)


class World:
    """Each item has a usual next one; every night three items get another, and a third of the users come."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.next = self.rng.permutation(ITEMS)
        self.last = self.rng.integers(ITEMS, size=USERS)
        self.rows: list[tuple[int, int, int]] = []
        self.time = 0

    def step(self, users: NDArray[np.int64]) -> None:
        jumps = self.rng.random(len(users)) < 0.1
        self.last[users] = np.where(jumps, self.rng.integers(ITEMS, size=len(users)), self.next[self.last[users]])
        self.rows += [(int(user), int(self.last[user]), self.time) for user in users]
        self.time += 1

    def night(self) -> None:
        """What changes, and then what happens."""
        changed = self.rng.choice(ITEMS, 3, replace=False)
        self.next[changed] = self.next[np.roll(changed, 1)]
        users = self.rng.choice(USERS, USERS // 3, replace=False)
        for _ in range(4):
            self.step(users)

    def log(self) -> InteractionLog:
        return InteractionLog.from_frame(pl.DataFrame(self.rows, schema=["user", "item", "timestamp"], orient="row"))


def hits(run: Run, world: World) -> float:
    """How often the usual next item is in the first two of a list that is made now."""
    lists = recommend(run.trained, world.log(), 2)
    usual = {user: int(world.next[world.last[user]]) for user in range(USERS)}
    found = lists.filter(pl.col("item_id") == pl.col("user_id").replace_strict(usual))
    return len(found) / USERS


def test_ten_nights(tmp_path: Path) -> None:
    world = World()
    for _ in range(12):
        world.step(np.arange(USERS))
    with entered(tmp_path / "night0", Plan("train", CONFIG)) as folder:
        first = run = Maker(folder).train(prepare(world.log(), CONFIG))
    assert hits(first, world) > 0.7
    never, updated = [], []
    for night in range(1, NIGHTS + 1):
        world.night()
        out = tmp_path / f"night{night}"
        with entered(out, Plan("update", CONFIG)) as folder:
            run = Maker(folder, limits=Limits(BUDGET)).update(run, growing_night(run, world.log()), "finest")
        (verdict,) = judged(read_comparison(out / COMPARISON), BUDGET)
        assert not verdict.failed, f"night {night}: {verdict.sentence()}"
        never.append(hits(first, world))
        updated.append(hits(run, world))
    assert np.mean(never[-3:]) < 0.5
    assert np.mean(updated[-3:]) > np.mean(never[-3:]) + 0.15
