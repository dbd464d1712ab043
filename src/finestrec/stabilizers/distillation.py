"""Distillation of the incumbent's probabilities: everywhere alike, or rather where it was right."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from pydantic import Field
from torch import Tensor

from finestrec.options import Options
from finestrec.stabilizers.teaching import Comparison, Distillation, DistillationOptions, divergence


@dataclass(frozen=True)
class ChurnDistillation(Distillation):
    """The comparison is T^2 * KL(p_incumbent || p_student), p the softmax over the catalogue at temperature T.

    Jiang, Narasimhan, Bahri, Cotter, Rostamizadeh: Churn reduction via distillation (ICLR 2022,
    https://arxiv.org/abs/2106.02654), who mix the labels and the incumbent's probabilities, in shares that add to 1, as
    the targets of one cross-entropy. At T = 1 that is this loss up to a factor, the weight being the ratio of the
    shares: cross-entropy and KL differ by the incumbent's entropy, which has no gradient.
    """

    @property
    def comparison(self) -> Comparison:
        """See `Distillation.comparison`."""
        return partial(divergence, temperature=self.options.temperature)


class FocalDistillationOptions(DistillationOptions):
    """Of focal distillation."""

    alpha: float = Field(default=1.0, ge=0)
    """What every instance weighs."""
    beta: float = Field(default=5.0, ge=0)
    """What an instance weighs more if the incumbent's first item is the next one."""


def focal_divergence(
    student: Tensor, teacher: Tensor, targets: Tensor, *, temperature: float, alpha: float, beta: float
) -> Tensor:
    """`divergence` times alpha + beta * [the teacher's first item is the next one]; see `Comparison`."""
    is_right = teacher.argmax(-1) == targets
    return (alpha + beta * is_right) * divergence(student, teacher, targets, temperature=temperature)


@dataclass(frozen=True)
class FocalDistillation(Distillation):
    """As churn distillation, where each instance weighs alpha + beta * [the incumbent's first item is the next one].

    Yan et al.: Positive-congruent training: towards regression-free model updates (CVPR 2021,
    https://arxiv.org/abs/2011.09161), in the variant with KL and with their alpha and beta; their other variant has the
    squared distance of the logits in its place. It is against negative flips: what was right is to stay right.
    """

    options_type: ClassVar[type[Options]] = FocalDistillationOptions

    @property
    def comparison(self) -> Comparison:
        """See `Distillation.comparison`."""
        options = self.options
        return partial(focal_divergence, temperature=options.temperature, alpha=options.alpha, beta=options.beta)
