"""TracIn on the output layer: how much an interaction, trained on, moved the loss on test instances, or its own.

Pruthi, Liu, Kale, Sundararajan: Estimating training data influence by tracing gradient descent (NeurIPS 2020,
https://arxiv.org/abs/2002.08484), Eq. 4, with the item table and the bias that score as the only parameters. The
gradient of an instance's cross-entropy by them is (p - y) h^T and p - y, for its hidden state h, its probabilities p
and its one-hot target y; so all test instances are summed up once, and each training instance costs one product.
"""

from collections.abc import Iterator, Sequence
from typing import Final, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from finestrec.data.sequences import Instances, SequenceBatch
from finestrec.errors import OptionError, UnsupportedError
from finestrec.models import NextItemModel
from finestrec.models.base import ItemTable
from finestrec.ranking import POSITIONS_PER_BATCH, hidden_chunks
from finestrec.training.state import TrainingState
from finestrec.training.trained import TrainedModel

On = Literal["test", "self"]
KINDS: Final[tuple[On, ...]] = get_args(On)


def influence(
    trained: TrainedModel, states: Sequence[TrainingState], test: Instances, *, on: On = "test"
) -> NDArray[np.float64]:
    """The influence of each training interaction.

    Args:
        trained: The model, its training log and its learning rate.
        states: Of the epochs to sum over, e.g. all that `fit(..., on_epoch=states.append)` was given.
        test: Instances with known targets; not looked at for `on="self"`.
        on: test: on the mean test loss; above 0, steps on the interaction lowered it. self: on its own loss, 0 or more,
            high where the model has to learn an interaction by heart.

    Returns:
        One number a row of the training log, shape (n,); 0 for rows that are no training instance. The largest absolute
        values are handed to `finestrec.perturbation.selectors.rows_with_highest`.

    Raises:
        OptionError: If there is no state, or `on` is unknown.
        UnsupportedError: If the model does not score by an item table.
    """
    if on not in KINDS:
        raise OptionError(f"unknown kind of influence {on!r}; known are {', '.join(KINDS)}")
    if not states:
        raise OptionError("influence is a sum over the states of epochs, but none was given; see fit(on_epoch=)")
    model = trained.model
    table = getattr(model, "items", None)
    if not isinstance(table, ItemTable):
        raise UnsupportedError(
            f"{type(model).__name__} does not score by an item table, so its output layer is unknown"
        )
    windows = trained.windows
    instances = windows.instances()
    scores = np.zeros(len(instances))
    final = {name: weight.clone() for name, weight in model.state_dict().items()}
    try:
        for state in states:
            model.load_state_dict(state.weights)
            gradient = _summed(model, test) if on == "test" else None
            for members, hidden, error in _errors(model, model.reference_batches(windows, POSITIONS_PER_BATCH)):
                scores[members] += trained.options.lr * _products(hidden, error, gradient).double().numpy()
    finally:
        model.load_state_dict(final)
    by_row = np.zeros(len(trained.log))
    by_row[instances.end] = scores  # an instance is named by the row that it predicts
    return by_row


def _summed(model: NextItemModel, test: Instances) -> tuple[Tensor, Tensor]:
    """The gradient of the mean test loss, by the table (N, D) and by the bias (N,)."""
    by_table, by_bias = torch.zeros(()), torch.zeros(())
    for _, hidden, error in _errors(model, model.ranking_batches(test, POSITIONS_PER_BATCH)):
        by_table, by_bias = by_table + error.T @ hidden, by_bias + error.sum(0)
    return by_table / len(test), by_bias / len(test)


def _products(hidden: Tensor, error: Tensor, gradient: tuple[Tensor, Tensor] | None) -> Tensor:
    """Of each instance's gradient with the given one, or with itself, shape (P,)."""
    if gradient is None:
        return error.square().sum(1) * (hidden.square().sum(1) + 1)
    return (error * (hidden @ gradient[0].T + gradient[1])).sum(1)


def _errors(
    model: NextItemModel, batches: Iterator[tuple[NDArray[np.int64], SequenceBatch]]
) -> Iterator[tuple[NDArray[np.int64], Tensor, Tensor]]:
    """Numbers, hidden states (P, D), and probabilities less one at the target (P, N), in evaluation mode."""
    for members, hidden, targets in hidden_chunks(model, batches):
        with torch.inference_mode():
            scores = model.scores(hidden)
        error = F.softmax(scores, dim=1)
        error[torch.arange(len(error)), targets] -= 1
        yield members, hidden, error
