"""What each method costs: time and memory of its training, and of what is served, over plain training.

Run as ``python -m benchmarks.methods [LOG]``. LRURec, F = 2 epochs a method, two threads, each method in a process of
its own so that its peak is its own; all start from one incumbent of two epochs.
"""

import argparse
import multiprocessing
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.machine import header, load, megabytes
from finestrec.data.sources import read_log
from finestrec.data.splits import split
from finestrec.stability.memory import peak_bytes, reset_peak
from finestrec.stabilizers import STABILIZERS, Recipe, Retrain, stabilizer
from finestrec.training.trained import TrainedModel

REDDIT = Path(__file__).parents[2] / "shared/data/reddit.tsv"
RECIPE = Recipe.of("lrurec", training={"epochs": 2}, finest={"epochs": 2})


class Cost(NamedTuple):
    """Of one method.

    Attributes:
        training: Seconds of `fit`.
        ranking: Seconds for the lists of the test instances.
        peak: Bytes, of the process.
    """

    training: float
    ranking: float
    peak: int


def cost(method: str, path: Path, incumbent: TrainedModel) -> Cost:
    """Train and rank once."""
    parts = split(read_log(path))
    strategy = stabilizer(method, RECIPE)
    stabilizer("warm_start", RECIPE).fit(parts.train, 0, incumbent)  # whatever is compiled or loaded first
    reset_peak()
    began = time.perf_counter()
    trained = strategy.trainer.fit(parts.train, 0, incumbent)
    training = time.perf_counter() - began
    ranker = strategy.served(trained, incumbent)
    began = time.perf_counter()
    ranker.rank(parts.held_out(RECIPE.training.max_length), 100)
    return Cost(training, time.perf_counter() - began, peak_bytes())


def main() -> None:
    """Parse the arguments and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("log", nargs="?", type=Path, default=REDDIT)
    path = parser.parse_args().log
    header()
    incumbent = Retrain(RECIPE).fit(split(read_log(path)).train, 0)
    plain: Cost | None = None
    print(f"{load()}\n{'method':24}{'training':>10}{'':9}{'ranking':>10}{'':9}{'peak MB':>9}")
    for method in ("warm_start", *(name for name in STABILIZERS if name != "warm_start"), "finest:teacher=batch"):
        # A pool of one ends with its only task, and with it whatever the method has left in memory.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found = pool.apply(cost, (method, path, incumbent))
        plain = plain or found
        times = "".join(
            f"{own:9.2f} s{own / of_plain:8.2f}x" for own, of_plain in zip(found[:2], plain[:2], strict=True)
        )
        print(f"{method:24}{times}{megabytes(found.peak):9.0f}", flush=True)
    print(load())


if __name__ == "__main__":
    main()
