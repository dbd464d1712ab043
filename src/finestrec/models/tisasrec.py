"""TiSASRec: self-attention that reads time intervals (Li, Wang, McAuley, WSDM 2020, https://doi.org/10.1145/3336191.3371786).

Departs from the paper in these points. The personal time unit, the smallest gap between two consecutive
interactions of a user, is here the smallest one *up to the query*, within the input: no later time, let alone a
test time, reaches an earlier score, and all prefixes of a row share one pass. Positions are counted from the
start of the input. Items have a bias, and the heads a joint output projection. From the authors' code it departs
in dropping no attention weights and no entries of the tables of positions and intervals, and in arithmetic: an
interval has one of 257 values, so queries meet the table once, in one product, and attention weights are summed
by interval before they meet it again. Nothing has the shape (B, L, L, D). The loss is the authors';
`training.loss=softmax` takes one over the catalogue.
"""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from finestrec.data.sequences import SequenceBatch
from finestrec.models.activations import relu
from finestrec.models.attention import AttentionOptions, PositionTable, SelfAttention, TransformerBlock
from finestrec.models.base import Dropout, ItemTable, ModelOptions, NextItemModel, at_their_places, few_positions

# Axes: B rows, L positions, D hidden, H heads, d = D / H channels of a head, R interval values.

LONGEST_INTERVAL = 256
"""k of the paper: longer intervals count as this one."""


def relative_intervals(times: Tensor) -> Tensor:
    """How long before each query each earlier interaction was, in personal time units.

    Args:
        times: Ascending ticks of any unit, 0 on padding, int64, shape (B, L).

    Returns:
        r_ij = min(256, floor((t_i - t_j) / unit_i)) for j <= i, and 0 for j > i, int64, shape (B, L, L). unit_i is
        the smallest non-zero gap between consecutive times up to i, 1 if there is none (Section 3.2 of the paper).
    """
    gaps = times.diff(dim=1)
    none = torch.iinfo(times.dtype).max
    smallest = F.pad(torch.where(gaps > 0, gaps, none).cummin(1).values, (1, 0), value=none)
    unit = torch.where(smallest == none, 1, smallest)
    distance = (times[:, :, None] - times[:, None, :]).clamp(min=0)
    return distance.div(unit[:, :, None], rounding_mode="floor").clamp(max=LONGEST_INTERVAL).tril()


class IntervalAttention(SelfAttention):
    """Causal attention in which keys and values depend on the position and on the interval to the query (Eq. 6, 8)."""

    def forward(  # type: ignore[override]
        self,
        x: Tensor,
        position_keys: Tensor,
        position_values: Tensor,
        interval_keys: Tensor,
        interval_values: Tensor,
        intervals: Tensor,
        *,
        only: Tensor | None = None,
    ) -> Tensor:
        """Shape (B, L, D) to (B, L, D), or (P, D) for P positions only.

        Args:
            x: Shape (B, L, D).
            position_keys: Added to the keys, shape (L, D).
            position_values: Added to the values, shape (L, D).
            interval_keys: Added to the keys by interval, shape (R, D).
            interval_values: Added to the values by interval, shape (R, D).
            intervals: Below R, int64, shape (B, L, L).
            only: Indices into the B * L positions, shape (P,).
        """
        L, H, d = x.shape[1], self.heads, x.shape[2] // self.heads
        q, k, v = self.project_in(x).chunk(3, dim=2)
        q, k, v = (
            y.unflatten(2, (H, d)).transpose(1, 2) for y in (q * d**-0.5, k + position_keys, v + position_values)
        )  # (B, H, L, d)
        to_intervals = torch.einsum("bhld,rhd->bhlr", q, interval_keys.view(-1, H, d))
        r = intervals[:, None].expand(-1, H, -1, -1)
        later = torch.ones(L, L, dtype=torch.bool, device=x.device).triu(1)
        logits = q @ k.transpose(2, 3) + to_intervals.gather(3, r)
        weights = logits.masked_fill(later, -torch.inf).softmax(3)  # (B, H, L, L)
        by_interval = torch.zeros_like(to_intervals).scatter_add(3, r, weights)
        y = weights @ v + torch.einsum("bhlr,rhd->bhld", by_interval, interval_values.view(-1, H, d))
        y = y.transpose(1, 2).flatten(2)
        return self.project_out(y if only is None else y.flatten(0, 1).index_select(0, only))  # type: ignore[no-any-return]


class TiSASRec(NextItemModel):
    """Items, transformer blocks that read positions and intervals, and scores against the item table."""

    name = "tisasrec"
    summary = "self-attention with time intervals (Li, Wang, McAuley, WSDM 2020)"
    options_type = AttentionOptions
    training_defaults: ClassVar[dict[str, Any]] = {"loss": "bce", "weight_decay": 5e-5}
    decayed = ("items.weight", "position_", "interval_")

    def __init__(self, n_items: int, max_length: int, options: ModelOptions) -> None:
        super().__init__(n_items, max_length, options)
        assert isinstance(options, AttentionOptions)
        D = options.hidden
        self.items = ItemTable(n_items, D)
        self.position_keys, self.position_values = PositionTable(max_length, D), PositionTable(max_length, D)
        self.interval_keys = nn.Parameter(torch.empty(LONGEST_INTERVAL + 1, D))
        self.interval_values = nn.Parameter(torch.empty(LONGEST_INTERVAL + 1, D))
        self.dropout = Dropout(options.dropout)
        self.blocks = nn.ModuleList(
            TransformerBlock(IntervalAttention(options), options, inner=D, activation=relu, norm_first=True)
            for _ in range(options.blocks)
        )
        self.norm = nn.LayerNorm(D)
        for name, parameter in self.named_parameters():
            if name.startswith(self.decayed):
                nn.init.normal_(parameter, std=D**-0.5)

    def hidden(self, batch: SequenceBatch) -> Tensor:
        """Hidden states, shape (B, L, D); zeros where nothing is predicted, if that is most of them."""
        L = batch.items.shape[1]
        intervals = relative_intervals(batch.times)
        n_intervals = (
            int(intervals.max()) + 1 if len(intervals) else 1
        )  # fewer than the tables have where users come at regular times
        context = (
            self.position_keys(L),
            self.position_values(L),
            self.interval_keys[:n_intervals],
            self.interval_values[:n_intervals],
            intervals,
        )
        x = self.dropout(self.items(batch.items))
        for block in self.blocks[:-1]:
            x = block(x, *context)
        only = few_positions(self, batch)
        x = self.norm(self.blocks[-1](x, *context, only=only))
        return x if only is None else at_their_places(x, batch)

    def scores(self, hidden: Tensor, items: Tensor | None = None) -> Tensor:
        """See `NextItemModel.scores`."""
        return self.items.scores(hidden, items)
