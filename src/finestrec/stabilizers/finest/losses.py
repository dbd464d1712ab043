"""FINEST's rank-preserving loss (METHOD, section 3, step 4; Oh et al., arXiv 2402.03481, Eqs. 4-6)."""

from collections.abc import Collection
from typing import Literal

import torch
from torch import Tensor

Term = Literal["order", "margin"]


def rank_preserving_loss(
    scores: Tensor,
    *,
    order_margin: float = 0.1,
    challenger_margin: float = 0.1,
    terms: Collection[Term] = ("order", "margin"),
) -> Tensor:
    """How far present scores are from keeping a reference order.

    Args:
        scores: Scores of the reference items r_1..r_2K of each instance in reference order, shape (n, 2K), K >= 1.
        order_margin: m1, by which r_k should lead r_{k+1} within the first K.
        challenger_margin: m2, by which r_k should lead its challenger r_{K+k}.
        terms: What is summed.

    Returns:
        order(n) + margin(n) of each instance, or one of them, shape (n,), 0 or more. order(n) is the mean over
        k = 1..K-1 of max(0, m1 - (s[r_k] - s[r_{k+1}])), and 0 for K = 1; margin(n) the mean over k = 1..K of
        max(0, m2 - (s[r_k] - s[r_{K+k}])).

    >>> rank_preserving_loss(torch.tensor([[3.0, 2.0, 1.95, 0.0]])).tolist()
    [0.0]
    >>> round(rank_preserving_loss(torch.tensor([[2.0, 3.0, 0.0, 0.0]])).item(), 4)
    1.1
    """
    k = scores.shape[-1] // 2
    kept, challengers = scores[..., :k], scores[..., k:]
    loss = scores.new_zeros(scores.shape[:-1])
    if "margin" in terms:
        loss = loss + torch.relu(challenger_margin - kept + challengers).mean(-1)
    if "order" in terms and k > 1:
        loss = loss + torch.relu(order_margin - kept[..., :-1] + kept[..., 1:]).mean(-1)
    return loss
