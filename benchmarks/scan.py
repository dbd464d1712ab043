"""The linear recurrence of LRURec in three ways: step by step, in logarithmic depth, as a Toeplitz product.

Run as ``python -m benchmarks.scan``: forward and backward of 256 complex channels, batches of about 600 positions, two
threads. Each way computes the same values (checked to 1e-3).
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.machine import header
from finestrec.models.lrurec import LinearRecurrence

CHANNELS = 256


def stepwise(u: Tensor, decay: Tensor) -> Tensor:
    """As LRURec does, without a bias."""
    return LinearRecurrence.apply(u, torch.zeros_like(decay), decay)


def logarithmic(u: Tensor, decay: Tensor) -> Tensor:
    """Doubling: after step s every state holds its last 2s inputs."""
    h, rate = (torch.complex(*each.chunk(2, -1)) for each in (u, decay))
    step = 1
    while step < len(h):
        h = torch.cat((h[:step], h[step:] + rate**step * h[:-step]))
        step *= 2
    return torch.cat((h.real, h.imag), -1)


def toeplitz(u: Tensor, decay: Tensor) -> Tensor:
    """One lower triangular matrix of powers a channel, applied to all rows at once."""
    length = len(u)
    inputs, rate = (torch.complex(*each.chunk(2, -1)) for each in (u, decay))
    lag = torch.arange(length)[:, None] - torch.arange(length)
    powers = rate[:, None] ** torch.arange(length)  # (C, L)
    powers = powers[:, lag.clamp(min=0)] * (lag >= 0)  # (C, L, L)
    h = torch.bmm(powers, inputs.permute(2, 0, 1)).permute(1, 2, 0)  # by channel, and back
    return torch.cat((h.real, h.imag), -1)


def seconds(recurrence: Callable[[Tensor, Tensor], Tensor], u: Tensor, decay: Tensor) -> float:
    """Best of several forward and backward passes."""
    best = float("inf")
    for _ in range(12):
        u.grad = decay.grad = None
        began = time.perf_counter()
        recurrence(u, decay).sum().backward()
        best = min(best, time.perf_counter() - began)
    return best


def main() -> None:
    """Print the table."""
    torch.set_num_threads(2)
    header()
    print(f"{'length x rows':>14}{'step by step ms':>17}{'logarithmic':>13}{'Toeplitz':>10}")
    for length, rows in ((10, 60), (25, 24), (50, 12)):
        rng = torch.Generator().manual_seed(0)
        u = torch.randn(length, rows, 2 * CHANNELS, generator=rng, requires_grad=True)
        angle = 6 * torch.rand(CHANNELS, generator=rng)
        modulus = 0.8 + 0.19 * torch.rand(CHANNELS, generator=rng)
        decay = torch.cat((modulus * angle.cos(), modulus * angle.sin())).requires_grad_()
        ways = (stepwise, logarithmic, toeplitz)
        reference = ways[0](u, decay)
        for way in ways[1:]:
            torch.testing.assert_close(way(u, decay), reference, rtol=1e-3, atol=1e-3)
        times = [seconds(way, u, decay) for way in ways]
        print(
            f"{f'{length} x {rows}':>14}{times[0] * 1e3:17.2f}{times[1] / times[0]:12.1f}x{times[2] / times[0]:9.1f}x"
        )


if __name__ == "__main__":
    main()
