"""What each method costs: time and memory of its training, and time of its lists, over a warm start's.

Run as ``python -m benchmarks.methods [METHOD ...] [--log LOG]``. LRURec, an epoch of fine-tuning or of cold training,
one thread. Each method is in a process of its own, so that its peak is its own, and takes turns with a warm start in
that process; the least of two turns counts. Seconds are the processor's, which vary less than the clock's.
"""

import argparse
import multiprocessing
import time
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.machine import header, load, megabytes
from benchmarks.training import REDDIT
from finestrec.data.sources import read_log
from finestrec.data.splits import Split, split
from finestrec.stability.memory import peak_bytes, reset_peak
from finestrec.stabilizers import STABILIZERS, Recipe, Retrain, stabilizer
from finestrec.training.trained import TrainedModel

RECIPE = Recipe.of("lrurec", training={"epochs": 1}, finest={"epochs": 1})
TURNS = 2


class Cost(NamedTuple):
    """Of one method.

    Attributes:
        training: Processor seconds of `fit`.
        ranking: Processor seconds for the lists of the test instances.
        peak: Bytes, of the process.
    """

    training: float
    ranking: float
    peak: int


def cost(method: str, parts: Split, incumbent: TrainedModel) -> Cost:
    """Train and rank once."""
    strategy = stabilizer(method, RECIPE)
    reset_peak()
    began = time.process_time()
    trained = strategy.trainer.fit(parts.train, 0, incumbent)
    training = time.process_time() - began
    ranker = strategy.served(trained, incumbent)
    began = time.process_time()
    ranker.rank(parts.held_out(RECIPE.training.max_length), 100)
    return Cost(training, time.process_time() - began, peak_bytes())


def beside_a_warm_start(method: str, path: Path) -> tuple[Cost, Cost]:
    """A warm start's cost and the method's, after a first turn that compiles and loads what has to be."""
    torch.set_num_threads(1)
    parts = split(read_log(path))
    incumbent = Retrain(RECIPE).fit(parts.train, 0)
    turns = [[cost(each, parts, incumbent) for each in ("warm_start", method)] for _ in range(TURNS + 1)]
    plain, own = (Cost(*map(min, zip(*costs, strict=True))) for costs in zip(*turns[1:], strict=True))
    return plain, own


def main() -> None:
    """Parse the arguments and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("methods", nargs="*", default=[*STABILIZERS, "finest:teacher=batch"])
    parser.add_argument("--log", type=Path, default=REDDIT)
    options = parser.parse_args()
    header()
    print(f"{load()}\n{'method':24}{'training':>10}{'':9}{'ranking':>10}{'':9}{'peak MB':>9}")
    for method in options.methods:
        # A pool of one ends with its only task, and with it whatever the method has left in memory.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            plain, own = pool.apply(beside_a_warm_start, (method, options.log))
        times = "".join(f"{a:9.2f} s{a / b:8.2f}x" for a, b in zip(own[:2], plain[:2], strict=True))
        print(f"{method:24}{times}{megabytes(own.peak):9.0f}{own.peak / plain.peak:8.2f}x", flush=True)
    print(load())


if __name__ == "__main__":
    main()
