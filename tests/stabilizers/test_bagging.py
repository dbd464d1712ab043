"""Bagging: what is resampled, who the teachers are, what the student learns, and that a kill loses an epoch at most."""

from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch

from finestrec.data.sequences import windows
from finestrec.errors import DataError, OptionError
from finestrec.perturbation.edits import edit
from finestrec.stabilizers import stabilizer
from finestrec.stabilizers.bagging import resampled
from finestrec.training.objectives import PositionScores
from finestrec.training.state import TrainingState
from rivals import RECIPE, TRAIN, KilledError, fitted, kill_after, same, thinned

KEPT = "bagging:teachers=2:weight=10"


def ids(log) -> set[int]:
    return set(log.interaction_ids.tolist())


def test_each_interaction_is_kept_with_the_probability() -> None:
    lost = [len(TRAIN) - len(resampled(TRAIN, 0.9, seed, number)) for seed in range(20) for number in range(3)]
    mean, deviation = 0.1 * len(TRAIN), np.sqrt(0.09 * len(TRAIN))
    assert abs(np.mean(lost) - mean) < 4 * deviation / np.sqrt(len(lost))
    assert 0.5 * deviation < np.std(lost) < 2 * deviation
    assert ids(resampled(TRAIN, 1, 0, 0)) == ids(TRAIN)


def test_resampled_logs_differ_and_are_coupled() -> None:
    first, second = (ids(resampled(TRAIN, 0.5, 0, number)) for number in (0, 1))
    assert 0.15 < len(first & second) / len(TRAIN) < 0.35
    without = edit(TRAIN, "delete", np.array([7])).log
    assert ids(resampled(without, 0.5, 0, 0)) == first - {int(TRAIN.interaction_ids[7])}
    assert resampled(TRAIN, 0.5, 0, 0).root is TRAIN


def teachers_of(log, monkeypatch: pytest.MonkeyPatch, recipe=RECIPE):
    """The models that the student is taught by."""
    found = []
    train = type(RECIPE).train

    def recording(self, *arguments, **options):
        found.append(train(self, *arguments, **options))
        return found[-1]

    with monkeypatch.context() as patched:
        patched.setattr(type(RECIPE), "train", recording)
        stabilizer(KEPT, recipe).fit(log, 0)
    return found


def test_teachers_are_cold_models_of_resampled_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    teachers = teachers_of(TRAIN, monkeypatch)
    assert [ids(teacher.log) for teacher in teachers] == [ids(resampled(TRAIN, 0.9, 0, number)) for number in (0, 1)]
    assert len({teacher.seed for teacher in teachers}) == 2
    assert [teacher.state.epochs_done for teacher in teachers] == [6, 6]
    assert not same(*teachers)


def test_the_student_comes_far_closer_to_the_teachers_than_retraining(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once both would learn by heart: before, labels and teachers lead the same way."""
    long = replace(RECIPE, training=RECIPE.training.model_copy(update={"epochs": 40, "lr": 0.02}))
    teachers = teachers_of(thinned(), monkeypatch, long)
    batch = windows(thinned()).batch(np.arange(80))

    def probabilities(trained) -> np.ndarray:
        with torch.no_grad():
            scores = PositionScores(trained.model, batch).all.double().numpy()
        e = np.exp(scores - scores.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    p = np.mean([probabilities(teacher) for teacher in teachers], 0)
    far, near = (float((p * np.log(p / probabilities(fitted(m, long)))).sum(1).mean()) for m in ("retrain", KEPT))
    assert near < 0.5 * far


@pytest.mark.parametrize("epochs", [7, 12, 14, 18])
def test_a_kill_loses_an_epoch_at_most(epochs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the second teacher, at its end, in the student, and after its last epoch."""
    checkpoint = tmp_path / "bagging-weight=10.D.seed0.safetensors"
    with monkeypatch.context() as patched:
        kill_after(patched, epochs)
        with pytest.raises(KilledError):
            fitted(KEPT, checkpoint=checkpoint)
    done = sum(TrainingState.load(path).epochs_done for path in tmp_path.iterdir())
    assert done == epochs
    assert same(fitted(KEPT, checkpoint=checkpoint), fitted(KEPT))
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.name]


def test_the_whole_run_is_one_progress() -> None:
    seen = []

    class Told:
        def begin(self, epochs: int, done: int, steps: int) -> None:
            seen.append((epochs, done))

        def step(self, epoch: int, loss: float) -> None:
            seen[-1] = (*seen[-1][:2], epoch)

        def end(self) -> None:
            pass

    strategy = stabilizer("bagging:teachers=2", RECIPE, Told())
    strategy.fit(TRAIN, 0)
    assert strategy.epochs == 18
    assert seen == [(18, 0, 5), (18, 6, 11), (18, 12, 17)]


def test_what_the_teachers_cost_is_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An epoch of whatever takes a second on this clock."""
    monkeypatch.setattr("finestrec.training.loop.time.perf_counter", count().__next__)
    checkpoint = tmp_path / "state.safetensors"
    for _ in range(2):
        history = stabilizer("bagging:teachers=2", RECIPE).fit(TRAIN, 0, checkpoint=checkpoint).state.history
        assert [record.seconds for record in history] == [13, 1, 1, 1, 1, 1]


def test_a_teacher_with_nothing_to_learn_from_is_refused() -> None:
    with pytest.raises(DataError, match="bagging's teacher 1 nothing to learn from"):
        stabilizer("bagging:share=1e-9", RECIPE).fit(TRAIN, 0)


def test_early_stopping_is_the_teachers_alone() -> None:
    early = replace(RECIPE, training=RECIPE.training.model_copy(update={"patience": 1}))
    trained = stabilizer("bagging:teachers=1", early).fit(TRAIN, 0)
    assert trained.options.patience is None
    assert trained.state.epochs_done == 6


@pytest.mark.parametrize("value", ["teachers=0", "share=0", "share=1.5"])
def test_what_cannot_be_resampled_is_refused(value: str) -> None:
    with pytest.raises(OptionError, match=value.partition("=")[0]):
        stabilizer(f"bagging:{value}", RECIPE)
