"""The inside of a feed-forward layer: a product, an activation and dropout."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from finestrec.models.base import Dropout
from finestrec.models.masks import LEVELS, has_kernels


def gelu(x: Tensor, layer: nn.Linear, dropout: Dropout) -> Tensor:
    """dropout(gelu(layer(x))), in training on a CPU with everything behind the product in one pass over memory."""
    if not dropout.training:
        return F.gelu(layer(x))
    y = F.linear(x, layer.weight)
    if has_kernels(y) and y.shape[-1] % 4 == 0:
        return GeluAndDropout.apply(y, layer.bias, dropout.draw(), dropout.dropped)  # type: ignore[no-untyped-call, no-any-return]
    return dropout(F.gelu(y + layer.bias))  # type: ignore[no-any-return]


def relu(x: Tensor, layer: nn.Linear, dropout: Dropout) -> Tensor:
    """dropout(relu(layer(x)))."""
    return dropout(F.relu(layer(x)))  # type: ignore[no-any-return]


class GeluAndDropout(torch.autograd.Function):
    """dropout(gelu(x + bias)) in the memory of x; the derivative is made in the same pass, and kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor, seed: int, dropped: int) -> Tensor:
        """`x`, overwritten.

        Args:
            ctx: Autograd's context.
            x: Shape (..., W), W a multiple of 4, contiguous, float32, on a CPU.
            bias: Shape (W,).
            seed: As in `MaskOfSeed`, whose mask it is.
            dropped: Likewise.
        """
        from finestrec.models import kernels

        slope = torch.empty_like(x)
        rows, slopes = (each.detach().view(-1, x.shape[-1]).numpy() for each in (x, slope))
        kernels.gelu_and_drop(rows, bias.detach().numpy(), seed, dropped, LEVELS / (LEVELS - dropped), slopes)
        ctx.mark_dirty(x)
        ctx.save_for_backward(slope)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """The product with the derivative, and its sum over rows."""
        (slope,) = ctx.saved_tensors
        grad = grads[0] * slope
        return grad, grad.flatten(0, -2).sum(0), None, None
