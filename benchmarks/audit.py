"""An audit as a grid of shared jobs, against each cell training its incumbent, floors and perturbed runs by itself.

Run as ``python -m benchmarks.audit``: LRURec on reddit.tsv, 2 selectors x 2 kinds, 1 seed, 2 epochs. The cells are
audits of their own in this process with two threads, one after another; the grid is one audit of all cells with two
jobs at a time, of one thread each. Both make the same rows. Grids of one and two cells say what a job more costs.
"""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.machine import header, load
from benchmarks.training import REDDIT
from finestrec.data.sources import read_log
from finestrec.data.splits import Split, split
from finestrec.perturbation.spec import Perturbation
from finestrec.stability.audit import audit
from finestrec.stability.plan import plan
from finestrec.stability.rows import Regime
from finestrec.stabilizers import Recipe

CELLS = [f"{kind}:{selector}:0.001" for kind in ("delete", "replace") for selector in ("random", "latest")]
METHODS: tuple[str, ...] = ("retrain",)
REGIMES: tuple[Regime, ...] = ("anchored-update",)


def seconds(parts: Split, cells: Sequence[str], jobs: int) -> tuple[float, int]:
    """Wall time of an audit in a new folder, and its rows."""
    recipe = Recipe.of("lrurec", training={"epochs": 2})
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        found = audit(
            parts, recipe, perturbations=cells, methods=METHODS, regimes=REGIMES, folder=Path(folder), jobs=jobs
        )
    return time.perf_counter() - began, len(found.rows)


def n_jobs(cells: Sequence[str]) -> int:
    """Trainings and comparisons of an audit."""
    return len(plan([Perturbation.parse(cell) for cell in cells], METHODS, REGIMES, [0], floors=True).works)


def main() -> None:
    """Measure and print."""
    if not REDDIT.exists():
        print(f"{REDDIT} is not here; nothing to measure")
        return
    torch.set_num_threads(2)
    header()
    parts = split(read_log(REDDIT, min_length=10))
    seconds(parts, CELLS[:1], 1)  # what is compiled once is compiled
    apart = [seconds(parts, [cell], 1)[0] for cell in CELLS]
    print(f"each cell by itself: {sum(apart):.0f} s, {n_jobs(CELLS[:1])} jobs each; {load()}")
    for count in (1, 2, len(CELLS)):
        jobs = n_jobs(CELLS[:count])
        took, rows = seconds(parts, CELLS[:count], 2)
        print(f"grid of {count}: {took:.0f} s, {rows} rows, {jobs} jobs, {took / jobs:.2f} s a job; {load()}")
    print(f"grid against cells: {sum(apart) / took:.2f}x less time")


if __name__ == "__main__":
    main()
