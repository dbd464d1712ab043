"""Scores of items against hidden states: each way to compute them, against the sum spelt out."""

import pytest
import torch
from torch import Tensor

from finestrec.models.base import ItemTable, scores_against

D, N = 6, 200


def slowly(table: Tensor, hidden: Tensor, items: Tensor, bias: Tensor) -> Tensor:
    return torch.stack(
        [torch.stack([h @ table[i] + bias[i] for i in chosen]) for h, chosen in zip(hidden, items, strict=True)]
    ).detach()


@pytest.mark.parametrize("count", [1, 6, 7, 150])
def test_chosen_items_at_each_position(count: int) -> None:
    """Six of 200 are looked up, seven come from a product with all."""
    torch.manual_seed(0)
    table = ItemTable(N, D)
    for parameter in table.parameters():
        torch.nn.init.normal_(parameter)
    hidden = torch.randn(9, D, requires_grad=True)
    items = torch.randint(0, N, (9, count))  # an item may be asked for twice
    expected = slowly(table.weight, hidden, items, table.bias)
    torch.testing.assert_close(table.scores(hidden, items), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        scores_against(table.weight, hidden, items), expected - table.bias[items].detach(), rtol=1e-4, atol=1e-5
    )
    of_all = table.scores(hidden)
    torch.testing.assert_close(table.scores(hidden, items[0]), of_all[:, items[0]], rtol=1e-4, atol=1e-5)
    leaves, weights = (hidden, *table.parameters()), torch.randn(9, count)
    ours = torch.autograd.grad((table.scores(hidden, items) * weights).sum(), leaves)
    theirs = torch.autograd.grad((of_all.gather(1, items) * weights).sum(), leaves)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    batched = table.scores(hidden.view(3, 3, D), items.view(3, 3, count))
    torch.testing.assert_close(batched.view(9, count), expected, rtol=1e-4, atol=1e-5)
