"""SASRec: self-attention over the sequence (Kang, McAuley, ICDM 2018, https://arxiv.org/abs/1808.09781).

Departs from the paper in these points. Positions are counted from the start of the input and rows are padded on
the right: all prefixes of a row then share one pass, and no position is spent on padding. Items have a bias, and
the heads a joint output projection (Vaswani et al.); the paper has neither. The loss is a softmax over the
catalogue instead of binary cross-entropy against one sampled item, which is `training.loss=bce` here.
From the authors' code it departs in dropping no attention weights, of which the paper says nothing: they then
never leave the fused kernel.
"""

from torch import Tensor, nn

from finestrec.data.sequences import SequenceBatch
from finestrec.models.activations import relu
from finestrec.models.attention import AttentionOptions, PositionTable, SelfAttention, TransformerBlock
from finestrec.models.base import Dropout, ItemTable, ModelOptions, NextItemModel, at_their_places, few_positions


class SASRec(NextItemModel):
    """Items and positions, causal transformer blocks, and scores against the item table."""

    name = "sasrec"
    summary = "self-attention (Kang, McAuley, ICDM 2018)"
    options_type = AttentionOptions

    def __init__(self, n_items: int, max_length: int, options: ModelOptions) -> None:
        super().__init__(n_items, max_length, options)
        assert isinstance(options, AttentionOptions)
        D = options.hidden
        self.items = ItemTable(n_items, D)
        self.positions = PositionTable(max_length, D)
        self.dropout = Dropout(options.dropout)
        self.blocks = nn.ModuleList(
            TransformerBlock(SelfAttention(options), options, inner=D, activation=relu, norm_first=True)
            for _ in range(options.blocks)
        )
        self.norm = nn.LayerNorm(D)
        nn.init.normal_(self.items.weight, std=D**-0.5)
        nn.init.normal_(self.positions.weight, std=D**-0.5)

    def hidden(self, batch: SequenceBatch) -> Tensor:
        """Hidden states, shape (B, L, D); zeros where nothing is predicted, if that is most of them."""
        x = self.dropout(self.items(batch.items) + self.positions(batch.items.shape[1]))
        for block in self.blocks[:-1]:
            x = block(x)
        only = few_positions(self, batch)
        x = self.norm(self.blocks[-1](x, only=only))
        return x if only is None else at_their_places(x, batch)

    def scores(self, hidden: Tensor, items: Tensor | None = None) -> Tensor:
        """See `NextItemModel.scores`."""
        return self.items.scores(hidden, items)
