"""Wrong declarations are found by asking the module, and said in words."""

from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from foreign_modules import (
    BothSides,
    LastGRU,
    LastHidden,
    LeftAttention,
    LeftHidden,
    RightGRU,
    ZeroBasedGRU,
    masked_at_the_end,
    own_table,
)
from torch import Tensor, nn

from chains import markov_log
from finestrec.data.sequences import windows
from finestrec.errors import OptionError, UnsupportedError
from finestrec.models.adapters import Declaration, adapt, with_lengths

N, LENGTH = 30, 12


class Drawing(RightGRU):
    def forward(self, ids: Tensor) -> Tensor:
        return F.dropout(super().forward(ids), 0.5, training=True)


class Detached(RightGRU):
    def forward(self, ids: Tensor) -> Tensor:
        with torch.no_grad():
            return super().forward(ids)


class Constant(RightGRU):
    def forward(self, ids: Tensor) -> Tensor:
        return super().forward(ids) * 0


class Broken(RightGRU):
    def forward(self, ids: Tensor) -> Tensor:
        return super().forward(ids) / 0


class Pair(RightGRU):
    def forward(self, ids: Tensor) -> Any:
        return super().forward(ids), ids


class FirstOnly(RightGRU):
    """Answers from the first item of the row, whatever comes after it."""

    def forward(self, ids: Tensor) -> Tensor:
        return super().forward(ids)[:, 0]


class Peeking(RightGRU):
    """Answers at every position with the scores of the last one."""

    def forward(self, ids: Tensor) -> Tensor:
        scores = super().forward(ids)
        return scores[:, -1:].expand_as(scores)


class CountingFromTheEnd(RightGRU):
    """Adds to every score how many ids follow in the row, padding too."""

    def forward(self, ids: Tensor) -> Tensor:
        after = torch.arange(ids.shape[1]).flip(0)[None, :, None]
        return super().forward(ids) * (1 + after)


def frozen(module: nn.Module) -> nn.Module:
    return module.requires_grad_(False)


@pytest.mark.parametrize(
    ("module", "declared", "message"),
    [
        # The wrong side or the wrong id of padding.
        (RightGRU(N), {"padding": "left"}, "padding changes the scores.*with padding='right' it would not"),
        (LeftAttention(N, LENGTH), {"padding": "right"}, "depend on the length of the row|padding changes"),
        (
            LastHidden(N, LENGTH),
            {"padding": "right", "positions": "last", "items": own_table, "columns_after": 1},
            "padding changes the scores.*with padding='left' it would not",
        ),
        (
            LastGRU(N),
            {"padding": "left", "positions": "last", "call": with_lengths},
            "do not depend on its last item|padding changes",
        ),
        (
            BothSides(N, LENGTH),
            {"padding_id": N + 1, "positions": "last", "call": masked_at_the_end},
            "padding changes the scores",
        ),
        (
            LeftHidden(N, LENGTH),
            {"padding": "left", "items": "items"},
            "padding changes the scores.*declare fixed_length=True",
        ),
        (RightGRU(N), {"padding_id": N + 1}, "'items' has padding_idx=0, but padding_id is declared as 31"),
        (RightGRU(N), {"padding_id": 5}, "padding_id is 5, which is the id of an item: the 30 items have .* 1 to 30"),
        # Ids and columns.
        (RightGRU(N), {"first_id": 2, "first_column": 1}, r"fails on 3 rows of 2 with the ids 2 to 31 \(IndexError"),
        (
            RightGRU(N + 1),
            {},
            r"returns the shape \(3, 2, 32\) for 3 rows of 2; declared is \(3, 2, 31\).*first_column 1 \+ 30 items",
        ),
        (ZeroBasedGRU(N), {"padding_id": N, "first_id": 0, "first_column": 1}, r"30\).*declared is \(3, 2, 31\)"),
        (
            LastHidden(N, LENGTH),
            {"padding": "left", "positions": "last", "items": "items.weight"},
            r"item table has shape \(32, 16\); expected 31 rows",
        ),
        (LastHidden(N, LENGTH), {"items": "table"}, "has no 'table': LastHidden has no attribute 'table'"),
        (LastHidden(N, LENGTH), {"items": "attention"}, "is a MultiheadAttention; expected a tensor"),
        (LeftAttention(N, LENGTH - 1), {"padding": "left"}, "fails on 3 rows of 12"),
        # What it returns.
        (LastGRU(N), {"call": with_lengths}, "that looks like positions='last'"),
        (RightGRU(N), {"positions": "last"}, "that looks like positions='all'"),
        (LeftHidden(N, LENGTH), {"padding": "left", "fixed_length": True}, r"returns the shape \(3, 12, 16\)"),
        (Pair(N), {}, "returns a tuple; let call pick"),
        (LastGRU(N), {"positions": "last"}, "fails on 3 rows of 2 .*TypeError.*call with how it is called"),
        # What it does.
        (Drawing(N), {}, "two calls in evaluation mode give different scores"),
        (Detached(N), {}, "have no gradient"),
        (frozen(RightGRU(N)), {}, "no parameter of the module requires a gradient"),
        (Constant(N), {}, "all items the same score"),
        (Broken(N), {}, "NaN or infinite"),
        (FirstOnly(N), {"positions": "last"}, "do not depend on its last item"),
        (Peeking(N), {}, "depend on later items"),
        (CountingFromTheEnd(N), {}, "depend on the length of the row"),
        (RightGRU(N), {"loss": F.cross_entropy}, r"loss returns \(\) for scores of shape \(2, 30\).*shape \(2,\)"),
    ],
)
def test_a_wrong_declaration_is_reported(module: nn.Module, declared: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        adapt(module, N, LENGTH, Declaration(**declared))


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"padding": "middle"}, "unknown padding 'middle'; known are left, right"),
        ({"positions": "first"}, "unknown positions 'first'; known are all, last"),
        ({"padding_id": -1}, "padding_id is -1"),
        ({"items": nn.Embedding(3, 3)}, "items is the table itself"),
    ],
)
def test_contradictions_are_refused_without_a_module(declared: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Declaration(**declared)


def test_the_probe_leaves_the_module_as_it_was() -> None:
    module = RightGRU(N).train()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    state = torch.random.get_rng_state()
    adapt(module, N, LENGTH, Declaration(loss=partial(F.cross_entropy, reduction="none")))
    assert module.training
    assert module.dropout.training
    assert all(parameter.grad is None for parameter in module.parameters())
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(("n_items", "length"), [(2, 1), (2, 2), (3, 3)])
def test_the_smallest_catalogues_and_rows_are_fine(n_items: int, length: int) -> None:
    for module, declared in (
        (RightGRU(n_items), Declaration()),
        (LastGRU(n_items), Declaration(positions="last", call=with_lengths)),
        (LeftAttention(n_items, length), Declaration(padding="left")),
    ):
        assert adapt(module, n_items, length, declared).n_items == n_items


def test_rows_that_were_not_declared_are_refused() -> None:
    log = markov_log(10, N, LENGTH + 3, seed=0)
    batch = windows(log, LENGTH + 2).batch(torch.arange(5).numpy())
    with pytest.raises(UnsupportedError, match="a row has 14 items, and the module was declared to read 12"):
        adapt(RightGRU(N), N, LENGTH).hidden(batch)
    last = adapt(LastGRU(N), N, 20, Declaration(positions="last", call=with_lengths))
    with pytest.raises(UnsupportedError, match="answers once a row was asked for more"):
        last.hidden(batch)
