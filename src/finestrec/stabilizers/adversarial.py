"""Adversarial training: on item embeddings moved against the loss, and on a log edited where it matters most."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from finestrec.data.log import InteractionLog
from finestrec.data.sequences import SequenceBatch
from finestrec.errors import UnsupportedError
from finestrec.models import NextItemModel
from finestrec.models.adapters.module import TorchModel
from finestrec.models.base import ItemTable
from finestrec.options import Options
from finestrec.perturbation.selectors import casper_rows
from finestrec.stabilizers.finetuning import FineTuning
from finestrec.stabilizers.simulation import OnEdits, Simulation
from finestrec.training.objectives import Curriculum, NextItem, PositionScores
from finestrec.training.options import TrainingOptions
from finestrec.training.trained import TrainedModel

Move = Literal["normalised", "sign"]


class FGSMOptions(Options):
    """Of adversarial training on embeddings."""

    epsilon: float = Field(default=0.1, ge=0)
    """How far embeddings are moved; 0 moves nothing and is a warm start."""
    weight: float = Field(default=1.0, ge=0)
    """Weight of the loss with moved embeddings beside the loss as it is."""
    move: Move = "normalised"
    """normalised: each row of the item table by epsilon, along its gradient. sign: each of its numbers by epsilon."""


def table_name(model: NextItemModel) -> str:
    """The name of the parameter that holds a row an item.

    Raises:
        UnsupportedError: If it is not known.
    """
    table: Tensor | None = None
    items = getattr(model, "items", None)
    if isinstance(items, ItemTable):
        table = items.weight
    elif isinstance(model, TorchModel) and model.declaration.items is not None:
        table = model.table()
    for name, parameter in model.named_parameters():
        if parameter is table:
            return name
    raise UnsupportedError(
        f"fgsm moves the item table, and that of {model.name} is not known; declare it to adapt() with items="
    )


class _Loss(nn.Module):
    """A curriculum's loss as a module, for torch to call with another item table."""

    def __init__(self, model: NextItemModel, curriculum: NextItem) -> None:
        super().__init__()
        self.model = model
        self._curriculum = curriculum

    def forward(self, batch: SequenceBatch) -> Tensor:
        return self._curriculum.next_item(PositionScores(self.model, batch), batch)


class _Moved(NextItem):
    """The next-item loss as it is and with moved embeddings."""

    parts: tuple[str, ...] = ("next_item", "adversarial")

    def __init__(
        self, log: InteractionLog, training: TrainingOptions, seed: int, table: str, options: FGSMOptions
    ) -> None:
        super().__init__(log, training, seed)
        self._table, self._fgsm = table, options

    def losses(self, model: NextItemModel, batch: SequenceBatch) -> dict[str, Tensor]:
        """Both; the second draws a dropout mask of its own."""
        losses = super().losses(model, batch)
        table = model.get_parameter(self._table)
        (gradient,) = torch.autograd.grad(losses["next_item"], table, retain_graph=True)
        direction = gradient.sign() if self._fgsm.move == "sign" else F.normalize(gradient, dim=1)
        moved = {f"model.{self._table}": table + self._fgsm.epsilon * direction}
        loss = torch.func.functional_call(_Loss(model, self), moved, (batch,))
        return losses | {"adversarial": self._fgsm.weight * loss}


@dataclass(frozen=True)
class FGSM(FineTuning):
    """F epochs of L(w) + weight * L(w with the item table E at E + epsilon * d), from the incumbent's weights.

    d is the direction in which the batch's next-item loss L grows fastest: the gradient by each row of E over its norm
    (He, He, Du, Chua: Adversarial personalized ranking, SIGIR 2018, https://arxiv.org/abs/1808.03908), or its sign
    (Goodfellow, Shlens, Szegedy: Explaining and harnessing adversarial examples, ICLR 2015,
    https://arxiv.org/abs/1412.6572). Where a model scores by the table that it reads items with, both uses move. On
    several devices each moves against the loss of its own share of the batch.
    """

    options_type: ClassVar[type[Options]] = FGSMOptions
    strength: ClassVar[str | None] = "epsilon"

    def curriculum(self, log: InteractionLog, seed: int, anchor: TrainedModel) -> Curriculum:
        """The log as it is."""
        training = self.recipe.finetuning
        if self.options.epsilon == 0:
            return NextItem(log, training, seed)
        return _Moved(log, training, seed, table_name(anchor.model), self.options)


class CascadeAdversarialOptions(Options):
    """Of adversarial training on the cascade; kinds and substitutes of edits are FINEST's options."""

    rho: float = Field(default=0.01, ge=0, lt=1)
    """Share of the training interactions that are edited in each epoch; 0 edits nothing and is a warm start."""


@dataclass(frozen=True)
class CascadeAdversarial(FineTuning):
    """F epochs of next-item loss on a log whose interactions of the highest cascading scores are edited.

    After Tan et al.: Towards more robust and accurate sequential recommendation with cascade-guided adversarial
    training (https://arxiv.org/abs/2304.05492), who move embeddings, each by its interaction's effect on the cascade.
    What is computed here follows the idea and not the formulas: the perturbations are the edits that an audit makes.
    The rows are the same in every epoch, those of `finestrec.perturbation.selectors.casper_rows` among all
    interactions; the kind of edit is drawn anew in each.
    """

    options_type: ClassVar[type[Options]] = CascadeAdversarialOptions
    of_finest: ClassVar[frozenset[str]] = FineTuning.of_finest | {"kinds", "substitute"}
    strength: ClassVar[str | None] = "rho"

    def curriculum(self, log: InteractionLog, seed: int, anchor: TrainedModel) -> Curriculum:  # noqa: ARG002
        """A newly edited log every epoch."""
        training, finest = self.recipe.finetuning, self.recipe.finest
        select = _Highest(log, training.max_length)
        return OnEdits(log, training, seed, Simulation(self.options.rho, finest.kinds, finest.substitute, select))


class _Highest:
    """The rows of the highest cascading scores, found once."""

    def __init__(self, log: InteractionLog, max_length: int) -> None:
        self._log, self._max_length = log, max_length
        self._rows: NDArray[np.int64] | None = None

    def __call__(self, count: int) -> NDArray[np.int64]:
        if self._rows is None:
            self._rows = casper_rows(self._log, count, 0, max_length=self._max_length, candidates="all")
        return self._rows
