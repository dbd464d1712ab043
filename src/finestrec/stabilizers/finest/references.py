"""Reference lists: what a trained model ranks highest at every training instance (METHOD, section 3, step 1)."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from finestrec.data.sequences import SequenceBatch
from finestrec.errors import OptionError
from finestrec.models import NextItemModel
from finestrec.ranking import POSITIONS_PER_BATCH, score_chunks, top_k
from finestrec.training.trained import TrainedModel

_IN_MEMORY_BYTES = 1 << 30


@dataclass(frozen=True, eq=False)
class ReferenceLists:
    """The 2K best items of each training instance, named by the interaction that the instance predicts.

    Attributes:
        ids: Interaction ids, ascending, int64, shape (n,).
        items: Item indices, best first, int32, shape (n, 2K); the first K are to be preserved, the others are
            their challengers. Memory-mapped when large.
    """

    ids: NDArray[np.int64]
    items: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def k(self) -> int:
        """K."""
        return int(self.items.shape[1]) // 2

    def find(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row of each id, or -1 where there is no list: new interactions, and those that slid into a window."""
        if len(self.ids) == 0:
            return np.full(len(ids), -1)
        row = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return np.where(self.ids[row] == ids, row, -1)


def reference_lists(trained: TrainedModel, k: int = 100, directory: Path | None = None) -> ReferenceLists:
    """Rank the catalogue at every training instance of a trained model, in evaluation mode.

    Args:
        trained: The model; its own training log and windows are meant.
        k: K, capped at half the catalogue.
        directory: Where lists of over 1 GiB are kept while they are in use; the system's temporary folder by default.

    Returns:
        Lists in order of (score descending, item index ascending).

    Raises:
        OptionError: If K is below 1 or the catalogue has fewer than 2 items.
        TrainingError: If a score is NaN.
    """
    k = _capped(k, trained.model.n_items)
    windows = trained.windows
    ids = windows.instances().ids
    named = np.flatnonzero(ids >= 0)  # what was substituted or inserted has no name to be found by
    named = named[np.argsort(ids[named])]
    row_of = np.full(len(ids), -1)
    row_of[named] = np.arange(len(named))
    items = _allocate((len(named), 2 * k), directory)
    batches = trained.model.reference_batches(windows, POSITIONS_PER_BATCH)
    for members, scores, _ in score_chunks(trained.model, batches):
        rows = row_of[members]
        items[rows[rows >= 0]] = top_k(scores, 2 * k)[1].cpu().numpy()[rows >= 0]
    return ReferenceLists(ids=ids[named], items=items)


def _allocate(shape: tuple[int, int], directory: Path | None) -> NDArray[np.int32]:
    if shape[0] * shape[1] * 4 <= _IN_MEMORY_BYTES:
        return np.empty(shape, dtype=np.int32)
    # The file has no name, so it is gone when the last user of the array is.
    with tempfile.TemporaryFile(dir=directory) as file:
        return np.memmap(file, dtype=np.int32, mode="w+", shape=shape)


class TeacherLists:
    """The same lists, made for each batch by a trained model that is asked over the batch's own sequences.

    Attributes:
        k: K.
    """

    def __init__(self, model: NextItemModel, n_items: int, k: int) -> None:
        """Take over a model that nobody else uses, in evaluation mode.

        Args:
            model: Of the catalogue that batches are of.
            n_items: How many items, from the first, it was trained on; others stand in no list.
            k: K, capped at half of those.

        Raises:
            OptionError: As `reference_lists`.
        """
        self.k = _capped(k, n_items)
        self._model = model.eval().requires_grad_(False)
        self._n_items = n_items

    def __call__(self, batch: SequenceBatch) -> Tensor:
        """Lists at the predicted positions, item indices, shape (P, 2K).

        Raises:
            TrainingError: If a score is NaN.
        """
        self._model.to(batch.items.device)
        with torch.no_grad():
            scores = self._model.scores(batch.at_positions(self._model.hidden(batch)))
            return top_k(scores[:, : self._n_items], 2 * self.k)[1]


def _capped(k: int, n_items: int) -> int:
    if k < 1 or n_items < 2:
        raise OptionError(
            f"K is {k} on a catalogue of {n_items}; K must be 1 or more, and the catalogue at least 2 items"
        )
    return min(k, n_items // 2)
