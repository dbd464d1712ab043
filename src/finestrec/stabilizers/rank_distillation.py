"""Distillation on the items that matter: the first of the incumbent, and the student's own first ones."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from finestrec.options import Options
from finestrec.stabilizers.teaching import Comparison, Distillation, DistillationOptions


class RankDistillationOptions(DistillationOptions):
    """Of rank distillation."""

    k: int = Field(default=10, ge=1)
    """K: how many first items of the incumbent, and as many of the student, are compared; at most the catalogue."""


def union_cross_entropy(
    student: Tensor,
    teacher: Tensor,
    targets: Tensor,  # noqa: ARG001
    *,
    k: int,
    temperature: float,
) -> Tensor:
    """Cross-entropy of the student against the teacher on the union of their first K items; see `Comparison`.

    T^2 * -sum_i q_i log p_i over the union, q and p the softmax of the teacher's and the student's scores / T, taken
    over the union alone.
    """
    k = min(k, student.shape[1])
    union = torch.zeros_like(student, dtype=torch.bool)
    for scores in (teacher, student):
        union.scatter_(1, scores.topk(k).indices, value=True)
    q = (teacher / temperature).masked_fill(~union, -torch.inf).softmax(-1)
    log_p = (student / temperature).masked_fill(~union, -torch.inf).log_softmax(-1)
    return -(temperature**2) * (q * log_p.masked_fill(~union, 0)).sum(-1)


@dataclass(frozen=True)
class RankDistillation(Distillation):
    """The comparison is the cross-entropy on the union of the incumbent's and the student's first K items.

    After Zhu, Zhang: Rejuvenating cross-entropy loss in knowledge distillation for recommender systems (RCE-KD,
    https://arxiv.org/abs/2509.20989). They prove that cross-entropy on a subset of the items bounds NDCG on it only if
    the subset is closed: with an item, all that the student ranks above it are in it. Items of the teacher alone leave
    the student's intruders out. Their method splits the teacher's items by whether the student ranks them high too,
    draws more items for those that it does not, and weighs the two losses adaptively. What is computed here follows the
    idea and not the formulas: one loss on the union, in which every intruder among the first K is, with nothing drawn.
    """

    options_type: ClassVar[type[Options]] = RankDistillationOptions

    @property
    def comparison(self) -> Comparison:
        """See `Distillation.comparison`."""
        return partial(union_cross_entropy, k=self.options.k, temperature=self.options.temperature)
