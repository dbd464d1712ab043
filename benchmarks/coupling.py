"""How much of plain instability is the streams' and not the data's: ``python -m benchmarks.coupling``.

A framework that draws order and dropout from one running generator, and deals batches by the lengths that it finds,
consumes its stream in data order: one interaction less shifts every number drawn after it. Ours names its streams and
deals by the original log, so runs that differ in the log alone stay coupled. This retrains both ways on reddit.tsv and
on the same log without a thousandth of its interactions, and prints how far the lists are apart; beside them another
seed alone. One thread.
"""

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.machine import header
from benchmarks.training import REDDIT
from finestrec.data.sequences import Windows
from finestrec.data.sources import read_log
from finestrec.data.splits import split
from finestrec.models.base import Dropout
from finestrec.models.masks import LEVELS
from finestrec.perturbation.spec import Perturbation
from finestrec.stability.comparing import compare_judged, judge
from finestrec.stabilizers import Recipe, stabilizer

_DEAL = Windows.deal


def _dropout(self: Dropout, x: Tensor) -> Tensor:
    return F.dropout(x, self.dropped / LEVELS, self.training)


def _gelu(x: Tensor, layer: nn.Linear, dropout: Dropout) -> Tensor:
    return dropout(F.gelu(layer(x)))


@contextmanager
def in_data_order(seed: int) -> Iterator[None]:
    """Everything inside draws from two running generators."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)

    def deal(windows: Windows, batch_size: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:  # noqa: ARG001
        found = replace(windows, dealt_lengths=windows.end - windows.start)
        return _DEAL(found, batch_size, int(rng.integers(2**31)), 0)

    with ExitStack() as stack:
        stack.enter_context(patch.object(Dropout, "forward", _dropout))
        stack.enter_context(patch("finestrec.models.lrurec.gelu", _gelu))
        stack.enter_context(patch("finestrec.training.loop.torch_stream", lambda *_, **__: nullcontext()))
        stack.enter_context(patch.object(Windows, "deal", deal))
        yield


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=["lrurec", "sasrec"])
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    header()
    parts = split(read_log(REDDIT, min_length=10))
    test = parts.held_out(50)
    less = Perturbation.parse("delete:random:0.001").apply(parts.train, 0, 50).log
    names = ("RBO(p=0.9)", "FRBO(p=0.9)@10", "Jaccard@10")
    print(f"{'':8}{'':44}" + "".join(f"{name:>16}" for name in names))
    for model in arguments.models:
        strategy = stabilizer("retrain", Recipe.of(model, training={"epochs": arguments.epochs}))

        def trained(log: Any, seed: int, strategy: Any = strategy) -> Any:
            return judge(strategy.fit(log, seed), test)

        base = trained(parts.train, 0)
        with in_data_order(0):
            plain = trained(parts.train, 0)
        with in_data_order(0):
            plain_less = trained(less, 0)
        pairs = {
            "named streams, a thousandth deleted": (base, trained(less, 0)),
            "streams in data order, a thousandth deleted": (plain, plain_less),
            "another seed, nothing deleted": (base, trained(parts.train, 1)),
        }
        for label, (old, new) in pairs.items():
            means = compare_judged(old, new, test).means()
            print(f"{model:8}{label:44}" + "".join(f"{means[name]:16.4f}" for name in names), flush=True)


if __name__ == "__main__":
    main()
