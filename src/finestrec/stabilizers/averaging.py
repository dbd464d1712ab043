"""Averages of weights: of the incumbent and its warm start, and along the way from one to the other."""

from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from finestrec.options import Options
from finestrec.stabilizers.finetuning import WarmStart
from finestrec.training.averaging import Averaging


class InterpolationOptions(Options):
    """Of interpolation."""

    alpha: float = Field(default=0.5, ge=0, le=1)
    """The incumbent's share: 0 is the warm start, 1 the incumbent."""


@dataclass(frozen=True)
class Interpolation(WarmStart):
    """(1 - alpha) * the weights of a warm start + alpha * the incumbent's.

    WiSE-FT: Wortsman et al., Robust fine-tuning of zero-shot models (CVPR 2022, https://arxiv.org/abs/2109.01903),
    whose alpha is the share of the fine-tuned weights. Rows of items that are new to the incumbent are the
    warm start's.
    """

    options_type: ClassVar[type[Options]] = InterpolationOptions
    strength: ClassVar[str | None] = "alpha"
    after_training: ClassVar[frozenset[str]] = frozenset({"alpha"})
    preserves: ClassVar[bool] = True

    @property
    def trained_as(self) -> str:
        """A warm start is what is trained."""
        return WarmStart(self.recipe).trained_as


class EMAOptions(Options):
    """Of the exponential moving average."""

    decay: float = Field(default=0.99, ge=0, le=1)
    """What each step leaves of the average: 0 is the warm start, 1 the incumbent."""


@dataclass(frozen=True)
class EMA(WarmStart):
    """A warm start that ends with the exponential moving average of its weights over the steps.

    The average begins as the incumbent's weights; after each step it is decay * average + (1 - decay) * weights
    (Tarvainen, Valpola: Mean teachers are better role models, NeurIPS 2017). After n steps the incumbent's share
    in it is decay^n, so the same decay holds less where there are more batches.
    """

    options_type: ClassVar[type[Options]] = EMAOptions
    strength: ClassVar[str | None] = "decay"

    @property
    def averaging(self) -> Averaging:
        """See `FineTuning.averaging`."""
        return Averaging(decay=self.options.decay)


class SWAOptions(Options):
    """Of stochastic weight averaging."""

    start: float = Field(default=0.0, ge=0, le=1)
    """Share of the epochs, from the first, that is left out; at 1 the last one alone is left: the warm start."""


@dataclass(frozen=True)
class SWA(WarmStart):
    """A warm start that ends with the equal average of its weights after each epoch.

    Izmailov et al.: Averaging weights leads to wider optima and better generalization (UAI 2018,
    https://arxiv.org/abs/1803.05407), Algorithm 1 with one epoch as the cycle and a constant learning rate, and without
    the weights that it starts from in the average.
    """

    options_type: ClassVar[type[Options]] = SWAOptions

    @property
    def averaging(self) -> Averaging:
        """See `FineTuning.averaging`."""
        epochs = self.recipe.finest.epochs
        return Averaging(skipped=min(int(self.options.start * epochs), epochs - 1))
