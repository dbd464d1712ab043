"""Does dealing windows by length change what is learnt? ``python -m benchmarks.bucketing [--epochs E] [--seeds N]``.

Three ways to deal the same windows, in the same number of batches: ours (similar lengths, equal numbers of positions,
divided by that number); users in random order, divided by the same number; and similar lengths with equal numbers of
users, where the mean over each batch's own positions gives the positions of short users more weight.
"""

import argparse
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.machine import header
from benchmarks.training import REDDIT
from finestrec.data.sequences import SequenceBatch, Windows
from finestrec.data.simulator import SimulatorOptions, simulate
from finestrec.data.sources import read_log
from finestrec.data.splits import split
from finestrec.measures.accuracy import ndcg, recall, reciprocal_rank
from finestrec.models import NextItemModel, build_model
from finestrec.randomness import generator
from finestrec.ranking import rank
from finestrec.training.loop import train
from finestrec.training.losses import softmax_loss
from finestrec.training.objectives import NextItem
from finestrec.training.trained import training_options


@dataclass(frozen=True, eq=False)
class RandomOrder(Windows):
    """Users in random order, equally many a batch."""

    def deal(self, batch_size: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
        order = generator(seed, "order", epoch).permutation(len(self.start))
        return np.array_split(order, self.n_batches(batch_size))


@dataclass(frozen=True, eq=False)
class EqualUsers(RandomOrder):
    """Users of similar length, equally many a batch."""

    def deal(self, batch_size: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
        shuffled = np.concatenate(super().deal(batch_size, seed, epoch))
        by_length = shuffled[np.argsort(self.dealt_lengths[shuffled], kind="stable")]
        batches = np.array_split(by_length, self.n_batches(batch_size))
        return [batches[i] for i in generator(seed, "order", epoch).permutation(len(batches))]


class Dealt(NextItem):
    """The next-item loss under another way to deal, divided by the batch's own positions if `own_mean`."""

    way: type[Windows] = Windows
    own_mean = False

    def windows(self, epoch: int) -> Windows:
        cut = super().windows(epoch)
        return self.way(cut.log, cut.start, cut.end, cut.dealt_lengths)

    def losses(self, model: NextItemModel, batch: SequenceBatch) -> dict[str, Tensor]:
        if not self.own_mean:
            return super().losses(model, batch)
        scores = model.scores(batch.at_positions(model.hidden(batch)))
        return {"next_item": softmax_loss(scores, batch.targets) / len(batch.targets)}


WAYS: dict[str, tuple[type[Windows], bool]] = {
    "equal positions (ours)": (Windows, False),
    "random order": (RandomOrder, False),
    "equal users, own mean": (EqualUsers, True),
}


def main() -> None:
    """Print accuracy and seconds an epoch of each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    header()
    log = read_log(REDDIT, min_length=10) if REDDIT.exists() else simulate(SimulatorOptions(), seed=0)
    parts = split(log)
    test = parts.held_out(50)
    options = training_options("lrurec", {"epochs": arguments.epochs})
    print(f"{'batches':>24}{'MRR':>9}{'Recall@10':>11}{'NDCG@10':>9}{'spread':>8}{'s/epoch':>9}")
    for name, (way, own_mean) in WAYS.items():
        found, seconds = [], []
        for seed in range(arguments.seeds):
            model = build_model("lrurec", log.n_items, seed)
            curriculum = Dealt(parts.train, options)
            curriculum.way, curriculum.own_mean = way, own_mean
            state = train(model, curriculum, options, seed)
            ranks = rank(model, test, 10).target_ranks
            found.append([float(f.mean()) for f in (reciprocal_rank(ranks), recall(ranks, 10), ndcg(ranks, 10))])
            seconds.append(min(record.seconds for record in state.history))
        means = [fmean(values) for values in zip(*found, strict=True)]
        spread = stdev(values[2] for values in found) if len(found) > 1 else float("nan")
        print(f"{name:>24}{means[0]:9.4f}{means[1]:11.4f}{means[2]:9.4f}{spread:8.4f}{min(seconds):9.2f}", flush=True)


if __name__ == "__main__":
    main()
