"""LRURec: linear recurrent units (Yue et al., WSDM 2024, https://arxiv.org/abs/2310.02367).

Departs from the authors' code in arithmetic only: the complex projections of real inputs are real matrix
products of twice the width, the normaliser gamma is folded into the weights, rows are padded on the right, and
the recurrence runs step by step over time-major slices. At most 50 steps of one fused multiply-add each cost
less than the logarithmic-depth scan, which does log2(L) times the work and copies the whole array at each level
(`benchmarks/lrurec_scan.py`).
"""

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from finestrec.data.sequences import SequenceBatch
from finestrec.models.base import Dropout, ItemTable, ModelOptions, NextItemModel

# Axes: B rows, L positions, D hidden, C = 2 D complex channels, 4 D inner width of the feed-forward part.


class LinearRecurrence(torch.autograd.Function):
    """h_t = lambda * h_{t-1} + u_t, elementwise over complex channels."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, decay: Tensor) -> Tensor:
        """Run the recurrence in place.

        Args:
            ctx: Autograd's context.
            u: Inputs, complex, shape (L, ..., C); overwritten with the states.
            decay: lambda, complex, shape (C,).
        """
        steps = u.unbind(0)
        for t in range(1, len(steps)):
            torch.addcmul(steps[t], steps[t - 1], decay, out=steps[t])
        ctx.mark_dirty(u)
        ctx.save_for_backward(u, decay)
        return u

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        """The same recurrence against time, with the conjugate decay."""
        h, decay = ctx.saved_tensors
        g = grads[0].clone(memory_format=torch.contiguous_format)
        steps, conjugate = g.unbind(0), decay.conj().resolve_conj()
        for t in range(len(steps) - 2, -1, -1):
            torch.addcmul(steps[t], steps[t + 1], conjugate, out=steps[t])
        return g, (g[1:] * h[:-1].conj()).flatten(0, -2).sum(0)


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
        # Rows 2c and 2c + 1 are the real and the imaginary part of channel c.
        self.project_in = nn.Linear(D, 4 * D)
        self.project_out = nn.Linear(4 * D, D)
        self.norm = nn.LayerNorm(D)
        self.inner = nn.Linear(D, 4 * D)
        self.outer = nn.Linear(4 * D, D)
        self.outer_norm = nn.LayerNorm(D)
        self.dropout = Dropout(options.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (L, B, D) to (L, B, D)."""
        gamma = self.log_gamma.exp().repeat_interleave(2)
        u = F.linear(x, self.project_in.weight * gamma[:, None], self.project_in.bias * gamma)  # (L, B, 2C)
        u = torch.view_as_complex(u.view(*x.shape[:2], -1, 2))  # (L, B, C)
        decay = torch.polar(torch.exp(-self.log_nu.exp()), self.log_theta.exp())
        h = torch.view_as_real(LinearRecurrence.apply(u, decay)).flatten(-2)  # type: ignore[no-untyped-call]
        x = self.norm(self.dropout(self.project_out(h)) + x)
        y = self.outer(self.dropout(F.gelu(self.inner(x))))
        return self.outer_norm(self.dropout(y) + x)  # type: ignore[no-any-return]


class LRURec(NextItemModel):
    """Embedding, linear recurrent blocks, and scores against the item table."""

    name = "lrurec"
    summary = "linear recurrent units (Yue et al., WSDM 2024)"
    training_defaults: ClassVar[dict[str, Any]] = {"betas": (0.9, 0.98), "clip_norm": 5.0}

    def __init__(self, n_items: int, options: ModelOptions) -> None:
        super().__init__(n_items, options)
        self.items = ItemTable(n_items, options.hidden)
        self.dropout = Dropout(options.dropout)
        self.norm = nn.LayerNorm(options.hidden)
        self.blocks = nn.ModuleList(LRUBlock(options) for _ in range(options.blocks))
        for name, parameter in self.named_parameters():
            if "norm" not in name and "log_" not in name:
                nn.init.trunc_normal_(parameter, std=0.02, a=-0.04, b=0.04)

    def hidden(self, batch: SequenceBatch) -> Tensor:
        """Hidden states, shape (B, L, D)."""
        x: Tensor = self.items(batch.items.T)  # (L, B, D): each step of the recurrence is one contiguous slice
        x = self.norm(self.dropout(x))
        for block in self.blocks:
            x = block(x)
        return x.transpose(0, 1)

    def scores(self, hidden: Tensor, items: Tensor | None = None) -> Tensor:
        """See `NextItemModel.scores`."""
        return self.items.scores(hidden, items)
