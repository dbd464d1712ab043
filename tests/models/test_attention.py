"""Attention and its block against loops over rows, positions and heads."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from finestrec.config import compose, setting
from finestrec.errors import OptionError
from finestrec.models.activations import relu
from finestrec.models.attention import AttentionOptions, PositionTable, SelfAttention, TransformerBlock

OPTIONS = AttentionOptions(hidden=6, heads=2, dropout=0)


def slow_attention(attention: SelfAttention, x: Tensor, readable: Tensor) -> Tensor:
    """softmax(q . k / sqrt(d)) v, one query of one head at a time; `readable` is (B, L, L)."""
    B, L, D = x.shape
    d = D // attention.heads
    query, key, value = attention.project_in.weight.view(3, attention.heads, d, D)
    y = torch.zeros(B, L, D)
    for b in range(B):
        for h in range(attention.heads):
            for i in range(L):
                seen = [j for j in range(L) if readable[b, i, j]]
                logits = torch.stack([(query[h] @ x[b, i]) @ (key[h] @ x[b, j]) / math.sqrt(d) for j in seen])
                weights = torch.softmax(logits, 0)
                y[b, i, h * d : (h + 1) * d] = sum(w * (value[h] @ x[b, j]) for w, j in zip(weights, seen, strict=True))
    return y @ attention.project_out.weight.T + attention.project_out.bias


def normed(norm: torch.nn.LayerNorm, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * norm.weight + norm.bias


def random_block(*, norm_first: bool) -> TransformerBlock:
    torch.manual_seed(0)
    attention = SelfAttention(OPTIONS)
    block = TransformerBlock(attention, OPTIONS, inner=10, activation=relu, norm_first=norm_first)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return block


@pytest.mark.parametrize("readable", [None, torch.tensor([[True, True, False, False], [True, True, True, True]])])
def test_attention_equals_the_loop(readable: Tensor | None) -> None:
    attention = random_block(norm_first=True).attention
    assert isinstance(attention, SelfAttention)
    x = torch.randn(2, 4, 6)
    causal = torch.ones(4, 4, dtype=torch.bool).tril().expand(2, 4, 4)
    matrix = causal if readable is None else readable[:, None].expand(2, 4, 4)
    torch.testing.assert_close(attention(x, readable), slow_attention(attention, x, matrix))


@pytest.mark.parametrize("only", [[0, 1, 5], [6], [0, 1, 2, 3, 4, 5, 6, 7], []])
@pytest.mark.parametrize("readable", [None, torch.tensor([[True, True, False, False], [True, True, True, True]])])
def test_attention_of_some_positions_has_the_values_and_gradients_of_all(
    readable: Tensor | None, only: list[int]
) -> None:
    attention = random_block(norm_first=True).attention
    assert isinstance(attention, SelfAttention)
    x = torch.randn(2, 4, 6, requires_grad=True)
    some, inputs = torch.tensor(only, dtype=torch.int64), [x, attention.project_in.weight, attention.project_out.weight]
    all_at_once, asked = attention(x, readable).flatten(0, 1)[some], attention(x, readable, only=some)
    torch.testing.assert_close(asked, all_at_once)
    direction = torch.randn(len(only), 6)
    expected = torch.autograd.grad((all_at_once * direction).sum(), inputs)
    torch.testing.assert_close(torch.autograd.grad((asked * direction).sum(), inputs), expected)


@pytest.mark.parametrize("norm_first", [True, False])
def test_block_equals_its_formula(norm_first: bool) -> None:
    block = random_block(norm_first=norm_first)
    x = torch.randn(3, 5, 6)

    def feed_forward(y: Tensor) -> Tensor:
        inside = (y @ block.inner.weight.T + block.inner.bias).clamp(min=0)
        return inside @ block.outer.weight.T + block.outer.bias

    if norm_first:
        middle = x + block.attention(normed(block.norm, x))
        expected = middle + feed_forward(normed(block.outer_norm, middle))
    else:
        middle = normed(block.norm, x + block.attention(x))
        expected = normed(block.outer_norm, middle + feed_forward(middle))
    torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-5)
    some = torch.tensor([1, 7, 14])
    torch.testing.assert_close(block(x, only=some), expected.flatten(0, 1)[some], rtol=1e-4, atol=1e-5)


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"model\.heads is 4; it must divide model\.hidden, which is 6"):
        AttentionOptions(hidden=6, heads=4)
    with pytest.raises(OptionError, match=r"^model\.heads is 3; it must divide model\.hidden, which is 128$"):
        compose([setting("model.name=sasrec"), setting("model.heads=3")])


def test_positions_are_counted_from_the_start_and_end_at_the_longest_input() -> None:
    table = PositionTable(3, 4)
    torch.nn.init.normal_(table.weight)
    assert torch.equal(table(2), table.weight[:2])
    with pytest.raises(OptionError, match=r"input has 4 interactions, and the model has positions for 3.*max_length=4"):
        table(4)
