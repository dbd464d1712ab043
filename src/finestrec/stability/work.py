"""How one piece of an audit's work is done, in whatever process: a training, or a comparison of two.

Trainings of ours leave a checkpoint in the audit's folder and are read from there by whoever needs them. What
strangers' fitters return cannot be kept in a file, so it goes from process to process by value.
"""

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from finestrec.data.files import aside
from finestrec.data.log import InteractionLog
from finestrec.data.sequences import Instances
from finestrec.data.splits import Split
from finestrec.errors import FinestrecError, UnsupportedError
from finestrec.perturbation.spec import Perturbation
from finestrec.stability.comparing import Judged, judge
from finestrec.stability.influence import KINDS, influence
from finestrec.stability.instances import compared
from finestrec.stability.jobs import table_file
from finestrec.stability.memory import peak_bytes, reset_peak
from finestrec.stability.plan import Comparison, Plan, Training, sides
from finestrec.stability.slices import log_slices
from finestrec.stability.touch import log_change, taken_down
from finestrec.stability.withdrawn import WithoutItems
from finestrec.stabilizers import Continue, Fitter, Policy, Ranker, Recipe, Strategy, TwoModels, stabilizer
from finestrec.training.state import TrainingState
from finestrec.training.trained import TrainedModel

Factory = Callable[[], Fitter]
"""Makes a stranger's fitter."""
Rankers = Mapping[str, Ranker]
"""What strangers' trainings returned, by key."""
Report = Callable[[float], None]
"""Told how many epochs of a training are left."""
_T = TypeVar("_T")
_IN_MEMORY = 3


@dataclass(frozen=True)
class Done:
    """A finished piece of work.

    Attributes:
        seconds: Of a training of ours the epochs, of earlier processes too; else wall time.
        peak_memory: Largest resident memory of the process meanwhile, in bytes.
        result: A stranger's ranker, or the values of a comparison, whose table is on disk; None for a training of ours,
            which is on disk as well.
    """

    seconds: float
    peak_memory: int
    result: Any = None


@dataclass(frozen=True)
class Failed:
    """A piece of work that failed.

    Attributes:
        reason: In words.
        traceback: Of what was not foreseen; None where the words say it all.
    """

    reason: str
    traceback: str | None = None


Outcome = Done | Failed


