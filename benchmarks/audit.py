"""An audit as a grid of shared jobs, against each cell training its incumbent, floors and perturbed runs by itself.

Run as ``python -m benchmarks.audit``: LRURec on reddit.tsv, 2 selectors x 2 kinds, 1 seed, 2 epochs. The cells are
audits of their own in this process with two threads, one after another; the grid is one audit of all cells with two
jobs at a time, of one thread each. Both make the same rows. Grids of one and two cells say what a job more costs.
"""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.machine import cpu_seconds, header, load
from benchmarks.training import REDDIT
from finestrec.data.sources import read_log
from finestrec.data.splits import Split, split
from finestrec.perturbation.spec import Perturbation
from finestrec.stability.audit import audit
from finestrec.stability.plan import PlannedMethod, plan
from finestrec.stability.rows import Regime
from finestrec.stabilizers import Recipe

CELLS = [f"{kind}:{selector}:0.001" for kind in ("delete", "replace") for selector in ("random", "casper")]
METHODS = {"retrain": PlannedMethod("cold")}
REGIMES: tuple[Regime, ...] = ("anchored-update",)


def seconds(parts: Split, cells: Sequence[str], jobs: int) -> NDArray[np.float64]:
    """Wall time and processor time of an audit in a new folder."""
    recipe = Recipe.of("lrurec", training={"epochs": 2})
    began = np.array([time.perf_counter(), cpu_seconds()])
    with tempfile.TemporaryDirectory() as folder:
        audit(parts, recipe, perturbations=cells, methods=[*METHODS], regimes=REGIMES, folder=Path(folder), jobs=jobs)
    return np.array([time.perf_counter(), cpu_seconds()]) - began


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
    apart = np.sum([seconds(parts, [cell], 1) for cell in CELLS], axis=0)
    jobs = n_jobs(CELLS[:1])
    print(f"each cell by itself, {jobs} jobs each: {apart[0]:.0f} s, {apart[1]:.0f} s of processor time; {load()}")
    for count in (1, 2, len(CELLS)):
        jobs = n_jobs(CELLS[:count])
        grid = seconds(parts, CELLS[:count], 2)
        print(
            f"grid of {count}, {jobs} jobs: {grid[0]:.0f} s, {grid[0] / jobs:.2f} s a job,"
            f" {grid[1]:.0f} s of processor time; {load()}"
        )
    print("grid against cells: {:.2f}x less time, {:.2f}x less processor time".format(*apart / grid))


if __name__ == "__main__":
    main()
