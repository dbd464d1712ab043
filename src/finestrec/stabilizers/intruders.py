"""Who came into a student's list: what losses on lists see besides the reference list."""

import torch
from torch import Tensor


def own_first(scores: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """The student's own first items beside a reference list.

    Args:
        scores: The student's, shape (n, N).
        reference: Item indices, shape (n, k), k <= N.

    Returns:
        Scores of its own first k items, best first, and which of them do not stand in the reference list, each shape
        (n, k).
    """
    own, items = scores.topk(reference.shape[1])
    is_outside = torch.ones_like(scores, dtype=torch.bool).scatter_(1, reference, value=False)
    return own, is_outside.gather(1, items)
