"""LRURec as one would first write it: the peer of `benchmarks.training`.

Every row is padded to the full length, the projections are complex, the recurrence is a logarithmic-depth scan,
dropout is torch's, the scores of every position are computed, and batches are users in random order.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PlainBlock(nn.Module):
    def __init__(self, hidden: int, dropout: float) -> None:
        super().__init__()
        channels = 2 * hidden
        u1, u2 = torch.rand(channels), torch.rand(channels)
        nu = -0.5 * torch.log(u1 * (0.99**2 - 0.8**2) + 0.8**2)
        self.log_nu = nn.Parameter(torch.log(nu))
        self.log_theta = nn.Parameter(torch.log(u2 * 2 * math.pi))
        self.log_gamma = nn.Parameter(torch.log(torch.sqrt(1 - torch.exp(-2 * nu))))
        self.project_in = nn.Linear(hidden, channels, dtype=torch.cfloat)
        self.project_out = nn.Linear(channels, hidden, dtype=torch.cfloat)
        self.norm, self.outer_norm = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.inner, self.outer = nn.Linear(hidden, 4 * hidden), nn.Linear(4 * hidden, hidden)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        h = self.project_in(x.to(torch.cfloat)) * self.log_gamma.exp()  # (B, L, C)
        decay = torch.exp(torch.complex(-self.log_nu.exp(), self.log_theta.exp()))
        length, step = h.shape[1], 1
        while step < length:
            shifted = F.pad(h[:, :-step], (0, 0, step, 0))
            h = h + decay**step * shifted
            step *= 2
        x = self.norm(self.dropout(self.project_out(h).real) + x)
        return self.outer_norm(self.dropout(self.outer(self.dropout(F.gelu(self.inner(x))))) + x)


class PlainLRURec(nn.Module):
    def __init__(self, n_items: int, hidden: int = 128, blocks: int = 2, dropout: float = 0.2) -> None:
        super().__init__()
        self.table = nn.Embedding(n_items + 1, hidden, padding_idx=n_items)
        self.bias = nn.Parameter(torch.zeros(n_items))
        self.norm, self.dropout = nn.LayerNorm(hidden), nn.Dropout(dropout)
        self.blocks = nn.ModuleList(PlainBlock(hidden, dropout) for _ in range(blocks))

    def forward(self, items: Tensor) -> Tensor:
        """Scores of all items at all positions, (B, L, N); rows are padded on the left with N."""
        x = self.norm(self.dropout(self.table(items)))
        padding = (items == self.table.padding_idx)[..., None]
        for block in self.blocks:
            x = block(x.masked_fill(padding, 0))
        return F.linear(x, self.table.weight[:-1], self.bias)
