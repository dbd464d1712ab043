"""Training: an epoch of LRURec against a plain version of the same model, and what FINEST costs beside it.

Run as ``python -m benchmarks.training [LOG]``. All figures of one table come from one process, two threads.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.machine import gflops, header, megabytes
from benchmarks.plain_lrurec import PlainLRURec
from finestrec.data.log import InteractionLog
from finestrec.data.simulator import SimulatorOptions, simulate
from finestrec.data.sources import read_log
from finestrec.data.splits import split
from finestrec.stability.memory import peak_bytes, reset_peak
from finestrec.stabilizers import FinestTuning, Recipe, Retrain
from finestrec.stabilizers.finest import reference_lists
from finestrec.training.options import DeviceOptions
from finestrec.training.trained import TrainedModel

REDDIT = Path(__file__).parents[2] / "shared/data/reddit.tsv"


def plain_epochs(log: InteractionLog, epochs: int, length: int = 50, batch_size: int = 32) -> list[float]:
    """Seconds of each epoch of the plain model on the last windows of a training log."""
    torch.manual_seed(0)
    padded = np.full((log.n_users, length + 1), log.n_items)
    for user in range(log.n_users):
        rows = log.items[log.offsets[user] : log.offsets[user + 1]][-(length + 1) :]
        if len(rows) > 0:
            padded[user, -len(rows) :] = rows
    data = torch.from_numpy(padded)
    model = PlainLRURec(log.n_items)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.98))
    seconds = []
    for _ in range(epochs):
        began = time.perf_counter()
        for users in torch.randperm(len(data)).split(batch_size):
            rows = data[users]
            targets = rows[:, 1:].masked_fill(rows[:, :-1] == log.n_items, -100)
            loss = F.cross_entropy(model(rows[:, :-1]).flatten(0, 1), targets.flatten(), ignore_index=-100)
            optimizer.zero_grad()
            loss.backward()
            nn_norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            assert torch.isfinite(nn_norm)
            optimizer.step()
        seconds.append(time.perf_counter() - began)
    return seconds


def product_limit(trained: TrainedModel) -> float:
    """Floating-point operations of the matrix products of one epoch: forward once, backward twice."""
    hidden, blocks = 128, 2
    per_position = blocks * 4 * hidden * (4 * hidden) + hidden * trained.model.n_items
    return 3 * 2 * per_position * trained.windows.n_instances


def best_epoch(trained: TrainedModel) -> float:
    """Seconds of the fastest epoch, as of the plain version: the first one warms up."""
    return min(record.seconds for record in trained.state.history)


def compare(log: InteractionLog, epochs: int) -> None:
    """Print the table of one log."""
    train = split(log).train
    recipe = Recipe.of("lrurec", training={"epochs": epochs}, finest={"epochs": epochs})
    reset_peak()
    ours = Retrain(recipe).fit(train, 0)
    our_peak = peak_bytes()
    epoch = best_epoch(ours)
    coarse_recipe = replace(recipe, device=DeviceOptions(matmul_precision="medium"))
    reset_peak()
    coarse = best_epoch(Retrain(coarse_recipe).fit(train, 0))
    coarse_peak = peak_bytes()
    speed = gflops()
    limit = product_limit(ours) / speed / 1e9
    began = time.perf_counter()
    reset_peak()
    references = reference_lists(ours, 100)
    reference_seconds, reference_peak = time.perf_counter() - began, peak_bytes()
    del references
    reset_peak()
    tuned = best_epoch(FinestTuning(recipe).fit(train, 0, ours))
    finest_peak = peak_bytes()
    reset_peak()
    plain = min(plain_epochs(train, epochs))
    plain_peak = peak_bytes()
    rows = [
        ("plain LRURec, one epoch", plain, plain_peak),
        ("finestrec LRURec, one epoch", epoch, our_peak),
        ("  the same at the product limit", limit, 0),
        ("  with products in bfloat16", coarse, coarse_peak),
        ("a FINEST epoch", tuned, finest_peak),
        ("reference lists of all instances", reference_seconds, reference_peak),
    ]
    print(f"\n{log}; {ours.windows.n_instances:,} training positions; products at {speed:.0f} GFLOP/s")
    print(f"{'':34}{'seconds':>9}{'of ours':>9}{'peak MB':>9}")
    for label, seconds, peak in rows:
        print(f"{label:34}{seconds:9.2f}{seconds / epoch:8.2f}x{megabytes(peak):9.0f}")


def growth() -> None:
    """Print one epoch and the reference lists on simulated logs of x1, x4 and x16 the interactions."""
    print(f"\n{'interactions':>14}{'epoch s':>9}{'us/position':>13}{'references s':>14}{'us/position':>13}{'MB':>9}")
    for factor in (1, 4, 16):
        log = simulate(SimulatorOptions(users=400 * factor, items=500), seed=0).with_min_length(10)
        train = split(log).train
        reset_peak()
        trained = Retrain(Recipe.of("lrurec", training={"epochs": 2})).fit(train, 0)
        epoch, positions = best_epoch(trained), trained.windows.n_instances
        began = time.perf_counter()
        reference_lists(trained, 100)
        references = time.perf_counter() - began
        print(
            f"{len(train):14,}{epoch:9.2f}{epoch / positions * 1e6:13.1f}{references:14.2f}"
            f"{references / positions * 1e6:13.1f}{megabytes(peak_bytes()):9.0f}"
        )


def main() -> None:
    """Parse the arguments and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", nargs="?", type=Path, default=REDDIT, help="a log file; default: the shared reddit log")
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    header()
    if arguments.log.exists():
        compare(read_log(arguments.log, min_length=10), arguments.epochs)
    else:
        print(f"{arguments.log} is not here: the simulated log stands in for it")
        compare(simulate(SimulatorOptions(), seed=0), arguments.epochs)
    growth()


if __name__ == "__main__":
    main()
