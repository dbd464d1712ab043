"""Dropout masks that are a function of a seed, so that none has to be stored: the gradient makes its mask again."""

from typing import Any

import torch
from torch import Tensor

LEVELS = 65536
"""A probability of dropping is a multiple of one in so many."""


class MaskOfSeed(torch.autograd.Function):
    """Zero elements of a tensor and scale the rest by the inverse of their share."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, seed: int, dropped: int) -> Tensor:
        """Shape of `x`.

        Args:
            ctx: Autograd's context.
            x: Any shape; elements are numbered in row-major order.
            seed: Names the mask, 0..2^63 - 1. Equal ones give equal masks on every device.
            dropped: Probability of an element to be dropped, in `LEVELS`.
        """
        ctx.seed, ctx.dropped = seed, dropped
        return _masked(x.detach(), seed, dropped)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """The same mask."""
        return _masked(grads[0], ctx.seed, ctx.dropped), None, None


def has_kernels(x: Tensor) -> bool:
    """Whether the compiled passes of `kernels` are for it; torch does the same on other devices and types."""
    return x.is_cpu and x.dtype == torch.float32


def _masked(x: Tensor, seed: int, dropped: int) -> Tensor:
    scale = LEVELS / (LEVELS - dropped)
    if not has_kernels(x):
        kept = _sixteen_bits(x.numel(), seed, x.device) >= dropped
        return torch.where(kept.view(x.shape), x * scale, 0)
    from finestrec.models import kernels

    x = x.contiguous()
    y = torch.empty_like(x)
    kernels.drop(x.view(-1).numpy(), seed, dropped, scale, y.view(-1).numpy())
    return y


def _sixteen_bits(count: int, seed: int, device: torch.device) -> Tensor:
    """0..65535, shape (count,): the bits by which `kernels.drop` decides, of signed integers that wrap around."""
    z = torch.arange(1, -(-count // 4) + 1, device=device) * (0x9E3779B97F4A7C15 - 2**64) + seed
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z = (z ^ (z >> shift & (1 << 64 - shift) - 1)) * (factor - 2**64)
    z = z ^ (z >> 31 & (1 << 33) - 1)
    lanes = torch.arange(0, 64, 16, device=device)
    return (z[:, None] >> lanes & (LEVELS - 1)).flatten()[:count]
