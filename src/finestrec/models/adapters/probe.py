"""A wrong declaration, found by asking the module a few questions whose answers are known."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from finestrec.data.log import NEW_INTERACTION
from finestrec.data.sequences import PADDING, SequenceBatch
from finestrec.errors import OptionError
from finestrec.models.adapters.declaration import Declaration, Side
from finestrec.models.adapters.module import TorchModel

_SAME = 1e-3
"""Scores are the same when they differ by less than this share of their spread over items."""


def adapt(module: nn.Module, n_items: int, max_length: int, declaration: Declaration | None = None) -> TorchModel:
    """A torch module as a model of ours; the declaration is checked by asking the module.

    The module is used as it is, not copied: what trains the model trains the module. (`fit` trains in place;
    `finest` and a warm start work on a copy, and `finest(in_place=True)` gives the weights back.)

    Args:
        module: Reads rows of ids; trained or with initial weights.
        n_items: N, without padding, masks and such.
        max_length: The longest row that it is given.
        declaration: How it reads and answers.

    Raises:
        OptionError: If the module does not do what is declared; says what was seen and what could be meant.
    """
    model = TorchModel(module, n_items, max_length, declaration or Declaration())
    _Probe(model).run()
    return model


class _Probe:
    def __init__(self, model: TorchModel) -> None:
        self._model = model
        self._declared = model.declaration
        self._n = model.n_items
        # Both ends of the catalogue first, then something between.
        self._items = np.roll(np.unique(np.linspace(0, self._n - 1, 6).astype(np.int64)), 1)

    def run(self) -> None:
        """Ask everything; simple questions first, because the later ones build on them."""
        self._check_numbers()
        was_training = self._model.training
        self._model.eval()
        try:
            with torch.no_grad():
                self._check_shape()
                self._check_sense()
                if self._declared.positions == "all":
                    self._check_causality()
                self._check_padding()
            self._check_gradient()
            self._check_loss()
        finally:
            self._model.train(was_training)

    def _row(self, length: int, shift: int = 0) -> list[int]:
        return [int(self._items[(i + shift) % len(self._items)]) for i in range(length)]

    def _check_numbers(self) -> None:
        declared, last = self._declared, self._declared.first_id + self._n - 1
        if self._n < 2 or self._model.max_length < 1:
            raise OptionError(
                f"{self._n} items and inputs of {self._model.max_length}; expected at least 2 items and inputs of 1"
            )
        if declared.first_id <= declared.padding_id <= last:
            raise OptionError(
                f"padding_id is {declared.padding_id}, which is the id of an item: the {self._n} items have the ids"
                f" {declared.first_id} to {last}"
            )
        for name, part in self._model.module.named_modules():
            known = part.padding_idx if isinstance(part, nn.Embedding) and part.num_embeddings >= self._n else None
            if known is not None and known != declared.padding_id:
                raise OptionError(
                    f"the embedding {name!r} has padding_idx={known}, but padding_id is declared as"
                    f" {declared.padding_id}"
                )
        if not any(parameter.requires_grad for parameter in self._model.module.parameters()):
            raise OptionError("no parameter of the module requires a gradient, so nothing in it can be trained")

    def _ask(self, rows: Sequence[Sequence[int]]) -> Tensor:
        return _asked(self._model, rows)

    def _check_shape(self) -> None:
        declared, model = self._declared, self._model
        longest = model.max_length
        for length in sorted({min(2, longest), longest}):
            rows = [self._row(length, shift) for shift in range(3)]
            ids = f"{declared.first_id} to {declared.first_id + self._n - 1}"
            try:
                output: Any = model.output(_batch(rows, next(model.parameters()).device))
            except Exception as error:  # whatever the module raises
                raise OptionError(
                    f"the module fails on 3 rows of {length} with the ids {ids} ({type(error).__name__}: {error});"
                    " compare first_id, n_items and max_length with the sizes of its tables, and call with how it is"
                    " called"
                ) from error
            self._check_output(output, longest if declared.fixed_length else length)

    def _check_output(self, output: Any, width: int) -> None:
        declared = self._declared
        if not isinstance(output, Tensor):
            raise OptionError(f"the module returns a {type(output).__name__}; let call pick the tensor")
        columns = declared.column + self._n + declared.columns_after
        meaning = f"first_column {declared.column} + {self._n} items + columns_after {declared.columns_after}"
        if declared.items is not None:
            table = self._model.table()
            if table.dim() != 2 or len(table) != columns:
                raise OptionError(f"the item table has shape {tuple(table.shape)}; expected {columns} rows ({meaning})")
            columns, meaning = table.shape[1], "the width of the item table"
        rows = (3,) if declared.positions == "last" else (3, width)
        if tuple(output.shape) == (*rows, columns):
            return
        other = "all" if declared.positions == "last" else "last"
        hint = f"; that looks like positions={other!r}" if output.dim() == (3 if other == "all" else 2) else ""
        raise OptionError(
            f"the module returns the shape {tuple(output.shape)} for 3 rows of {width}; declared is"
            f" {(*rows, columns)}: positions={declared.positions!r}, {columns} columns = {meaning}{hint}"
        )

    def _check_sense(self) -> None:
        row = self._row(min(3, self._model.max_length))
        scores = self._ask([row])
        if not bool(scores.isfinite().all()):
            raise OptionError("the module's scores are NaN or infinite; its weights are damaged, or it masks scores")
        if float(scores.std()) == 0:
            raise OptionError(
                "the module gives all items the same score, so nothing can be checked; initialise or train it first"
            )
        if _change(scores, self._ask([row])) >= _SAME:
            raise OptionError(
                "two calls in evaluation mode give different scores: something draws, such as dropout that does not"
                " look at module.training"
            )
        others = [[*row[:-1], int(item)] for item in self._items if item != row[-1]]
        if not any(bool((self._ask([other]) != scores).any()) for other in others):
            raise OptionError(
                f"the scores after a row do not depend on its last item: the module reads another side than"
                f" padding={self._declared.padding!r} says, or answers for another position"
            )

    def _check_causality(self) -> None:
        """At the second of four positions: nothing of what comes later; on the right, not even its being there."""
        if self._model.max_length < 3:
            return
        row = self._row(min(4, self._model.max_length))
        device = next(self._model.parameters()).device
        changed = [*row[:2], *self._row(len(row), shift=1)[2:]]
        hidden = self._model.hidden(_batch([row, changed], device))
        before, after = self._model.scores(hidden[:, 1])
        if _change(before, after) >= _SAME:
            raise OptionError(
                "the scores at a position depend on later items of the row, so training on all positions would show"
                " the module what it is to predict; declare positions='last' and let call return the last position"
            )
        if self._declared.padding == "right" and _change(before, self._ask([row[:2]])[0]) >= _SAME:
            raise OptionError(
                "the scores at a position depend on the length of the row; declare positions='last' and let call"
                " return the last position"
            )

    def _check_padding(self) -> None:
        change = self._padding_change(self._model)
        if change < _SAME:
            return
        declared = self._declared
        other: Side = "left" if declared.padding == "right" else "right"
        model = self._model
        turned = TorchModel(model.module, self._n, model.max_length, replace(declared, padding=other))
        hint = f"; with padding={other!r} it would not" if self._padding_change(turned) < _SAME else ""
        if not declared.fixed_length:
            hint += "; if the module is used to rows of one length, declare fixed_length=True"
        raise OptionError(
            f"padding changes the scores of a row, by {change:.2g} of their spread over items, with"
            f" padding={declared.padding!r} and padding_id={declared.padding_id}: the side or the id is wrong, or the"
            f" module neither hides padding nor is given the lengths (call=with_lengths){hint}"
        )

    def _padding_change(self, model: TorchModel) -> float:
        """How much a longer neighbour changes the scores of a short row, in units of their spread."""
        short, longest = self._row(min(2, model.max_length), shift=1), self._row(model.max_length)
        return _change(_asked(model, [short])[0], _asked(model, [short, longest])[0])

    def _check_gradient(self) -> None:
        scores = self._ask([self._row(min(3, self._model.max_length))])
        weights = torch.linspace(-1, 1, self._n, device=scores.device)
        parameters = [parameter for parameter in self._model.module.parameters() if parameter.requires_grad]
        if scores.requires_grad:
            found = torch.autograd.grad((scores * weights).sum(), parameters, allow_unused=True)
            if any(gradient is not None and bool((gradient != 0).any()) for gradient in found):
                return
        raise OptionError(
            "the scores have no gradient with respect to the module's parameters: it is called under torch.no_grad() or"
            " inference_mode(), detached or made in NumPy; let call run the forward pass that training runs"
        )

    def _check_loss(self) -> None:
        loss = self._declared.loss
        if loss is None:
            return
        scores = self._ask([self._row(1), self._row(1, shift=1)])
        found: Any = loss(scores, torch.tensor([0, self._n - 1], device=scores.device))
        if not isinstance(found, Tensor) or found.shape != (2,):
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise OptionError(
                f"loss returns {shape} for scores of shape {tuple(scores.shape)} and 2 targets; expected one loss a"
                " position, shape (2,), as with reduction='none'"
            )


def _batch(rows: Sequence[Sequence[int]], device: torch.device) -> SequenceBatch:
    """Rows of items, asked for what follows the last one."""
    lengths = torch.tensor([len(row) for row in rows])
    width = int(lengths.max())
    items = torch.tensor([[*row, *[PADDING] * (width - len(row))] for row in rows])
    return SequenceBatch(
        items=items,
        times=torch.zeros_like(items),
        lengths=lengths,
        positions=torch.arange(len(rows)) * width + lengths - 1,
        targets=torch.zeros(len(rows), dtype=torch.int64),
        ids=np.full(len(rows), NEW_INTERACTION),
    ).to(device)


def _asked(model: TorchModel, rows: Sequence[Sequence[int]]) -> Tensor:
    """Scores of all items after each row's last item, shape (B, N)."""
    batch = _batch(rows, next(model.parameters()).device)
    return model.scores(batch.at_positions(model.hidden(batch)))


def _change(before: Tensor, after: Tensor) -> float:
    """The largest difference of two rows of scores, in units of the spread of the first over items."""
    return float((before - after).abs().max() / before.std())
