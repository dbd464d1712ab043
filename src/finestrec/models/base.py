"""What a sequential recommender has to offer, and the parts that ours share."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from finestrec.data.sequences import Instances, SequenceBatch, Windows
from finestrec.models.masks import LEVELS, MaskOfSeed
from finestrec.options import Options

Loss = Callable[[Tensor, Tensor], Tensor]
"""Scores of all items (P, N) and the right items (P,) to one loss a position (P,)."""


class ModelOptions(Options):
    """Sizes shared by all models."""

    hidden: int = Field(default=128, ge=1)
    """Width of the item table and of the hidden states."""
    blocks: int = Field(default=2, ge=1)
    """Layers of the network."""
    dropout: float = Field(default=0.2, ge=0, le=0.99)
    """Share of activations set to 0 in training, to the next 1/65536."""


class NextItemModel(nn.Module, ABC):
    """A model of the next item: hidden states of a sequence, and scores of items given a hidden state.

    A new model is a file with a subclass that has a `name` and a `summary`, fills `hidden` and `scores`, and stands
    in `MODELS`. `scores` is apart because everything that needs few items (rank-preserving losses, sampled losses,
    catalogues of millions) asks for those columns alone.

    The three functions that make batches say how a model is asked. As they stand here they are right for causal
    models, whose hidden state at a position depends on that position and the ones before it in the row: one row
    serves all of its prefixes. A model of another kind overrides them (`bert4rec.py` masks, an adapter of a module
    that answers for the last position only gives each instance a row).

    Attributes:
        name: What `--model` calls it.
        summary: One line for `finestrec models`.
        options_type: Its options; unknown keys are refused.
        training_defaults: Training options that the model's authors use, over the general defaults.
        decayed: Beginnings of the names of the parameters that `training.weight_decay` acts on; all by default.
        n_items: N; score columns are item indices 0..N-1.
        max_length: L, the longest input it is given.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    options_type: ClassVar[type[ModelOptions]] = ModelOptions
    training_defaults: ClassVar[dict[str, Any]] = {}
    decayed: ClassVar[tuple[str, ...]] = ("",)

    def __init__(self, n_items: int, max_length: int, options: Options) -> None:
        super().__init__()
        self.n_items = n_items
        self.max_length = max_length
        self.options = options

    @property
    def own_loss(self) -> Loss | None:
        """The model's next-item loss, where it has one of its own in place of `training.loss`."""
        return None

    @property
    def predicted_share(self) -> float:
        """Share of the training instances that `learning_batch` asks for, on average over its draws."""
        return 1.0

    def learning_batch(
        self,
        windows: Windows,
        numbers: NDArray[np.int64],
        seed: int,  # noqa: ARG002
        epoch: int,  # noqa: ARG002
    ) -> SequenceBatch:
        """What one step learns from.

        Args:
            windows: The training windows of the epoch.
            numbers: Those of the step, at least one of them with an instance.
            seed: The run's seed, for models that draw.
            epoch: The epoch, from 0.
        """
        return windows.batch(numbers)

    def ranking_batches(
        self, instances: Instances, max_positions: int
    ) -> Iterator[tuple[NDArray[np.int64], SequenceBatch]]:
        """Batches that ask for each instance once.

        Args:
            instances: What to rank for.
            max_positions: Upper bound of rows times length of a batch (a single longer row is still one batch).

        Yields:
            The numbers of the instances, and the batch whose positions are those instances in that order.
        """
        return instances.batches(max_positions, shared=True)

    def reference_batches(
        self, windows: Windows, max_positions: int
    ) -> Iterator[tuple[NDArray[np.int64], SequenceBatch]]:
        """Batches that ask for each training instance once, in the way in which training asks for it.

        Yields:
            Numbers into `windows.instances()`, and the batch whose positions are those instances in that order.
        """
        return windows.instances().batches(max_positions, shared=True)

    @abstractmethod
    def hidden(self, batch: SequenceBatch) -> Tensor:
        """Hidden states, shape (B, L, D); what stands at other than the predicted positions is never read."""

    @abstractmethod
    def scores(self, hidden: Tensor, items: Tensor | None = None) -> Tensor:
        """Scores of items; higher is better.

        Args:
            hidden: Shape (..., D).
            items: Item indices: None for all, (M,) for the same ones at every position, (..., M) for some at each.

        Returns:
            Shape (..., N) or (..., M).
        """


def few_positions(model: nn.Module, batch: SequenceBatch) -> Tensor | None:
    """The predicted positions, where a last layer is worth computing for them alone; else None.

    Ranking asks for the end of a row only. In training nearly all positions are predicted, and the shapes that dropout
    draws masks for must not depend on how many.
    """
    return batch.positions if not model.training and 2 * len(batch.positions) < batch.items.numel() else None


def at_their_places(x: Tensor, batch: SequenceBatch) -> Tensor:
    """States of the predicted positions (P, D) among zeros, shape (B, L, D)."""
    B, L = batch.items.shape
    return x.new_zeros(B * L, x.shape[1]).index_copy(0, batch.positions, x).view(B, L, x.shape[1])


_CHEAPER_AT_ONCE = 32
"""Up to so many items in the catalogue for each one asked for, one product with all of them takes less time, forward
and backward, than to copy the rows asked for at each position: 25 times less at a thousand items and 200 asked for."""


def scores_against(table: Tensor, hidden: Tensor, items: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """Products of hidden states and rows of a table, in the shapes of `NextItemModel.scores`."""
    if items is None:
        return F.linear(hidden, table, bias)
    if items.dim() == 1:
        return F.linear(hidden, table[items], None if bias is None else bias[items])
    if len(table) <= _CHEAPER_AT_ONCE * items.shape[-1]:
        return F.linear(hidden, table, bias).gather(-1, items)
    scores = torch.einsum("...d,...md->...m", hidden, table[items])
    return scores if bias is None else scores + bias[items]


class ItemTable(nn.Module):
    """One row an item, used to read items and, with a bias, to score them.

    Padding and masks are looked up as item 0. No model reads that: it stands to the right of everything read, or is
    replaced, so it has neither effect nor gradient.
    """

    def __init__(self, n_items: int, hidden: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_items, hidden))
        self.bias = nn.Parameter(torch.zeros(n_items))

    def forward(self, items: Tensor) -> Tensor:
        """Rows of items, shape (..., D) from (...)."""
        return F.embedding(items.clamp(min=0), self.weight)

    def scores(self, hidden: Tensor, items: Tensor | None = None) -> Tensor:
        """See `NextItemModel.scores`."""
        return scores_against(self.weight, hidden, items, self.bias)


class Dropout(nn.Module):
    """Dropout whose masks are hashed from one number of torch's global generator each.

    On a CPU `torch.nn.Dropout` draws one number an element on one thread, which takes as long as the matrix
    products of a small model. Here 16 hashed bits decide an element, so the probability is a multiple of 1/65536, and
    the scale is exact for it.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.dropped = round(probability * LEVELS)

    def draw(self) -> int:
        """The seed of the next mask; 0, and nothing drawn, where all is kept."""
        return int(torch.randint(2**63 - 1, ())) if self.dropped else 0

    def forward(self, x: Tensor) -> Tensor:
        """Zero elements of `x` and scale the rest, in training; `x` itself otherwise."""
        if not self.training or self.dropped == 0:
            return x
        return MaskOfSeed.apply(x, self.draw(), self.dropped)  # type: ignore[no-untyped-call, no-any-return]
