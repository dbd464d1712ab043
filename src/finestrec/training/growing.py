"""A trained state for a catalogue that has grown: old rows stay as they are, new items get rows of their own."""

from dataclasses import replace

import torch
from torch import Tensor

from finestrec.errors import OptionError
from finestrec.models import NextItemModel
from finestrec.training.state import TrainingState


def grown_state(state: TrainingState, model: NextItemModel) -> TrainingState:
    """The state of a smaller catalogue, as one of a model of the same kind for a larger one.

    Args:
        state: Weights and moments for the first items of the catalogue.
        model: Of the new size, with initial weights: the rows of the new items are taken from it.

    Returns:
        Weights whose old rows are the state's and whose new ones are the model's; moments whose new rows are zero,
        as an optimizer begins; the record of the epochs.

    Raises:
        OptionError: If the weights differ in more than the number of items.
    """
    fresh = model.state_dict()
    old = state.weights
    wrong = [name for name in fresh.keys() | old.keys() if not _grows(old.get(name), fresh.get(name))]
    if wrong:
        raise OptionError(
            f"the weights {', '.join(sorted(wrong))} differ in more than the number of items; only a model of the same"
            " options can grow"
        )
    return replace(
        state,
        weights={name: _extended(old[name], rows) for name, rows in fresh.items()},
        best_weights={name: _extended(rows, fresh[name]) for name, rows in state.best_weights.items()},
        moments={key: _grown_moment(rows, fresh[key.partition("/")[2]]) for key, rows in state.moments.items()},
    )


def old_rows(grown: Tensor, old: Tensor) -> Tensor:
    """The part of a weight that an earlier one of a smaller or the same catalogue has, as a view."""
    return grown if grown.shape == old.shape else grown[: len(old)]


def _grows(old: Tensor | None, fresh: Tensor | None) -> bool:
    if old is None or fresh is None or old.dim() != fresh.dim():
        return False
    return old.shape == fresh.shape or (old.shape[1:] == fresh.shape[1:] and len(old) < len(fresh))


def _extended(old: Tensor, fresh: Tensor) -> Tensor:
    return old.clone() if old.shape == fresh.shape else torch.cat([old, fresh[len(old) :].to(old)])


def _grown_moment(moment: Tensor, fresh: Tensor) -> Tensor:
    # Adam's step count is a scalar beside a parameter of any shape.
    return moment.clone() if moment.dim() == 0 else _extended(moment, torch.zeros_like(fresh))
