"""Score blending: yesterday's model and today's vote."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from finestrec.options import Options
from finestrec.ranking import target_ranks, top_k
from finestrec.stabilizers.serving import Policy, PolicyOptions, TwoModels


class BlendingOptions(PolicyOptions):
    """Of score blending."""

    alpha: float = Field(default=0.5, ge=0, le=1)
    """The incumbent's share: 0 serves the new model, 1 the incumbent."""


class _Blend(TwoModels):
    def merged(
        self, new: Tensor, old: Tensor, targets: Tensor, k: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]:
        alpha = self.options.alpha
        today, before = new.log_softmax(-1), old.log_softmax(-1)
        before = torch.where(before.isneginf(), today, before)  # only today's model knows the item
        scores = (1 - alpha) * today + alpha * before
        values, items = top_k(scores, k)
        return items.int().cpu().numpy(), values.float().cpu().numpy(), target_ranks(scores, targets).cpu().numpy()


@dataclass(frozen=True)
class Blending(Policy):
    """Items are ranked by (1 - alpha) log p_new + alpha log p_incumbent, p the softmax over the catalogue.

    Log-probabilities, because scores of two trainings need not be on one scale: a constant added to all of a model's
    scores changes nothing here. It is the logarithmic opinion pool (Genest, Zidek, Statistical Science 1986); both
    models have to be kept and asked.
    """

    options_type: ClassVar[type[Options]] = BlendingOptions
    strength: ClassVar[str | None] = "alpha"
    after_training: ClassVar[frozenset[str]] = frozenset({"alpha"})
    merging: ClassVar[type[TwoModels]] = _Blend
