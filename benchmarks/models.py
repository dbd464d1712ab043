"""Training of the attention models: an epoch against a plain padded version of the same model.

Run as ``python -m benchmarks.models [NAME ...] [--log LOG]``. The versions take turns, a tenth of an epoch each, so
that what else the machine does slows all of them. Two threads.
"""

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.machine import header
from benchmarks.plain_attention import NOTHING, PlainSASRec, PlainTiSASRec
from benchmarks.plain_bert4rec import PlainBERT4Rec
from benchmarks.training import REDDIT
from finestrec.data.log import InteractionLog
from finestrec.data.sequences import PADDING, SequenceBatch, Windows, windows
from finestrec.data.simulator import SimulatorOptions, simulate
from finestrec.data.sources import read_log
from finestrec.data.splits import split
from finestrec.models import build_model
from finestrec.training.loop import train
from finestrec.training.objectives import NextItem
from finestrec.training.trained import training_options

PEERS: dict[str, Callable[[int], nn.Module]] = {
    "sasrec": PlainSASRec,
    "tisasrec": PlainTiSASRec,
    "bert4rec": PlainBERT4Rec,
}
"""The plain version of each model: a module of (items, times, targets) -> loss, from the number of items."""
TURNS = 10


Rows = tuple[Tensor, Tensor, Tensor]
"""Items, times and targets, each (B, L)."""


def rows_of(batch: SequenceBatch, n_items: int) -> Rows:
    targets = torch.full_like(batch.items.flatten(), NOTHING)
    targets[batch.positions] = batch.targets
    items = batch.items.masked_fill(batch.items == PADDING, n_items)
    return items, batch.times, targets.view(items.shape)


def padded(cut: Windows, n_items: int, batch_size: int) -> list[Rows]:
    """Every row padded to the longest of all, in random order."""
    whole = rows_of(cut.batch(np.arange(len(cut.start))), n_items)
    order = torch.randperm(len(whole[0]), generator=torch.Generator().manual_seed(0))
    return [(whole[0][rows], whole[1][rows], whole[2][rows]) for rows in order.split(batch_size)]


class Plain:
    """The training of a plain version, a tenth of an epoch at a time."""

    def __init__(self, name: str, n_items: int, batches: list[Rows]) -> None:
        torch.manual_seed(0)
        self._batches = batches
        self._model = PEERS[name](n_items)
        options = training_options(name)
        self._optimizer = torch.optim.Adam(
            self._model.parameters(), lr=options.lr, weight_decay=options.weight_decay, betas=options.betas
        )
        self._clip = options.clip_norm
        self.seconds = 0.0

    def turn(self, number: int) -> None:
        began = time.perf_counter()
        for batch in self._batches[number::TURNS]:
            loss = self._model(*batch)
            self._optimizer.zero_grad()
            loss.backward()
            if self._clip is not None:
                nn.utils.clip_grad_norm_(self._model.parameters(), self._clip)
            self._optimizer.step()
        self.seconds += time.perf_counter() - began


@dataclass
class Turns:
    """A progress display that shows nothing: it lets the plain versions take their turns between steps."""

    rivals: list[Plain]
    seconds: float = 0.0

    def begin(self, epochs: int, done: int, steps: int) -> None:  # noqa: ARG002
        self.after = [round(steps * (turn + 1) / TURNS) for turn in range(TURNS)]
        self.steps, self.turn = 0, 0

    def step(self, epoch: int, loss: float) -> None:  # noqa: ARG002
        if epoch == 0:  # warms up
            return
        self.steps += 1
        while self.turn < TURNS and self.steps >= self.after[self.turn]:
            began = time.perf_counter()
            for rival in self.rivals:
                rival.turn(self.turn)
            self.seconds += time.perf_counter() - began
            self.turn += 1

    def end(self) -> None:
        pass


def compare(name: str, log: InteractionLog, batch_size: int) -> None:
    """Print the table of one model: the plain version, the same on our batches, and ours."""
    options = training_options(name, {"epochs": 2, "batch_size": batch_size})
    cut = windows(log, options.max_length, options.window)
    bucketed = [rows_of(cut.batch(dealt), log.n_items) for dealt in cut.deal(batch_size, 0, 0)]
    plain = Plain(name, log.n_items, padded(cut, log.n_items, batch_size))
    same_batches = Plain(name, log.n_items, bucketed)
    turns = Turns([plain, same_batches])
    model = build_model(name, log.n_items, 0, max_length=options.max_length)
    state = train(model, NextItem(log, options, 0), options, 0, progress=turns)
    ours = state.history[-1].seconds - turns.seconds
    places = len(cut.start) * options.max_length
    print(
        f"\n{name}, batch {batch_size}: {cut.n_instances:,} positions, {places:,} with padding"
        f" ({places / cut.n_instances:.2f}x); load {os.getloadavg()[0]:.1f}"
    )
    print(f"{'one epoch':40}{'seconds':>9}{'of ours':>9}")
    for label, seconds in (
        ("plain, padded", plain.seconds),
        ("plain, on batches of similar lengths", same_batches.seconds),
        ("finestrec", ours),
    ):
        print(f"{label:40}{seconds:9.2f}{seconds / ours:8.2f}x", flush=True)


def main() -> None:
    """Parse the arguments and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"any of {', '.join(PEERS)}; default: all")
    parser.add_argument("--log", type=Path, default=REDDIT, help="a log file; default: the shared reddit log")
    parser.add_argument("--batch-size", type=int, default=32)
    arguments = parser.parse_args()
    unknown = set(arguments.names) - PEERS.keys()
    if unknown:
        parser.error(f"no plain version of {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    torch.set_num_threads(2)
    header()
    if arguments.log.exists():
        log = read_log(arguments.log, min_length=10)
    else:
        print(f"{arguments.log} is not here: the simulated log stands in for it")
        log = simulate(SimulatorOptions(), seed=0)
    for name in arguments.names or PEERS:
        compare(name, split(log).train, arguments.batch_size)


if __name__ == "__main__":
    main()
