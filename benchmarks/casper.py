"""Cascading scores, exact and by sketches: ``python -m benchmarks.casper`` prints what docs/results/casper.md has.

On the two real logs: seconds, how much of the top 0.1% two ways to score share, and the error of sketches. On simulated
logs of x1, x4, x16 the interactions and of 10 million: seconds and peak memory, the log included. Compilation is
excluded. Seconds are of one processor, so that other work on the machine counts little: one thread does it all.
"""

import time
from pathlib import Path

import numpy as np

from benchmarks.machine import header, megabytes
from finestrec.data.log import InteractionLog
from finestrec.data.simulator import SimulatorOptions, simulate
from finestrec.data.sources import read_log
from finestrec.data.splits import split
from finestrec.perturbation.cascade import MAX_EXACT, Cascade, ScoreMethod
from finestrec.perturbation.selectors import casper_rows, rows_with_highest
from finestrec.stability.memory import peak_bytes, reset_peak

DATA = Path(__file__).parents[2] / "shared/data"
SEEDS = range(5)


def real(name: str) -> None:
    """The top 0.1% of one log, and what sketches find of it."""
    train = split(read_log(DATA / name, min_length=10)).train
    began = time.process_time()
    cascade = Cascade.of(train)
    exact = cascade.scores("exact")
    seconds = time.process_time() - began
    roots, count = cascade.is_root(), len(train) // 1000
    top = {key: set(rows_with_highest(train, exact, count, mask).tolist()) for key, mask in _candidates(roots).items()}
    lowest = {key: int(exact[list(rows)].min()) for key, rows in top.items()}
    print(
        f"\n{name}: {len(train):,} training interactions, {len(cascade.rows):,} of them in windows,"
        f" {int(roots.sum()):,} roots; exact scores in {seconds:.2f} s. Of the {count} highest roots and the {count}"
        f" highest of all, {len(top['roots'] & top['all'])} are the same. The highest score is {int(exact.max()):,},"
        f" number {count} of roots {lowest['roots']:,}, of all {lowest['all']:,}.\n"
    )
    print(f"| k | seconds | rms error | stated bound | largest error | of {count} roots | of {count} of all |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for size in (64, 256, 1024):
        errors, shared = [], {key: [] for key in top}
        for seed in SEEDS:
            began = time.process_time()
            found = cascade.scores("sketch", seed=seed, sketch_size=size)
            seconds = time.process_time() - began
            errors.append(found[exact >= size] / exact[exact >= size] - 1)
            for key, mask in _candidates(roots).items():
                shared[key].append(len(top[key] & set(rows_with_highest(train, found, count, mask).tolist())))
        error = np.concatenate(errors)
        print(
            f"| {size} | {seconds:.2f} | {np.sqrt((error**2).mean()):.1%} | {(size - 2) ** -0.5:.1%} |"
            f" {np.abs(error).max():.0%} | {_spread(shared['roots'])} | {_spread(shared['all'])} |"
        )


def _candidates(roots: np.ndarray) -> dict[str, np.ndarray]:
    return {"roots": roots, "all": np.ones(len(roots), dtype=bool)}


def _spread(values: list[int]) -> str:
    return f"{np.mean(values):.0f} ({min(values)} to {max(values)})"


def simulated(log: InteractionLog, method: ScoreMethod) -> None:
    """One line: a hundredth of one per cent selected."""
    reset_peak()
    began = time.process_time()
    casper_rows(log, len(log) // 10_000, 0, scores=method)
    seconds = time.process_time() - began
    print(
        f"| {len(log):,} | {method} | {seconds:.2f} | {seconds / len(log) * 1e6:.2f} | {megabytes(peak_bytes()):,.0f} |"
    )


def main() -> None:
    """Print all tables."""
    header()
    casper_rows(simulate(SimulatorOptions(users=9, items=9, interactions=99), seed=0), 1, 0)
    if DATA.is_dir():
        for name in ("reddit.tsv", "foursquare.tsv"):
            real(name)
    print("\n| simulated interactions | scores | seconds | us each | peak MB |\n|---:|---|---:|---:|---:|")
    for interactions in (62_500, 250_000, 1_000_000, 10_000_000):
        log = simulate(SimulatorOptions(users=interactions // 25, items=20_000, interactions=interactions), seed=0)
        if len(log) <= MAX_EXACT:
            simulated(log, "exact")
        simulated(log, "sketch")


if __name__ == "__main__":
    main()
