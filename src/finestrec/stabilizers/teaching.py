"""What distilling strategies share: a teacher that is asked at batch time, and the curriculum that compares with it."""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from finestrec.data.log import InteractionLog
from finestrec.data.sequences import SequenceBatch
from finestrec.models import NextItemModel
from finestrec.options import Options
from finestrec.stabilizers.base import Recipe
from finestrec.stabilizers.finetuning import FineTuning
from finestrec.training.objectives import Curriculum, NextItem, PositionScores
from finestrec.training.options import TrainingOptions
from finestrec.training.trained import TrainedModel

Comparison = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From a student's scores (P, n), a teacher's log-probabilities of the same items (P, n) and the next items (P,), a
loss a position, 0 or more, shape (P,)."""


class Teacher:
    """Frozen models in evaluation mode that answer on the batches of another model's training.

    Attributes:
        n_items: How many items, from the first, it has an opinion on.
    """

    def __init__(self, models: Sequence[NextItemModel], n_items: int) -> None:
        """Take over models that nobody else uses.

        Args:
            models: Of the student's catalogue.
            n_items: As in the attribute, at most the models'.
        """
        self._models = [model.eval().requires_grad_(False) for model in models]
        self.n_items = n_items

    @classmethod
    def of(cls, recipe: Recipe, trained: TrainedModel, n_items: int) -> "Teacher":
        """A trained model as a teacher on a catalogue that may have grown since.

        Items that it does not know are read with their initial rows, and it has no opinion on them.
        """
        return cls([recipe.copy_of(trained, n_items)], trained.model.n_items)

    @torch.no_grad()
    def log_probabilities(self, batch: SequenceBatch) -> Tensor:
        """Logarithm of the mean of the models' softmax over the items that they know.

        Args:
            batch: What the student learns from, on any device.

        Returns:
            Shape (P, n_items).
        """
        answers = []
        for model in self._models:
            model.to(batch.items.device)
            answers.append(PositionScores(model, batch).all[:, : self.n_items].log_softmax(-1))
        return torch.stack(answers).logsumexp(0) - math.log(len(answers))


def divergence(student: Tensor, teacher: Tensor, targets: Tensor, *, temperature: float = 1.0) -> Tensor:  # noqa: ARG001
    """T^2 * KL(softmax(teacher / T) || softmax(student / T)) of each position; see `Comparison`.

    T^2 keeps the gradient's size when T changes (Hinton, Vinyals, Dean, 2015, https://arxiv.org/abs/1503.02531).
    """
    wanted, given = ((scores / temperature).log_softmax(-1) for scores in (teacher, student))
    return temperature**2 * F.kl_div(given, wanted, log_target=True, reduction="none").sum(-1)


class Taught(NextItem):
    """The next-item loss, and a teacher's as a mean over positions."""

    parts: tuple[str, ...] = ("next_item", "teacher")

    def __init__(
        self,
        log: InteractionLog,
        training: TrainingOptions,
        seed: int,
        teacher: Teacher,
        weight: float,
        comparison: Comparison,
    ) -> None:
        super().__init__(log, training, seed)
        self._teacher, self._weight, self._comparison = teacher, weight, comparison

    def losses(self, model: NextItemModel, batch: SequenceBatch) -> dict[str, Tensor]:
        """Both; the second is over the items that the teacher knows."""
        scores = PositionScores(model, batch)
        next_item = self.next_item(scores, batch)
        known = scores.all[:, : self._teacher.n_items]
        compared = self._comparison(known, self._teacher.log_probabilities(batch), batch.targets)
        return {"next_item": next_item, "teacher": self._weight * compared.sum() / self.expected(model)}


class DistillationOptions(Options):
    """Of every distillation."""

    weight: float = Field(default=1.0, ge=0)
    """Of the second loss beside the next-item loss, both as means over instances; 0 is a warm start."""
    temperature: float = Field(default=1.0, gt=0)
    """T, by which scores are divided before the softmax: above 1 the lower ranks count for more."""


@dataclass(frozen=True)
class Distillation(FineTuning):
    """F epochs of next-item loss + weight * a comparison with the incumbent's scores, from the incumbent's weights.

    The incumbent is asked on the batches themselves, with its dropout off, so nothing is stored; the whole catalogue is
    scored by both models, whatever `training.loss` is.
    """

    options_type: ClassVar[type[Options]] = DistillationOptions
    strength: ClassVar[str | None] = "weight"
    preserves: ClassVar[bool] = True

    def curriculum(self, log: InteractionLog, seed: int, anchor: TrainedModel) -> Curriculum:
        """The log as it is."""
        teacher = Teacher.of(self.recipe, anchor, log.n_items)
        return Taught(log, self.recipe.finetuning, seed, teacher, self.options.weight, self.comparison)

    @property
    @abstractmethod
    def comparison(self) -> Comparison:
        """How the student's scores are compared with the incumbent's."""
