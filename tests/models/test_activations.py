"""The compiled inside of a feed-forward layer against torch's functions in double precision."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from finestrec.models.activations import GeluAndDropout, gelu
from finestrec.models.base import Dropout
from finestrec.models.masks import MaskOfSeed


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=2),
    st.integers(1, 30),
    st.integers(0, 2**63 - 1),
    st.sampled_from([0, 1, 13107, 64880]),
    st.floats(0.01, 100),
)
def test_values_and_gradients_are_those_of_gelu_and_the_mask_of_the_seed(
    rows: list[int], quarter: int, seed: int, dropped: int, spread: float
) -> None:
    rng = torch.Generator().manual_seed(seed % 1000)
    x, weights = (torch.randn(*rows, 4 * quarter, generator=rng) for _ in range(2))
    x, bias = x * spread, torch.randn(4 * quarter, generator=rng)
    results = []
    for kind in (torch.float32, torch.float64):
        inputs, constant = (each.to(kind).requires_grad_() for each in (x.clone(), bias.clone()))
        if kind == torch.float32:
            y = GeluAndDropout.apply(inputs * 1, constant, seed, dropped)
        else:
            y = MaskOfSeed.apply(F.gelu(inputs + constant), seed, dropped)
        (y * weights.to(kind)).sum().backward()
        results.append([each.double() for each in (y.detach(), inputs.grad, constant.grad)])
    scale = 65536 / (65536 - dropped)
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=3e-6, atol=3e-6 * scale)


def test_far_from_zero_it_is_the_identity_or_nothing() -> None:
    x = torch.tensor([[-1e30, -50.0, -9.0, 0.0, 9.0, 50.0, 1e30, torch.nan]])
    wanted = torch.tensor([[0, 0, 0, 0, 9.0, 50.0, 1e30, torch.nan]])
    found = GeluAndDropout.apply(x.clone(), torch.zeros(8), 0, 0)
    torch.testing.assert_close(found, wanted, rtol=1e-7, atol=1e-7, equal_nan=True)


@pytest.mark.parametrize("width", [8, 6])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_a_layer_is_the_same_in_either_way(width: int, kind: torch.dtype) -> None:
    """Compiled, and what stands for it at other types and widths; a mask is one draw of torch's generator."""
    layer, dropout = nn.Linear(5, width).to(kind), Dropout(0.5)
    x = torch.randn(3, 2, 5, dtype=kind)
    torch.manual_seed(0)
    found = gelu(x, layer, dropout)
    following = torch.rand(1)
    torch.manual_seed(0)
    torch.testing.assert_close(found, dropout(F.gelu(layer(x))), rtol=1e-5, atol=1e-6)
    assert torch.equal(following, torch.rand(1))
    dropout.eval()
    assert torch.equal(gelu(x, layer, dropout), F.gelu(layer(x)))


def test_a_second_derivative_is_refused_and_not_wrong() -> None:
    x, weights = torch.randn(2, 4, requires_grad=True), torch.randn(4, requires_grad=True)
    y = GeluAndDropout.apply(x * 1, torch.zeros(4), 0, 0) @ weights
    (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        (slope**2).sum().backward()


def test_without_dropout_nothing_is_drawn() -> None:
    torch.manual_seed(0)
    gelu(torch.ones(1, 4), nn.Linear(4, 4), Dropout(0.0))
    state = torch.get_rng_state()
    torch.manual_seed(0)
    nn.Linear(4, 4)
    assert torch.equal(state, torch.get_rng_state())
