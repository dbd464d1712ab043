"""Any torch module as a model of ours, in place: its parameters are the model's."""

import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from finestrec.data.sequences import PADDING, Instances, SequenceBatch, Windows
from finestrec.errors import OptionError, UnsupportedError
from finestrec.models.adapters.declaration import Declaration
from finestrec.models.base import Loss, NextItemModel, scores_against
from finestrec.options import Options

_SCORES_PER_BATCH = 1 << 23


class TorchModel(NextItemModel):
    """A module and the declaration of how it reads and answers.

    Where the module returns scores, they are this model's hidden states, of width N. `adapt` makes it and checks the
    declaration.

    Attributes:
        module: The module itself, not a copy.
        declaration: How it reads and answers.
    """

    name = "torch module"
    summary = "a module of your own"

    def __init__(self, module: nn.Module, n_items: int, max_length: int, declaration: Declaration) -> None:
        super().__init__(n_items, max_length, Options())
        self.module = module
        self.declaration = declaration

    @property
    def own_loss(self) -> Loss | None:
        """See `NextItemModel.own_loss`."""
        return self.declaration.loss

    @property
    def _answers_once(self) -> bool:
        return self.declaration.positions == "last"

    def learning_batch(self, windows: Windows, numbers: NDArray[np.int64], seed: int, epoch: int) -> SequenceBatch:
        """Windows as rows, or a row an instance for a module that answers once a row."""
        if not self._answers_once or not windows.has_instances(numbers):
            return super().learning_batch(windows, numbers, seed, epoch)
        some = replace(
            windows,
            start=windows.start[numbers],
            end=windows.end[numbers],
            dealt_lengths=windows.dealt_lengths[numbers],
        )
        ((_, batch),) = some.instances().batches(sys.maxsize, shared=False)
        return batch

    def ranking_batches(
        self, instances: Instances, max_positions: int
    ) -> Iterator[tuple[NDArray[np.int64], SequenceBatch]]:
        """See `NextItemModel.ranking_batches`.

        Rows padded on the left are not shared: positions may count from the end, and what is served is the last.
        """
        shared = not self._answers_once and self.declaration.padding == "right"
        return self._batches(instances, max_positions, shared=shared)

    def reference_batches(
        self, windows: Windows, max_positions: int
    ) -> Iterator[tuple[NDArray[np.int64], SequenceBatch]]:
        """See `NextItemModel.reference_batches`."""
        return self._batches(windows.instances(), max_positions, shared=not self._answers_once)

    def _batches(
        self, instances: Instances, max_positions: int, *, shared: bool
    ) -> Iterator[tuple[NDArray[np.int64], SequenceBatch]]:
        if self.declaration.items is None and not self._answers_once:
            # Each position brings a score of every item, wanted or not.
            max_positions = max(1, min(max_positions, _SCORES_PER_BATCH // self.n_items))
        if not self.declaration.fixed_length:
            yield from instances.batches(max_positions, shared=shared)
            return
        order = np.lexsort((instances.end, instances.start))
        start = instances.start[order]
        row = np.cumsum(np.diff(start, prepend=start[:1]) > 0) if shared else np.arange(len(order))
        rows = max(1, max_positions // self.max_length)
        for some in np.split(order, np.searchsorted(row, np.arange(rows, len(order), rows))):
            for members, batch in instances.subset(some).batches(sys.maxsize, shared=shared):
                yield some[members], batch

    def hidden(self, batch: SequenceBatch) -> Tensor:
        """What the module returns, in our order.

        Returns:
            Shape (B, L, D), or (B, D) from a module that answers once a row; D is N where it returns scores.

        Raises:
            UnsupportedError: If rows are longer than it reads, or it answers once a row and is asked for more.
        """
        B, L = batch.items.shape
        if self.max_length < L:
            raise UnsupportedError(f"a row has {L} items, and the module was declared to read {self.max_length}")
        if self._answers_once and len(batch.positions) != B:
            raise UnsupportedError("a module that answers once a row was asked for more; use the model's own batches")
        output = self.output(batch)
        if self.declaration.items is None:
            output = output[..., self.declaration.column : self.declaration.column + self.n_items]
        if self._answers_once:
            return output
        if self.declaration.padding == "left":
            row = torch.arange(B, device=output.device)[:, None]
            output = output[row, self._turned(output.shape[1], -batch.lengths)]
        return output[:, :L]

    def scores(self, hidden: Tensor, items: Tensor | None = None) -> Tensor:
        """See `NextItemModel.scores`."""
        if self.declaration.items is not None:
            first = self.declaration.column
            return scores_against(self.table()[first : first + self.n_items], hidden, items)
        if items is None:
            return hidden
        return hidden[..., items] if items.dim() == 1 else hidden.gather(-1, items)

    def output(self, batch: SequenceBatch) -> Tensor:
        """What the module returns, as it returns it."""
        declared = self.declaration
        ids = torch.where(batch.items == PADDING, declared.padding_id, batch.items + declared.first_id)
        if declared.fixed_length:
            ids = F.pad(ids, (0, self.max_length - ids.shape[1]), value=declared.padding_id)
        if declared.padding == "left":
            ids = ids.gather(1, self._turned(ids.shape[1], batch.lengths))
        return declared.call(self.module, ids, batch.lengths)

    def table(self) -> Tensor:
        """The module's item table, with all of its rows.

        Raises:
            OptionError: If there is nothing under the path.
        """
        declared = self.declaration.items
        if callable(declared):
            return declared(self.module)
        found = self.module
        for name in (declared or "").split("."):
            if not hasattr(found, name):
                raise OptionError(f"the module has no {declared!r}: {type(found).__name__} has no attribute {name!r}")
            found = getattr(found, name)
        table = found.weight if isinstance(found, nn.Embedding) else found
        if not isinstance(table, Tensor):
            raise OptionError(f"{declared!r} is a {type(table).__name__}; expected a tensor or an embedding")
        return table

    @staticmethod
    def _turned(width: int, by: Tensor) -> Tensor:
        """Columns that bring rows from one side to the other, shape (B, width): lengths to the left's, minus them back.

        For a row (a b .) of length 2, the columns are 2 0 1, which gives (. a b).
        """
        return (torch.arange(width, device=by.device) + by[:, None]) % width
