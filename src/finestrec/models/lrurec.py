"""LRURec: linear recurrent units (Yue et al., WSDM 2024, https://arxiv.org/abs/2310.02367).

Departs from the authors' code in arithmetic only: the complex projections of real inputs are real matrix
products of twice the width, the normaliser gamma is folded into the weights, rows are padded on the right, and
the recurrence runs step by step over time-major slices: one pass over memory, where the logarithmic-depth scan does
log2(L) times the work and copies the whole array at each level (`benchmarks/scan.py`).
"""

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from finestrec.data.sequences import SequenceBatch
from finestrec.models.activations import gelu
from finestrec.models.base import Dropout, ItemTable, ModelOptions, NextItemModel, at_their_places, few_positions
from finestrec.models.masks import has_kernels

# Axes: B rows, L positions, D hidden, C = 2 D complex channels, 4 D inner width of the feed-forward part.


class LinearRecurrence(torch.autograd.Function):
    """h_t = lambda * h_{t-1} + u_t + bias, elementwise over complex channels, on real arrays.

    Channel c of a row is c (real part) and C + c (imaginary part).
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, bias: Tensor, decay: Tensor) -> Tensor:
        """States, shape (L, B, 2C).

        Args:
            ctx: Autograd's context.
            u: Inputs, shape (L, B, 2C).
            bias: Added to each of them, shape (2C,).
            decay: lambda, shape (2C,).
        """
        h = torch.empty_like(u)
        if has_kernels(u):
            from finestrec.models import kernels

            kernels.recur(*(each.detach().numpy() for each in (u, bias, decay, h)))
        else:
            _recur(u + bias, h, decay)
        ctx.save_for_backward(h, decay)
        return h

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same recurrence against time, with the conjugate decay."""
        h, decay = ctx.saved_tensors
        g, grad = torch.empty_like(h), grads[0].contiguous()
        if has_kernels(h):
            from finestrec.models import kernels

            of_bias, of_decay = torch.empty_like(decay), torch.empty_like(decay)
            kernels.recur_backwards(*(each.numpy() for each in (grad, h, decay, g, of_bias, of_decay)))
            return g, of_bias, of_decay
        a, b = decay.chunk(2)
        _recur(grad.flip(0), g, torch.cat((a, -b)))
        g = g.flip(0)
        (x, y), (p, q) = (each.flatten(0, 1).chunk(2, -1) for each in (g[1:], h[:-1]))
        return g, g.sum((0, 1)), torch.cat(((x * p + y * q).sum(0), (y * p - x * q).sum(0)))


def _recur(u: Tensor, h: Tensor, decay: Tensor) -> None:
    """Write h_t = decay * h_{t-1} + u_t into `h`."""
    a, b = decay.chunk(2)
    h[0] = u[0]
    for t in range(1, len(u)):
        x, y = h[t - 1].chunk(2, -1)
        h[t] = u[t] + torch.cat((a * x - b * y, a * y + b * x), -1)


class LRUBlock(nn.Module):
    """A linear recurrent unit and a feed-forward layer, each with residual and layer norm."""

    def __init__(self, options: ModelOptions) -> None:
        super().__init__()
        D = options.hidden
        # Eigenvalues uniform on the ring 0.8 <= |lambda| <= 0.99 (Orvieto et al., ICML 2023, Lemma 3.2).
        r2 = torch.rand(2 * D) * (0.99**2 - 0.8**2) + 0.8**2
        modulus = r2.sqrt()
        self.log_nu = nn.Parameter(torch.log(-torch.log(modulus)))
        self.log_theta = nn.Parameter(torch.log(torch.rand(2 * D) * 2 * math.pi))
        self.log_gamma = nn.Parameter(torch.log(torch.sqrt(1 - r2)))
        # Rows c and C + c are the real and the imaginary part of channel c.
        self.project_in = nn.Linear(D, 4 * D)
        self.project_out = nn.Linear(4 * D, D)
        self.norm = nn.LayerNorm(D)
        self.inner = nn.Linear(D, 4 * D)
        self.outer = nn.Linear(4 * D, D)
        self.outer_norm = nn.LayerNorm(D)
        self.dropout = Dropout(options.dropout)

    def forward(self, x: Tensor, only: Tensor | None = None) -> Tensor:
        """Shape (L, B, D) to (L, B, D).

        Args:
            x: Shape (L, B, D).
            only: Indices into the L * B positions, shape (P,): the result is wanted for these alone, and its shape is
                (P, D).
        """
        gamma = self.log_gamma.exp().repeat(2)
        u = F.linear(x, self.project_in.weight * gamma[:, None])  # (L, B, 2C)
        modulus, angle = torch.exp(-self.log_nu.exp()), self.log_theta.exp()
        decay = torch.cat((modulus * angle.cos(), modulus * angle.sin()))
        # In mixed precision products are coarse; the recurrence, which sums over the whole row, is not.
        u = u.to(torch.promote_types(u.dtype, torch.float32))
        h = LinearRecurrence.apply(u, self.project_in.bias * gamma, decay)  # type: ignore[no-untyped-call]
        if only is not None:
            x, h = (each.flatten(0, 1).index_select(0, only) for each in (x, h))
        x = self.norm(self.dropout(self.project_out(h)) + x)
        y = self.outer(gelu(x, self.inner, self.dropout))
        return self.outer_norm(self.dropout(y) + x)  # type: ignore[no-any-return]


class LRURec(NextItemModel):
    """Embedding, linear recurrent blocks, and scores against the item table."""

    name = "lrurec"
    summary = "linear recurrent units (Yue et al., WSDM 2024)"
    training_defaults: ClassVar[dict[str, Any]] = {"betas": (0.9, 0.98), "clip_norm": 5.0}

    def __init__(self, n_items: int, max_length: int, options: ModelOptions) -> None:
        super().__init__(n_items, max_length, options)
        self.items = ItemTable(n_items, options.hidden)
        self.dropout = Dropout(options.dropout)
        self.norm = nn.LayerNorm(options.hidden)
        self.blocks = nn.ModuleList(LRUBlock(options) for _ in range(options.blocks))
        for name, parameter in self.named_parameters():
            if "norm" not in name and "log_" not in name:
                nn.init.trunc_normal_(parameter, std=0.02, a=-0.04, b=0.04)

    def hidden(self, batch: SequenceBatch) -> Tensor:
        """Hidden states, shape (B, L, D); zeros where nothing is predicted, if that is most of them."""
        x: Tensor = self.items(batch.items.T)  # (L, B, D): each step of the recurrence is one contiguous slice
        x = self.norm(self.dropout(x))
        for block in self.blocks[:-1]:
            x = block(x)
        wanted = few_positions(self, batch)
        if wanted is None:
            return self.blocks[-1](x).transpose(0, 1)  # type: ignore[no-any-return]
        B, L = batch.items.shape
        return at_their_places(self.blocks[-1](x, wanted % L * B + wanted // L), batch)

    def scores(self, hidden: Tensor, items: Tensor | None = None) -> Tensor:
        """See `NextItemModel.scores`."""
        return self.items.scores(hidden, items)
