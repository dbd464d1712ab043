"""Gap preservation: FINEST's idea with the incumbent's own gaps as margins, and its weights mixed in at the end."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from finestrec.options import Options
from finestrec.stabilizers.intruders import own_first
from finestrec.stabilizers.teaching import Comparison, Distillation


class GapOptions(Options):
    """Of gap preservation."""

    alpha: float = Field(default=0.3, ge=0, le=1)
    """The incumbent's share in the final weights: 0 leaves them as they were fine-tuned, 1 is the incumbent."""
    weight: float = Field(default=3.0, ge=0)
    """Weight of the gap loss beside the next-item loss, both as means over instances."""
    k: int = Field(default=20, ge=1)
    """K: how many first items of the incumbent, and as many of the student, are compared; at most the catalogue."""
    p: float = Field(default=0.9, gt=0, lt=1)
    """Place k weighs p^(k-1): a reader who goes on to the next item with probability p, as in rank-biased overlap."""


def gap_loss(student: Tensor, teacher: Tensor, targets: Tensor, *, k: int, p: float) -> Tensor:  # noqa: ARG001
    """How much narrower the incumbent's gaps have become, and who came in; see `Comparison`.

    With r_1..r_K the first items by the teacher's scores t, and w_k in proportion to p^(k-1), summing to 1::

        order     = sum_{k<K} w_k * max(0, (t[r_k] - t[r_{k+1}]) - (s[r_k] - s[r_{k+1}]))
        intruders = sum_{k<=K} w_k * [o_k is none of r] * max(0, s[o_k] - s[r_K]),  o_k the student's own k-th item

    Both are 0 where student and teacher score alike, whatever the scale of the scores.
    """
    k = min(k, student.shape[1])
    wanted, first = teacher.topk(k)
    kept = student.gather(1, first)
    own, is_new = own_first(student, first)
    share = p ** torch.arange(k, device=student.device, dtype=student.dtype)
    narrower = torch.relu(wanted[:, :-1] - wanted[:, 1:] - kept[:, :-1] + kept[:, 1:])
    order = (narrower * (share[:-1] / share[:-1].sum())).sum(1)
    intruders = (torch.relu(own - kept[:, -1:]) * is_new * (share / share.sum())).sum(1)
    return order + intruders


@dataclass(frozen=True)
class GapTuning(Distillation):
    """F epochs of next-item loss + weight * `gap_loss`, then alpha of the incumbent's weights mixed in.

    What differs from FINEST (which of it does what was not taken apart):

    - The margin between neighbours is the incumbent's own gap and not a constant, so the loss is 0 on a model that
      changed nothing, and gaps that grow cost nothing.
    - Places weigh less with rank, since first places are what is seen.
    - The student's own first items are in the loss; FINEST's challengers are those of the incumbent, so an item from
      far below that climbs into the list meets no resistance.
    - The incumbent is asked on the batches themselves, so every instance takes part, and nothing is stored.
    - The final weights go alpha of the way back to the incumbent (Wortsman et al., CVPR 2022; see `Interpolation`):
      along the straight line between the two, lists move back faster than accuracy.
    """

    options_type: ClassVar[type[Options]] = GapOptions
    strength: ClassVar[str | None] = "alpha"
    after_training: ClassVar[frozenset[str]] = frozenset({"alpha"})

    @property
    def comparison(self) -> Comparison:
        """See `Distillation.comparison`."""
        return partial(gap_loss, k=self.options.k, p=self.options.p)
