"""BERT4Rec: masked items from both sides (Sun et al., CIKM 2019, https://arxiv.org/abs/1904.06690).

Departs from the paper in these points. Rows are padded on the right, so positions are counted from the end: the mask
behind a test prefix then stands where the masks of last items stood in training, as it does with the paper's padding on
the left. What follows the attention of the last block is computed for the positions asked for only. Tables begin at a
standard deviation of D^-0.5 and layers as torch begins them: from the paper's 0.02, attention stays even for many
epochs. No rows are added that mask the last item alone. Attention weights are not dropped and projections have
no bias there, as in our SASRec.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from finestrec.data.masking import every_mask_once, mask_behind, random_masks
from finestrec.data.sequences import MASK, PADDING, Instances, SequenceBatch, Windows
from finestrec.errors import OptionError
from finestrec.models.activations import gelu
from finestrec.models.attention import AttentionOptions, PositionTable, SelfAttention, TransformerBlock
from finestrec.models.base import Dropout, ItemTable, ModelOptions, NextItemModel, at_their_places


class BERT4RecOptions(AttentionOptions):
    """Sizes of BERT4Rec, and how much it masks."""

    dropout: float = Field(default=0.1, ge=0, le=0.99)
    """Share of activations set to 0 in training, to the next 1/65536."""
    heads: int = Field(default=2, ge=1)
    """Heads of each attention; they share the width, so they must divide model.hidden."""
    mask: float = Field(default=0.2, gt=0, lt=1)
    """Probability with which an item is masked in training."""


class BERT4Rec(NextItemModel):
    """Items, masks and positions, transformer blocks without causality, and scores against the item table."""

    name = "bert4rec"
    summary = "masked items from both sides (Sun et al., CIKM 2019)"
    options_type = BERT4RecOptions
    training_defaults: ClassVar[dict[str, Any]] = {"clip_norm": 5.0}

    def __init__(self, n_items: int, max_length: int, options: ModelOptions) -> None:
        super().__init__(n_items, max_length, options)
        assert isinstance(options, BERT4RecOptions)
        if max_length < 2:
            raise OptionError(
                f"bert4rec reads the last L - 1 interactions and a mask, and L is {max_length}; training.max_length"
                " must be at least 2"
            )
        self._mask_share = options.mask
        D = options.hidden
        self.items = ItemTable(n_items, D)
        self.mask = nn.Parameter(torch.empty(D))
        self.positions = PositionTable(max_length, D)
        self.norm = nn.LayerNorm(D)
        self.dropout = Dropout(options.dropout)
        self.blocks = nn.ModuleList(
            TransformerBlock(SelfAttention(options), options, inner=4 * D, activation=gelu, norm_first=False)
            for _ in range(options.blocks)
        )
        self.output = nn.Linear(D, D)
        self.output_norm = nn.LayerNorm(D)
        for table in (self.items.weight, self.mask, self.positions.weight):
            nn.init.normal_(table, std=D**-0.5)

    @property
    def predicted_share(self) -> float:
        """See `NextItemModel.predicted_share`."""
        return self._mask_share

    def learning_batch(self, windows: Windows, numbers: NDArray[np.int64], seed: int, epoch: int) -> SequenceBatch:
        """See `NextItemModel.learning_batch`."""
        return random_masks(windows, numbers, self.max_length, self._mask_share, seed, epoch)

    def ranking_batches(
        self, instances: Instances, max_positions: int
    ) -> Iterator[tuple[NDArray[np.int64], SequenceBatch]]:
        """See `NextItemModel.ranking_batches`."""
        return mask_behind(instances, self.max_length, max_positions)

    def reference_batches(
        self, windows: Windows, max_positions: int
    ) -> Iterator[tuple[NDArray[np.int64], SequenceBatch]]:
        """See `NextItemModel.reference_batches`."""
        return every_mask_once(windows, self.max_length, max(2, round(1 / self._mask_share)), max_positions)

    def hidden(self, batch: SequenceBatch) -> Tensor:
        """Hidden states, shape (B, L, D); zeros where nothing is predicted."""
        L = batch.items.shape[1]
        x: Tensor = torch.where((batch.items == MASK)[..., None], self.mask, self.items(batch.items))
        from_end = batch.lengths[:, None] - 1 - torch.arange(L, device=x.device)
        x = self.dropout(self.norm(x + F.embedding(from_end.clamp(min=0), self.positions(L))))
        readable = batch.items != PADDING
        for block in self.blocks[:-1]:
            x = block(x, readable)
        x = self.blocks[-1](x, readable, only=batch.positions)  # (P, D)
        x = self.output_norm(F.gelu(self.output(x)))
        return at_their_places(x, batch)

    def scores(self, hidden: Tensor, items: Tensor | None = None) -> Tensor:
        """See `NextItemModel.scores`."""
        return self.items.scores(hidden, items)
