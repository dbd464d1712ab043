"""Runs that end with an average of weights: a running one, on torch's `AveragedModel`, or one with another model."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from finestrec.models import NextItemModel
from finestrec.training.growing import old_rows
from finestrec.training.state import TrainingState


@dataclass(frozen=True)
class Averaging:
    """Which average a run ends with in place of its last weights.

    Attributes:
        decay: Of an exponential average, 0 to 1: it begins as the weights that the run starts from, and after each step
            it is decay * average + (1 - decay) * weights. None is the equal average of the weights after each epoch.
        skipped: Epochs, from the first, that an equal average leaves out.
    """

    decay: float | None = None
    skipped: int = 0


class RunningAverage:
    """The average so far of the weights of a model in training."""

    def __init__(
        self,
        averaging: Averaging,
        model: NextItemModel,
        optimizer: torch.optim.Optimizer,
        saved: dict[str, Tensor],
    ) -> None:
        """Begin, or go on.

        Args:
            averaging: Which average.
            model: On its device, with the weights that training starts from.
            optimizer: Its steps are what an exponential average follows.
            saved: The `state` of an earlier part of the run; empty at its beginning.
        """
        self._averaging, self._model = averaging, model
        decay = averaging.decay
        follow = None if decay is None else get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        self._average = AveragedModel(model, multi_avg_fn=follow)
        if saved:
            self._average.load_state_dict(saved)
        elif decay is not None:
            self._average.update_parameters(model)  # the first one is a copy
        if decay is not None:
            optimizer.register_step_post_hook(lambda *_: self._average.update_parameters(model))

    def after_epoch(self, epochs_done: int) -> None:
        """Take the weights after an epoch into an equal average."""
        if self._averaging.decay is None and epochs_done > self._averaging.skipped:
            self._average.update_parameters(self._model)

    def state(self) -> dict[str, Tensor]:
        """The average and what it is over, on the host: see `TrainingState.averages`."""
        return {name: tensor.detach().cpu().clone() for name, tensor in self._average.state_dict().items()}


def interpolated(state: TrainingState, old: NextItemModel, alpha: float) -> dict[str, Tensor]:
    """(1 - alpha) * the final weights of a run + alpha * those of a model.

    Args:
        state: The run's.
        old: The model; rows of items that it does not know stay the run's.
        alpha: 0 to 1.
    """
    weights = {name: weight.clone() for name, weight in state.final_weights.items()}
    for name, weight in old.state_dict().items():
        if alpha and weight.is_floating_point():
            old_rows(weights[name], weight).lerp_(weight, alpha)
    return weights
