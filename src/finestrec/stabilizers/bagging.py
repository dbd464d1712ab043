"""Bagging: several models of resampled logs, distilled into one."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from finestrec.data.log import InteractionLog
from finestrec.data.sequences import windows
from finestrec.errors import DataError
from finestrec.models import build_model
from finestrec.options import Options
from finestrec.perturbation.edits import edit
from finestrec.perturbation.keys import hashed_rows
from finestrec.randomness import derived_seed
from finestrec.stabilizers.base import Strategy, saver
from finestrec.stabilizers.teaching import Taught, Teacher, divergence
from finestrec.training.loop import train
from finestrec.training.progress import Progress
from finestrec.training.trained import TrainedModel


class BaggingOptions(Options):
    """Of bagging."""

    weight: float = Field(default=1.0, ge=0)
    """Of the distance from the teachers beside the next-item loss, both as means over instances; 0 is retraining."""
    teachers: int = Field(default=4, ge=1)
    """K: resampled logs, and trainings beside the student's."""
    share: float = Field(default=0.9, gt=0, le=1)
    """Probability with which a resampled log keeps an interaction."""


@dataclass(frozen=True)
class Bagging(Strategy):
    """K teachers on resampled logs, and one student; E epochs each, from initial weights. No incumbent is looked at.

    The student minimises next-item loss + weight * KL(p || p_student) on the whole log, p the mean of the teachers'
    softmax over the catalogue, asked on the batches themselves with dropout off. Each interaction is kept with a
    probability of its own number alone, so logs that differ in one interaction are resampled alike; teachers differ in
    their initial weights and order too. Early stopping (training.patience) is the teachers' alone.

    Bagging cuts churn where averages of weights do not (Prastalo, Jablonka: Reducing cross-sample prediction churn in
    scientific machine learning, https://arxiv.org/abs/2605.13826); what is served here is one model of the usual cost,
    by distillation (Bucilua, Caruana, Niculescu-Mizil: Model compression, KDD 2006). A bootstrap with replacement would
    repeat interactions within a history, so this one is without.
    """

    options_type: ClassVar[type[Options]] = BaggingOptions
    strength: ClassVar[str | None] = "weight"

    @property
    def epochs(self) -> float:
        """See `Strategy.epochs`."""
        return self._trainings * self.recipe.training.epochs

    @property
    def _trainings(self) -> int:
        return int(self.options.teachers) + 1

    def fit(
        self,
        log: InteractionLog,
        seed: int,
        incumbent: TrainedModel | None = None,  # noqa: ARG002
        *,
        checkpoint: Path | None = None,
    ) -> TrainedModel:
        """See `Strategy.fit`; states of teachers stand beside the checkpoint until the student is done.

        The seconds of the first epoch's record are those of the teachers too.
        """
        options = self.recipe.training.model_copy(update={"patience": None})
        model = build_model(
            self.recipe.model, log.n_items, seed, self.recipe.model_options.model_dump(), max_length=options.max_length
        )
        state = self._saved(checkpoint)
        beside = [_beside(checkpoint, number) for number in range(self.options.teachers)]
        if state is None or state.epochs_done < options.epochs:
            teachers = [self._teacher(log, seed, number, path) for number, path in enumerate(beside)]
            asked = Teacher([teacher.model for teacher in teachers], log.n_items)
            curriculum = Taught(log, options, seed, asked, self.options.weight, divergence)
            state = train(
                model,
                curriculum,
                options,
                seed,
                device=self.recipe.device,
                state=state,
                preparation=sum(record.seconds for teacher in teachers for record in teacher.state.history),
                on_epoch=saver(checkpoint),
                progress=self._progress(self.options.teachers),
            )
        for path in beside:
            if path is not None:
                path.unlink(missing_ok=True)
        model.load_state_dict(state.weights)
        return TrainedModel(model.eval(), log, seed, options, state)

    def _teacher(self, log: InteractionLog, seed: int, number: int, checkpoint: Path | None) -> TrainedModel:
        sample, training = resampled(log, self.options.share, seed, number), self.recipe.training
        if windows(sample, training.max_length, training.window).n_instances == 0:
            raise DataError(
                f"a share of {self.options.share:g} of {len(log):,} interactions leaves bagging's teacher"
                f" {number + 1} nothing to learn from; raise its option share"
            )
        return self.recipe.train(
            sample,
            derived_seed(seed, "init", 1 + number),
            state=self._saved(checkpoint),
            on_epoch=saver(checkpoint),
            progress=self._progress(number),
        )

    def _progress(self, number: int) -> Progress | None:
        return None if self.progress is None else _Part(self.progress, number, self._trainings)


def resampled(log: InteractionLog, share: float, seed: int, number: int) -> InteractionLog:
    """A log without some of its interactions, each kept with a probability, by its id.

    Args:
        log: The log.
        share: The probability, 0 to 1.
        seed: The run's seed.
        number: Tells resampled logs apart.
    """
    draws = hashed_rows(log, np.arange(len(log)), seed, "sample", number)
    is_kept = (draws >> np.uint64(11)) * 2.0**-53 < share  # as many bits as a double holds
    return edit(log, "delete", np.flatnonzero(~is_kept)).log


def _beside(checkpoint: Path | None, number: int) -> Path | None:
    return None if checkpoint is None else checkpoint.with_suffix(f".bag{number}.safetensors")


class _Part:
    """The progress of one of several trainings, as a part of the whole."""

    def __init__(self, whole: Progress, number: int, count: int) -> None:
        self._whole, self._number, self._count = whole, number, count

    def begin(self, epochs: int, done: int, steps: int) -> None:
        """Start where the trainings before end."""
        self._before = self._number * epochs
        self._whole.begin(self._count * epochs, self._before + done, steps)

    def step(self, epoch: int, loss: float) -> None:
        """Count the step."""
        self._whole.step(self._before + epoch, loss)

    def end(self) -> None:
        """Take it away."""
        self._whole.end()
