"""Modules as strangers write them: numbering, padding and answers in every fashion."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from finestrec.models.adapters import Declaration, TorchModel, adapt, with_lengths

WIDTH = 16


class RightGRU(nn.Module):
    """Items from 1, padding 0 on the right, scores (B, L, N + 1)."""

    def __init__(self, n_items: int) -> None:
        super().__init__()
        self.items = nn.Embedding(n_items + 1, WIDTH, padding_idx=0)
        self.gru = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.head = nn.Linear(WIDTH, n_items + 1)
        self.dropout = nn.Dropout(0.1)

    def forward(self, ids: Tensor) -> Tensor:
        scores: Tensor = self.head(self.dropout(self.gru(self.items(ids))[0]))
        return scores


class ZeroBasedGRU(nn.Module):
    """Items from 0, padding N, scores (B, L, N)."""

    def __init__(self, n_items: int) -> None:
        super().__init__()
        self.items = nn.Embedding(n_items + 1, WIDTH, padding_idx=n_items)
        self.gru = nn.GRU(WIDTH, n_items, batch_first=True)

    def forward(self, ids: Tensor) -> Tensor:
        states: Tensor = self.gru(self.items(ids))[0]
        return states


class LastGRU(RightGRU):
    """Reads lengths; scores of the last position only, (B, N + 1)."""

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(ids)[torch.arange(len(ids)), lengths - 1]


class LeftAttention(nn.Module):
    """Items from 1, padding 0 on the left and hidden by a mask, positions from the end; scores (B, L, N + 1)."""

    def __init__(self, n_items: int, max_length: int) -> None:
        super().__init__()
        self.items = nn.Embedding(n_items + 1, WIDTH, padding_idx=0)
        self.positions = nn.Parameter(torch.randn(max_length, WIDTH) * 0.1)
        self.attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)

    def states(self, ids: Tensor) -> Tensor:
        L = ids.shape[1]
        x = self.items(ids) + self.positions[:L].flip(0)
        future = torch.ones(L, L, dtype=torch.bool).triu(1)
        # A padded position sees itself, or its softmax would be one of nothing.
        blocked = (future | (ids == 0)[:, None]) & ~torch.eye(L, dtype=torch.bool)
        out: Tensor = x + self.attention(x, x, x, attn_mask=blocked.repeat_interleave(2, 0), need_weights=False)[0]
        return out

    def forward(self, ids: Tensor) -> Tensor:
        return self.states(ids) @ self.items.weight.T


class LeftHidden(LeftAttention):
    """Positions from the start of a row of full length, and padding in sight; hidden states (B, L, D)."""

    def forward(self, ids: Tensor) -> Tensor:
        L = ids.shape[1]
        x = self.items(ids) + self.positions[:L]
        out: Tensor = x + self.attention(x, x, x, attn_mask=torch.ones(L, L, dtype=torch.bool).triu(1))[0]
        return out


class LastHidden(LeftAttention):
    """The state at the end, (B, D), and an item table with a mask as its last row."""

    def __init__(self, n_items: int, max_length: int) -> None:
        super().__init__(n_items + 1, max_length)

    def forward(self, ids: Tensor) -> Tensor:
        return self.states(ids)[:, -1]


class BothSides(nn.Module):
    """Reads in both directions, with a mask behind the row, whose scores (B, N + 1) it returns; zeros are padding."""

    def __init__(self, n_items: int, max_length: int) -> None:
        super().__init__()
        self.mask = n_items + 1
        self.items = nn.Embedding(n_items + 2, WIDTH)
        self.positions = nn.Embedding(max_length + 2, WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)

    def forward(self, ids: Tensor) -> Tensor:
        from_end = (ids != 0).flip(1).cumsum(1).flip(1)
        x = self.items(ids) + self.positions(from_end)
        x = x + self.attention(x, x, x, key_padding_mask=ids == 0)[0]
        return x @ self.items.weight[:-1].T


def masked_at_the_end(module: nn.Module, ids: Tensor, lengths: Tensor) -> Tensor:
    row = torch.arange(len(ids))
    ids = F.pad(ids, (0, 1)).index_put((row, lengths), torch.tensor(module.mask))
    scores: Tensor = module(ids)[row, lengths]
    return scores


def own_table(module: nn.Module) -> Tensor:
    table: Tensor = module.items.weight
    return table


per_position = partial(F.cross_entropy, reduction="none", label_smoothing=0.1)


def right_gru(n: int, length: int) -> TorchModel:
    return adapt(RightGRU(n), n, length)


def zero_based_gru(n: int, length: int) -> TorchModel:
    return adapt(ZeroBasedGRU(n), n, length, Declaration(padding_id=n, first_id=0, loss=per_position))


def last_gru(n: int, length: int) -> TorchModel:
    return adapt(LastGRU(n), n, length, Declaration(positions="last", call=with_lengths))


def left_attention(n: int, length: int) -> TorchModel:
    return adapt(LeftAttention(n, length), n, length, Declaration(padding="left"))


def left_hidden(n: int, length: int) -> TorchModel:
    declared = Declaration(padding="left", items="items.weight", fixed_length=True)
    return adapt(LeftHidden(n, length), n, length, declared)


def last_hidden(n: int, length: int) -> TorchModel:
    declared = Declaration(padding="left", positions="last", items=own_table, columns_after=1)
    return adapt(LastHidden(n, length), n, length, declared)


def both_sides(n: int, length: int) -> TorchModel:
    return adapt(BothSides(n, length), n, length, Declaration(positions="last", call=masked_at_the_end))


FACTORIES = {
    factory.__name__: factory
    for factory in (right_gru, zero_based_gru, last_gru, left_attention, left_hidden, last_hidden, both_sides)
}
