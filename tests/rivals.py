"""A small retraining that every rival of FINEST is tried on: a chain, a part of it, and an incumbent."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from chains import markov_log
from finestrec.data.log import InteractionLog
from finestrec.data.splits import split
from finestrec.measures.overlap import jaccard
from finestrec.perturbation.edits import edit
from finestrec.stabilizers import Recipe, stabilizer
from finestrec.stabilizers.base import SaveTo
from finestrec.training.state import TrainingState
from finestrec.training.trained import TrainedModel

PARTS = split(markov_log(users=80, items=20, length=12, seed=0))
TRAIN = PARTS.train
TEST = PARTS.held_out(50)
RECIPE = Recipe.of(
    "lrurec",
    model_options={"hidden": 8, "blocks": 1},
    training={"epochs": 6, "lr": 0.01, "batch_size": 16},
    finest={"epochs": 8, "lr": 0.02, "k": 5},
)


@cache
def incumbent(seed: int = 0) -> TrainedModel:
    """Trained on the whole chain."""
    return stabilizer("retrain", RECIPE).fit(TRAIN, seed)  # type: ignore[no-any-return]


@cache
def thinned() -> InteractionLog:
    """Tomorrow's log: the same without half of the interactions."""
    gone = np.random.default_rng(1).random(len(TRAIN)) < 0.5
    return edit(TRAIN, "delete", np.flatnonzero(gone)).log


@cache
def smaller() -> TrainedModel:
    """An incumbent that knows the first 15 items of the catalogue."""
    known = TRAIN.with_items(TRAIN.vocabulary.items.head(15))
    return stabilizer("retrain", RECIPE).fit(known, 0)  # type: ignore[no-any-return]


def fitted(method: str, recipe: Recipe = RECIPE, checkpoint: Path | None = None) -> TrainedModel:
    """What a method makes of tomorrow's log."""
    if recipe is RECIPE and checkpoint is None:
        return _fitted(method)
    return stabilizer(method, recipe).fit(thinned(), 0, incumbent(), checkpoint=checkpoint)  # type: ignore[no-any-return]


@cache
def _fitted(method: str) -> TrainedModel:
    return stabilizer(method, RECIPE).fit(thinned(), 0, incumbent())  # type: ignore[no-any-return]


def kept(trained: TrainedModel, seed: int = 0) -> float:
    """Mean Jaccard index of the first five items with those of the incumbent of a seed."""
    old, new = (model.rank(TEST, 5).items.astype(np.int64) for model in (incumbent(seed), trained))
    return float(jaccard(old, new, 5).mean())


@cache
def moved_over_seeds(method: str) -> float:
    """What is not kept, the mean of three seeds: of one it depends much on where its incumbent happens to stand."""
    fits = [stabilizer(method, RECIPE).fit(thinned(), seed, incumbent(seed)) for seed in range(3)]
    return 1 - float(np.mean([kept(trained, seed) for seed, trained in enumerate(fits)]))


def same(first: TrainedModel, second: TrainedModel) -> bool:
    """Whether two models have the same weights, bit for bit."""
    a, b = first.model.state_dict(), second.model.state_dict()
    return a.keys() == b.keys() and all(a[key].equal(b[key]) for key in a)


class KilledError(Exception):
    """In place of a signal."""


def kill_after(monkeypatch: pytest.MonkeyPatch, epochs: int) -> None:
    """Stop the run when so many epochs of this call are saved."""
    done = 0

    def save(saver: SaveTo, state: TrainingState) -> None:
        nonlocal done
        state.save(saver.path)
        done += 1
        if done == epochs:
            raise KilledError

    monkeypatch.setattr(SaveTo, "__call__", save)
