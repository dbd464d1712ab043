"""The recurrence against its definition."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from finestrec.models.base import Dropout
from finestrec.models.lrurec import LinearRecurrence


def slow_recurrence(u: torch.Tensor, decay: torch.Tensor) -> torch.Tensor:
    """h_t = lambda h_{t-1} + u_t with plain complex operations that autograd follows."""
    inputs = torch.view_as_complex(u.view(*u.shape[:-1], -1, 2))
    states = [inputs[0]]
    for t in range(1, len(inputs)):
        states.append(decay * states[-1] + inputs[t])
    return torch.view_as_real(torch.stack(states)).flatten(-2)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 7), st.integers(1, 3), st.integers(1, 4), st.integers(0, 1000))
def test_states_and_gradients_equal_the_plain_loop(length: int, rows: int, channels: int, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    u = torch.randn(length, rows, 2 * channels, generator=rng, dtype=torch.float64)
    decay = torch.polar(
        torch.rand(channels, generator=rng, dtype=torch.float64),
        6 * torch.rand(channels, generator=rng, dtype=torch.float64),
    )
    weights = torch.randn(u.shape, generator=rng, dtype=torch.float64)
    results = []
    for recurrence in (LinearRecurrence.apply, slow_recurrence):
        inputs, rate = u.clone().requires_grad_(), decay.clone().requires_grad_()
        states = recurrence(inputs, rate)
        (states * weights).sum().backward()
        results.append((states.detach(), inputs.grad, rate.grad if length > 1 else torch.zeros(1)))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_inputs_are_left_alone() -> None:
    u = torch.ones(3, 1, 2)
    LinearRecurrence.apply(u, torch.tensor([0.5 + 0j]))
    assert torch.equal(u, torch.ones(3, 1, 2))


def test_dropout_drops_the_share_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    dropout = Dropout(0.2)
    x = torch.ones(1001, 999)
    y = dropout(x)
    share = float((y == 0).float().mean())
    assert abs(share - 0.2) < 0.002
    assert abs(float(y.mean()) - 1) < 0.002
    kept = y[y > 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1.25), rtol=1e-4, atol=0)


def test_dropout_is_uniform_over_the_lanes_of_a_draw() -> None:
    torch.manual_seed(0)
    zeros = Dropout(0.5)(torch.ones(40_000)).view(-1, 4) == 0
    assert torch.allclose(zeros.float().mean(0), torch.full((4,), 0.5), atol=0.02)
    pairs = zeros[:, 0] & zeros[:, 1]
    assert abs(float(pairs.float().mean()) - 0.25) < 0.02


def test_dropout_gradient_is_its_own_mask() -> None:
    torch.manual_seed(0)
    x = torch.randn(50, 8, requires_grad=True)
    y = Dropout(0.3)(x)
    y.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad * x.detach(), y.detach())


def test_dropout_does_nothing_in_evaluation_or_at_zero() -> None:
    x = torch.randn(5)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x