@dataclass
class Workbench:
    """Everything that work needs besides its own description; sent to each worker process once.

    Attributes:
        plan: All work.
        split: The unperturbed log, split.
        test: The test instances.
        recipe: A model of ours and its training, or a fitter or its factory for each method.
        folder: Where checkpoints and tables of comparisons are.
        max_length: Longest input, which bounds cascades.
        threads: CPU threads, or None to leave torch's number as it is.
        users: Slices of the users, one line a user of the log; see `user_slices`.
    """

    plan: Plan
    split: Split
    test: Instances
    recipe: Recipe | Mapping[str, Fitter | Factory]
    folder: Path
    max_length: int
    threads: int | None = None
    users: pl.DataFrame | None = None
    _logs: dict[str, InteractionLog] = field(default_factory=dict)
    _trained: dict[str, TrainedModel | TwoModels] = field(default_factory=dict)
    _judged: dict[str, Judged] = field(default_factory=dict)
    _sliced: dict[str, pl.DataFrame] = field(default_factory=dict)

    def checkpoint(self, key: str) -> Path:
        """Where a training of ours keeps its state."""
        return self.folder / f"{key}.safetensors"

    def epochs(self, key: str) -> float:
        """How many epochs a piece of work has; a comparison counts as one, since it takes about as long."""
        work = self.plan.works[key]
        if isinstance(work, Comparison) or not isinstance(self.recipe, Recipe):
            return 1.0
        return 0.0 if work.shared else self._strategy(work).epochs

    def perform(self, key: str, rankers: Rankers, report: Report) -> Outcome:
        """Do a piece of work; a failure is an outcome too.

        Args:
            key: Its key in the plan.
            rankers: Results of strangers' trainings that it needs.
            report: Told of the epochs that are left of a training of ours.
        """
        began = time.perf_counter()
        reset_peak()
        try:
            if self.threads is not None:
                torch.set_num_threads(self.threads)
            work = self.plan.works[key]
            if isinstance(work, Comparison):
                return Done(*_cost(began), self._compare(work, rankers))
            if not isinstance(self.recipe, Recipe):
                return Done(*_cost(began), self._strangers(work, rankers))
            trained = self._fit(work, report)
            # Nothing of a policy is trained; it costs what the model that it serves costs.
            model = trained if isinstance(trained, TrainedModel) else trained.new
            return Done(sum(record.seconds for record in model.state.history), peak_bytes())
        except (FinestrecError, OSError) as error:
            return Failed(str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the other work goes on
            return Failed(f"{type(error).__name__}: {error}", traceback.format_exc())

    def _strangers(self, work: Training, rankers: Rankers) -> Ranker:
        assert not isinstance(self.recipe, Recipe)
        incumbent = rankers[work.incumbent] if work.incumbent else None
        return made(self.recipe[work.method]).fit(self._log(work.perturbation, work.seed), work.seed, incumbent)

    def _fit(self, work: Training, report: Report | None = None) -> TrainedModel | TwoModels:
        """Train, or load what is on disk: a finished checkpoint is the result."""
        log, seed = self._log(work.perturbation, work.seed), work.seed
        incumbent = self._trained_model(work.incumbent) if work.incumbent else None
        strategy = self._strategy(work, report)
        if isinstance(strategy, Policy):
            assert work.new is not None
            assert incumbent is not None
            return strategy.served(self._trained_model(work.new), incumbent)
        if work.anchor is not None:
            strategy = replace(strategy, anchor=self._trained_model(work.anchor))  # type: ignore[call-arg]
        trained: TrainedModel = strategy.fit(log, seed, incumbent, checkpoint=self.checkpoint(work.shared or work.key))
        _remember(self._trained, work.key, lambda: trained)
        return trained

    def _load(self, key: str) -> TrainedModel | TwoModels:
        return _remember(self._trained, key, lambda: self._fit(self.plan.training(key)))

    def _trained_model(self, key: str) -> TrainedModel:
        trained = self._load(key)
        assert isinstance(trained, TrainedModel)
        return trained

    def _strategy(self, work: Training, report: Report | None = None) -> Strategy:
        assert isinstance(self.recipe, Recipe)
        progress = None if report is None else _Epochs(report)
        if work.method == "continue":
            return Continue(self.recipe, progress=progress)
        recipe = self.recipe
        if work.long:
            training = recipe.training.model_copy(update={"epochs": recipe.training.epochs + recipe.finest.epochs})
            recipe = replace(recipe, training=training)
        return stabilizer(work.method, recipe, progress)

    def _log(self, perturbation: Perturbation | None, seed: int) -> InteractionLog:
        if perturbation is None:
            return self.split.train

        def edited() -> InteractionLog:
            if perturbation.kind == "append":
                return perturbation.base(self.split.train)
            score = partial(self._influence, seed)
            return perturbation.apply(self.split.train, seed, self.max_length, score).log

        return _remember(self._logs, f"{perturbation} {seed}", edited)

    def _influence(self, seed: int, on: str) -> NDArray[np.float64]:
        """The influence of each training interaction over all epochs of the incumbent, which is trained for it again.

        Both kinds are kept on disk, since every edit by influence asks for one of them.
        """
        if not isinstance(self.recipe, Recipe):
            raise UnsupportedError("influence needs the weights of a model of ours; choose another selector")
        paths = {kind: self.folder / f"influence-{kind}.seed{seed}.npy" for kind in KINDS}
        if not all(path.is_file() for path in paths.values()):
            states: list[TrainingState] = []
            trained = self.recipe.train(self.split.train, seed, on_epoch=states.append)
            for kind, path in paths.items():
                with aside(path) as temporary, temporary.open("wb") as file:
                    np.save(file, influence(trained, states, self.test, on=kind))
        found: NDArray[np.float64] = np.load(self.folder / f"influence-{on}.seed{seed}.npy")
        return found

    def _compare(self, work: Comparison, rankers: Rankers) -> dict[str, Any]:
        before, after = (self._judge(key, rankers) for key in work.needs)
        seed = work.seed if work.other_seed is None else work.other_seed
        old, new = (self._log(side, seed) for side in sides(work.perturbation))
        gone = taken_down(work.perturbation, old, new)
        values, table = compared(before, after, self.test, old, new, self._slices(old), gone)
        with aside(table_file(self.folder, work.key)) as temporary:
            table.write_parquet(temporary)
        change = log_change(old, new) if work.perturbation else None
        return {**values, "log_change": change, "notes": [*values["notes"], *work.notes]}

    def _slices(self, before: InteractionLog) -> pl.DataFrame:
        columns = _remember(self._sliced, before.fingerprint, lambda: log_slices(before, self.test))
        return columns if self.users is None else columns.hstack(self.users[self.test.users])

    def _judge(self, key: str, rankers: Rankers) -> Judged:
        def judged() -> Judged:
            work = self.plan.training(key)
            ranker = rankers[key] if key in rankers else self._load(key)
            gone = taken_down(work.perturbation, self.split.train, self._log(work.perturbation, work.seed))
            return judge(ranker if gone is None else WithoutItems(ranker, gone), self.test)

        return _remember(self._judged, key, judged)


class _Epochs:
    """A training's progress as a number of epochs that are left."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def begin(self, epochs: int, done: int, steps: int) -> None:
        """Start, or go on."""
        self._left, self._share = float(epochs - done), 1 / max(1, steps)
        self._report(self._left)

    def step(self, epoch: int, loss: float) -> None:  # noqa: ARG002
        """Count the step."""
        self._left -= self._share
        self._report(self._left)

    def end(self) -> None:
        """Nothing to take away."""


def made(fitter: Fitter | Factory) -> Fitter:
    """A fitter, from itself or from what makes it."""
    if isinstance(fitter, type) or not hasattr(fitter, "fit"):
        return fitter()
    return fitter


def _remember(cache: dict[str, _T], key: str, make: Callable[[], _T]) -> _T:
    """A value by key, made if it is not there; the ones least recently asked for are forgotten."""
    value = cache.pop(key) if key in cache else make()
    while len(cache) >= _IN_MEMORY:
        del cache[next(iter(cache))]
    cache[key] = value
    return value


def _cost(began: float) -> tuple[float, int]:
    return time.perf_counter() - began, peak_bytes()
