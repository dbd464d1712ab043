"""Rank-biased overlap with the incumbent's lists, optimised directly."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from finestrec.data.log import InteractionLog
from finestrec.options import Options
from finestrec.stabilizers.finest import Finest
from finestrec.stabilizers.finetuning import Preserving
from finestrec.stabilizers.intruders import own_first
from finestrec.training.objectives import Curriculum, PositionScores
from finestrec.training.trained import TrainedModel


class OverlapOptions(Options):
    """Of the overlap loss; what is simulated are the options of FINEST."""

    weight: float = Field(default=1.0, ge=0)
    """Weight of 1 - overlap beside the next-item loss, both as means over instances."""
    k: int = Field(default=20, ge=1)
    """Depth to which lists are compared, capped at half the catalogue."""
    p: float = Field(default=0.9, gt=0, lt=1)
    """Persistence of the reader: the weight of depth d falls as p^(d-1)."""
    temperature: float = Field(default=0.1, gt=0)
    """Scores that are so much apart count as ordered; less gives sharper ranks and rarer gradients."""


def soft_overlap(scores: Tensor, items: Tensor, *, p: float, temperature: float) -> Tensor:
    """FRBO(p)@k of each row's list with a reference list, differentiable in the scores.

    An item at the ranks a and b of two lists is in both to every depth d >= max(a, b), so the truncated sum
    (1-p) sum_d p^(d-1) X_d / d is a sum over shared items of W(max(a, b)) with W(x) = (1-p) sum_{d >= x}^k p^(d-1) / d.
    Here b is the rank in the reference list, and a the soft rank 1 + sum_j sigmoid((s_j - s_i) / temperature) over the
    other items j of the union of the reference list and the row's own first k (Qin, Liu, Li, Information Retrieval
    2010, for soft ranks); W is interpolated between whole ranks and is 0 from k + 1 on.

    Args:
        scores: Scores of all items, shape (n, N).
        items: Reference lists, best first, shape (n, k), k <= N.
        p: Persistence, in (0, 1).
        temperature: Above 0.

    Returns:
        Shape (n,), in [0, 1]; up to the softness of ranks, 1 where the first k are the reference list.
    """
    k = items.shape[1]
    kept = scores.gather(1, items)
    # A reference item that stands among the row's own first k is one item of the union, not two.
    own, is_new = own_first(scores, items)
    others = torch.cat([kept, own], 1)
    counted = torch.cat([torch.ones_like(kept), is_new.to(scores.dtype)], 1)
    before = torch.sigmoid((others[:, None, :] - kept[:, :, None]) / temperature) * counted[:, None, :]
    # Each item was counted before itself with sigmoid(0).
    ranks = 1 + before.sum(2) - 0.5
    depth = torch.arange(1, k + 1, device=scores.device, dtype=scores.dtype)
    later = torch.maximum(ranks, depth).clamp(max=k + 1)
    share = (1 - p) * p ** (depth - 1) / depth / (1 - p**k)
    weight = torch.cat([share.flip(0).cumsum(0).flip(0), share.new_zeros(2)])  # of whole ranks, from 1
    low = later.detach().floor().long()
    fraction = later - low
    found = weight[low - 1] * (1 - fraction) + weight[low] * fraction
    return found.sum(1)


def _loss(options: OverlapOptions, scores: PositionScores, items: Tensor) -> Tensor:
    first = items[:, : items.shape[1] // 2]
    return 1 - soft_overlap(scores.all, first, p=options.p, temperature=options.temperature)


@dataclass(frozen=True)
class OverlapTuning(Preserving):
    """FINEST with 1 - soft FRBO(p)@k in place of its margins; see `soft_overlap`.

    The student's own first items are in the loss: an intruder that climbs above the reference list pushes the ranks of
    all of it, which FINEST's challengers, taken from the incumbent's list, do not see.
    """

    options_type: ClassVar[type[Options]] = OverlapOptions
    of_finest: ClassVar[frozenset[str]] = Preserving.of_finest | {
        "rho",
        "kinds",
        "substitute",
        "next_item",
        "teacher",
        "average",
    }

    def curriculum(self, log: InteractionLog, seed: int, anchor: TrainedModel) -> Curriculum:
        """Simulated perturbations and both losses."""
        references = self.lists(anchor, self.options.k, log.n_items)
        loss = partial(_loss, self.options)
        return Finest(
            log, references, self.recipe.finest, self.recipe.finetuning, seed, loss=loss, weight=self.options.weight
        )
