"""BERT4Rec as one would first write it: the peer of `benchmarks.models`.

Every row is padded to the full length, the encoder is torch's, the output layer and the scores of every position are
computed, and dropout is torch's. A module of (items, times, targets) -> loss, as those of `plain_attention`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PlainBERT4Rec(nn.Module):
    def __init__(
        self, n_items: int, hidden: int = 128, blocks: int = 2, length: int = 50, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.padding, self.mask = n_items, n_items + 1
        self.table = nn.Embedding(n_items + 2, hidden, padding_idx=self.padding)
        self.positions = nn.Embedding(length, hidden)
        self.bias = nn.Parameter(torch.zeros(n_items))
        self.norm, self.dropout = nn.LayerNorm(hidden), nn.Dropout(dropout)
        layer = nn.TransformerEncoderLayer(hidden, 2, 4 * hidden, dropout, F.gelu, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, blocks)
        self.output, self.output_norm = nn.Linear(hidden, hidden), nn.LayerNorm(hidden)

    def scores(self, items: Tensor) -> Tensor:
        """Scores of all items at all positions, (B, L, N); padding is N and a mask N + 1."""
        x = self.table(items) + self.positions.weight[: items.shape[1]]
        x = self.encoder(self.dropout(self.norm(x)), src_key_padding_mask=items == self.padding)
        return F.linear(self.output_norm(F.gelu(self.output(x))), self.table.weight[: self.padding], self.bias)

    def forward(self, items: Tensor, times: Tensor, targets: Tensor) -> Tensor:  # noqa: ARG002
        """Mask a fifth of the items, (B, L), and predict them."""
        masked = (torch.rand(items.shape) < 0.2) & (items != self.padding)
        scores = self.scores(items.masked_fill(masked, self.mask))
        return F.cross_entropy(scores.flatten(0, 1), items.masked_fill(~masked, -100).flatten(), ignore_index=-100)
