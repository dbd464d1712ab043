"""The recurrence against its definition."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from finestrec.models.lrurec import LinearRecurrence


def slow_recurrence(u: torch.Tensor, bias: torch.Tensor, decay: torch.Tensor) -> torch.Tensor:
    """h_t = lambda h_{t-1} + u_t + bias with plain complex operations that autograd follows."""
    inputs, constant, rate = (torch.complex(*each.chunk(2, -1)) for each in (u, bias, decay))
    states = [inputs[0] + constant]
    for t in range(1, len(inputs)):
        states.append(rate * states[-1] + inputs[t] + constant)
    h = torch.stack(states)
    return torch.cat((h.real, h.imag), -1)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 7),
    st.integers(1, 3),
    st.integers(1, 20),
    st.integers(0, 1000),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_states_and_gradients_equal_the_plain_loop(
    length: int, rows: int, channels: int, seed: int, kind: torch.dtype
) -> None:
    """The compiled loop, for 32 bits on a CPU, and torch's for all else."""
    rng = torch.Generator().manual_seed(seed)
    u = torch.randn(length, rows, 2 * channels, generator=rng, dtype=kind)
    bias = torch.randn(2 * channels, generator=rng, dtype=kind)
    modulus, angle = torch.rand(2, channels, generator=rng, dtype=kind)
    decay = torch.cat((modulus * torch.cos(6 * angle), modulus * torch.sin(6 * angle)))
    weights = torch.randn(u.shape, generator=rng, dtype=kind)
    results = []
    for recurrence in (LinearRecurrence.apply, slow_recurrence):
        inputs, constant, rate = (each.clone().requires_grad_() for each in (u, bias, decay))
        states = recurrence(inputs, constant, rate)
        (states * weights).sum().backward()
        of_rate = rate.grad if length > 1 else torch.zeros(1)
        results.append((states.detach(), inputs.grad, constant.grad, of_rate))
    tolerance = 1e-5 if kind == torch.float32 else 1e-12
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


def test_inputs_are_left_alone() -> None:
    u = torch.ones(3, 1, 2)
    LinearRecurrence.apply(u, torch.ones(2), torch.tensor([0.5, 0.0]))
    assert torch.equal(u, torch.ones(3, 1, 2))


def test_the_decay_has_no_gradient_from_sequences_of_one() -> None:
    decay = torch.tensor([0.5, 0.1], requires_grad=True)
    LinearRecurrence.apply(torch.ones(1, 3, 2), torch.zeros(2), decay).sum().backward()
    assert decay.grad is not None
    assert decay.grad.tolist() == [0, 0]
