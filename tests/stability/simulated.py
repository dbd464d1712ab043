"""Simulated tables of comparisons, and rows of an audit that are made from them."""

from typing import Any

import numpy as np
import polars as pl

from finestrec.stability.instances import SIMILARITIES, row_values
from finestrec.stability.rows import AuditRow

SPEC = "delete:user:2"
ERASED = (3, 4)
N = 240
Tables = dict[str, pl.DataFrame]


def table(seed: int, change: float, *, erased: bool = False) -> pl.DataFrame:
    """Instances of 40 users; better served users have steadier lists."""
    rng = np.random.default_rng(0)
    users = np.sort(rng.integers(0, 40, N))
    served = rng.random(40)[users]
    old = 1 + np.floor(30 * (1 - served) * rng.random(N)).astype(np.int32)
    noise = np.random.default_rng(seed + 1)
    similar = np.clip(1 - change * (1.5 - served) * noise.random(N), 0, 1)
    touch = np.where(np.isin(users, ERASED) & erased, "erased", np.where(users % 3 == 0, "touched", "untouched"))
    columns: dict[str, Any] = {"user_id": [f"u{user}" for user in users], "interaction_id": np.arange(N)}
    columns |= {name: 1 - similar if name == "Turnover@10" else similar for name in SIMILARITIES}
    columns["old_rank"] = old
    columns["new_rank"] = np.maximum(1, old + noise.integers(-1, 3, N) * (change > 0)).astype(np.int32)
    for side, last in (("old", 9), ("new", 10)):
        columns[f"{side}_items"] = [[*range(9), last if turned > 0 else 9] for turned in columns["Turnover@10"]]
    return pl.DataFrame(columns).with_columns(
        pl.Series("touch", touch, dtype=pl.Enum(["untouched", "touched", "erased"])),
        pl.Series("half", np.where(users < 20, "low", "high"), dtype=pl.Enum(["low", "high"])),
    )


def row(method: str, seed: int, values: pl.DataFrame, tables: Tables, **more: Any) -> AuditRow:
    where: dict[str, Any] = {"regime": "anchored-update", "perturbation": SPEC, "other_seed": None, **more}
    key = f"{where['regime']}.{method}.{seed}.{where['other_seed']}.{where['perturbation']}"
    tables[key] = values
    return AuditRow(
        method=method,
        model="m",
        data="d",
        log_fingerprint="f",
        seed=seed,
        options={},
        instances="all",
        log_change={"interactions": 1000, "removed": 30, "added": 0, "users": 40, "touched_users": 15}
        | {"erased_users": 2, "erased_items": 0},
        comparison=key,
        seconds=1.0,
        peak_memory=1,
        **where,
        **row_values(values),
    )
