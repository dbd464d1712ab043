"""LSTM: the recurrent baseline of CASPER and FINEST (Hochreiter, Schmidhuber 1997).

Departs from CASPER's code in scoring by the item table that reads the items, with a bias, instead of by a
second table of the same size.
"""

from typing import Any, ClassVar

from torch import Tensor, nn

from finestrec.data.sequences import SequenceBatch
from finestrec.models.base import Dropout, ItemTable, ModelOptions, NextItemModel


class LSTM(NextItemModel):
    """Embedding, stacked LSTM layers, and scores against the item table."""

    name = "lstm"
    summary = "long short-term memory (the recurrent baseline of CASPER and FINEST)"
    training_defaults: ClassVar[dict[str, Any]] = {"weight_decay": 1e-5, "clip_norm": 5.0}

    def __init__(self, n_items: int, max_length: int, options: ModelOptions) -> None:
        super().__init__(n_items, max_length, options)
        self.items = ItemTable(n_items, options.hidden)
        # Wide enough to move the gates: at the 0.02 that suits tables read through a layer norm, learning to tell
        # items apart takes about ten times the epochs.
        nn.init.normal_(self.items.weight, std=0.3)
        self.layers = nn.ModuleList(nn.LSTM(options.hidden, options.hidden) for _ in range(options.blocks))
        self.dropout = Dropout(options.dropout)

    def hidden(self, batch: SequenceBatch) -> Tensor:
        """Hidden states, shape (B, L, D)."""
        x: Tensor = self.dropout(self.items(batch.items.T))  # (L, B, D), the layout that nn.LSTM is fastest in
        for layer in self.layers:
            x = self.dropout(layer(x)[0])
        return x.transpose(0, 1)

    def scores(self, hidden: Tensor, items: Tensor | None = None) -> Tensor:
        """See `NextItemModel.scores`."""
        return self.items.scores(hidden, items)
