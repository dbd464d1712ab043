"""SASRec and TiSASRec as one would first write them from the papers: the peers of `benchmarks.models`.

Each is a module of (items, times, targets) -> loss. Items are (B, L) with N on padding, on either side; targets are
(B, L) with -100 where nothing is predicted. Attention is written out, dropout is torch's, every position is scored,
and TiSASRec looks up a key and a value for every pair of positions, (B, L, L, D). What departs from the papers in
finestrec's models does so here, so that both sides are one model.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NOTHING = -100


class PlainBlock(nn.Module):
    def __init__(self, hidden: int, dropout: float) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(hidden, hidden, bias=False) for _ in range(3))
        self.project_out = nn.Linear(hidden, hidden)
        self.inner, self.outer = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        self.norm, self.outer_norm = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor, pairs: tuple[Tensor, Tensor] | None) -> Tensor:
        y = self.norm(x)
        q, k, v = self.query(y), self.key(y), self.value(y)
        # With intervals, keys and values of every pair of positions: (B, L, L, D).
        logits = q @ k.transpose(1, 2) if pairs is None else (q[:, :, None] * (k[:, None] + pairs[0])).sum(-1)
        weights = (logits / q.shape[-1] ** 0.5).masked_fill(mask, -1e9).softmax(-1)
        z = weights @ v if pairs is None else (weights[..., None] * (v[:, None] + pairs[1])).sum(2)
        x = x + self.dropout(self.project_out(z))
        return x + self.dropout(self.outer(self.dropout(F.relu(self.inner(self.outer_norm(x))))))


class PlainSASRec(nn.Module):
    def __init__(
        self, n_items: int, hidden: int = 128, blocks: int = 2, dropout: float = 0.2, length: int = 50
    ) -> None:
        super().__init__()
        self.table = nn.Embedding(n_items + 1, hidden, padding_idx=n_items)
        self.bias = nn.Parameter(torch.zeros(n_items))
        self.positions = nn.Embedding(length, hidden)
        self.blocks = nn.ModuleList(PlainBlock(hidden, dropout) for _ in range(blocks))
        self.norm, self.dropout = nn.LayerNorm(hidden), nn.Dropout(dropout)

    def forward(self, items: Tensor, times: Tensor, targets: Tensor) -> Tensor:  # noqa: ARG002
        x = self.dropout(self.table(items) + self.positions(torch.arange(items.shape[1])))
        h = self.encoded(x, items, None)
        scores = F.linear(h, self.table.weight[:-1], self.bias)
        return F.cross_entropy(scores.flatten(0, 1), targets.flatten(), ignore_index=NOTHING)

    def encoded(self, x: Tensor, items: Tensor, pairs: tuple[Tensor, Tensor] | None) -> Tensor:
        length = items.shape[1]
        mask = torch.ones(length, length, dtype=torch.bool).triu(1)
        padding = (items == self.table.padding_idx)[..., None]
        for block in self.blocks:
            x = block(x.masked_fill(padding, 0), mask, pairs)
        return self.norm(x)


class PlainTiSASRec(PlainSASRec):
    def __init__(
        self, n_items: int, hidden: int = 128, blocks: int = 2, dropout: float = 0.2, length: int = 50
    ) -> None:
        super().__init__(n_items, hidden, blocks, dropout, length)
        self.position_values = nn.Embedding(length, hidden)
        self.interval_keys, self.interval_values = nn.Embedding(257, hidden), nn.Embedding(257, hidden)

    def forward(self, items: Tensor, times: Tensor, targets: Tensor) -> Tensor:
        intervals = plain_intervals(times)
        places = torch.arange(items.shape[1])
        pairs = (
            self.interval_keys(intervals) + self.positions(places),
            self.interval_values(intervals) + self.position_values(places),
        )
        h = self.encoded(self.dropout(self.table(items)), items, pairs)
        predicted = targets != NOTHING
        drawn = torch.randint(len(self.bias), targets.shape)
        positive, negative = (
            (h * self.table(each)).sum(-1) + self.bias[each] for each in (targets.clamp(min=0), drawn)
        )
        return (F.softplus(-positive) + F.softplus(negative))[predicted].mean()


def plain_intervals(times: Tensor) -> Tensor:
    """Intervals in units of the smallest gap so far, (B, L, L)."""
    unit = torch.ones_like(times)
    smallest = torch.full_like(times[:, 0], 2**62)
    for i in range(1, times.shape[1]):
        gap = times[:, i] - times[:, i - 1]
        smallest = torch.where((gap > 0) & (gap < smallest), gap, smallest)
        unit[:, i] = torch.where(smallest < 2**62, smallest, 1)
    return ((times[:, :, None] - times[:, None, :]) // unit[:, :, None]).clamp(0, 256)
