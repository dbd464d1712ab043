"""What transformers share: positions, attention within a row, and the block around it.

Vaswani et al., NeurIPS 2017, https://arxiv.org/abs/1706.03762.
"""

from collections.abc import Callable
from typing import Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from finestrec.errors import OptionError
from finestrec.models.base import Dropout, ModelOptions

# Axes: B rows, L positions, D hidden, H heads, d = D / H channels of a head.


class AttentionOptions(ModelOptions):
    """Sizes of models that attend."""

    heads: int = Field(default=1, ge=1)
    """Heads of each attention; they share the width, so they must divide model.hidden."""

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.hidden % self.heads:
            raise ValueError(f"model.heads is {self.heads}; it must divide model.hidden, which is {self.hidden}")
        return self


class PositionTable(nn.Module):
    """One learnt row a position, counted from the start of the input, so that a prefix has the same positions."""

    def __init__(self, max_length: int, hidden: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(max_length, hidden))

    def forward(self, length: int) -> Tensor:
        """The rows of the first positions, shape (L, D).

        Raises:
            OptionError: If there are more positions than rows.
        """
        known = len(self.weight)
        if length > known:
            raise OptionError(
                f"an input has {length} interactions, and the model has positions for {known}: cut the inputs to"
                f" their last {known}, or train with training.max_length={length}"
            )
        return self.weight[:length]


class SelfAttention(nn.Module):
    """Every position reads positions of its row.

    The projections have no bias, as in SASRec: that of the keys would shift all scores of a query alike, so its
    gradient is rounding noise, which Adam blows up to full steps.
    """

    def __init__(self, options: AttentionOptions) -> None:
        super().__init__()
        D = options.hidden
        self.heads = options.heads
        self.project_in = nn.Linear(D, 3 * D, bias=False)  # queries, keys and values in one product
        self.project_out = nn.Linear(D, D)

    def forward(self, x: Tensor, readable: Tensor | None = None, *, only: Tensor | None = None) -> Tensor:
        """Shape (B, L, D) to (B, L, D), or (P, D) for P positions only.

        Args:
            x: Shape (B, L, D).
            readable: Positions that all others of the row may read, bool, shape (B, L), at least one a row. None is
                causal: each position reads itself and those before it, hence no padding, which is on the right.
            only: Indices into the B * L positions, ascending, shape (P,).
        """
        if only is not None:
            return self._of_some(x, readable, only)
        q, k, v = self._heads(self.project_in(x), 3)
        mask = None if readable is None else readable[:, None, None]
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=readable is None)
        return self.project_out(y.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def _of_some(self, x: Tensor, readable: Tensor | None, only: Tensor) -> Tensor:
        """Queries of some positions: those of a row side by side, and padded to the most that a row has."""
        B, L, D = x.shape
        of_queries, of_the_rest = self.project_in.weight.tensor_split((D,))
        row, column = only // L, only % L
        n_asked = torch.bincount(row, minlength=B)
        most = int(n_asked.max()) if len(only) else 0
        slot = row * most + torch.arange(len(only), device=x.device) - (n_asked.cumsum(0) - n_asked)[row]
        q = F.linear(x.flatten(0, 1).index_select(0, only), of_queries)
        q = q.new_zeros(B * most, D).index_copy(0, slot, q).view(B, most, D)
        (q,), (k, v) = self._heads(q, 1), self._heads(F.linear(x, of_the_rest), 2)
        if readable is None:
            last = column.new_zeros(B * most).index_copy(0, slot, column).view(B, 1, most, 1)
            mask = torch.arange(L, device=x.device) <= last
        else:
            mask = readable[:, None, None]
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.project_out(y.transpose(1, 2).reshape(B * most, D).index_select(0, slot))  # type: ignore[no-any-return]

    def _heads(self, x: Tensor, n: int) -> Tensor:
        """Shape (B, L, n * D) to (n, B, H, L, d), a view."""
        return x.unflatten(2, (n, self.heads, -1)).permute(2, 0, 3, 1, 4)  # type: ignore[no-any-return,no-untyped-call]


class TransformerBlock(nn.Module):
    """Attention and a feed-forward layer, each with dropout, residual and layer norm."""

    def __init__(
        self,
        attention: nn.Module,
        options: AttentionOptions,
        *,
        inner: int,
        activation: Callable[[Tensor, nn.Linear, Dropout], Tensor],
        norm_first: bool,
    ) -> None:
        """A block.

        Args:
            attention: (B, L, D) to (B, L, D), e.g. `SelfAttention`.
            options: The model's.
            inner: Width inside the feed-forward layer.
            activation: What is inside it, one of `activations`.
            norm_first: x + f(norm(x)), as in SASRec; else norm(x + f(x)), as in BERT.
        """
        super().__init__()
        D = options.hidden
        self.attention = attention
        self.norm = nn.LayerNorm(D)
        self.inner = nn.Linear(D, inner)
        self.outer = nn.Linear(inner, D)
        self.outer_norm = nn.LayerNorm(D)
        self.dropout = Dropout(options.dropout)
        self._activation = activation
        self._norm_first = norm_first

    def forward(self, x: Tensor, *context: Tensor | None, only: Tensor | None = None) -> Tensor:
        """Shape (B, L, D) to (B, L, D); what follows `x` is handed to the attention.

        Args:
            x: Shape (B, L, D).
            *context: For the attention.
            only: Indices into the B * L positions, ascending, shape (P,): the result is wanted for these alone, and its
                shape is (P, D).
        """
        y = self.attention(self.norm(x) if self._norm_first else x, *context, only=only)
        if only is not None:
            x = x.flatten(0, 1).index_select(0, only)
        x = x + self.dropout(y)
        if self._norm_first:
            return x + self._feed_forward(self.outer_norm(x))
        x = self.norm(x)
        return self.outer_norm(x + self._feed_forward(x))  # type: ignore[no-any-return]

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.outer(self._activation(x, self.inner, self.dropout)))  # type: ignore[no-any-return]
