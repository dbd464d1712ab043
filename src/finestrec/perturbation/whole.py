"""Edits of the training part, applied to the whole log that it is part of."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from finestrec.data.identifiers import positions
from finestrec.data.log import InteractionLog
from finestrec.errors import DataError
from finestrec.perturbation.edits import Edits, PerturbedLog, edit
from finestrec.perturbation.selectors import rows_of


def edit_whole(whole: InteractionLog, train: InteractionLog, edits: Edits) -> InteractionLog:
    """Make the same edits in the log that a training log was taken from.

    Args:
        whole: Every interaction, under a vocabulary of its own.
        train: Some of them, under its own vocabulary.
        edits: What was done to `train`: delete, replace or insert.

    Returns:
        `whole` edited; all other rows are as they were.

    Raises:
        DataError: If an edited interaction or a new item is not in `whole`.
    """
    rows = _rows_of_ids(whole, edits.interaction_ids)
    if edits.kind == "delete":
        return edit(whole, "delete", np.sort(rows)).log
    assert edits.kind != "append"
    index = positions(train.vocabulary.items, whole.vocabulary.items)
    if index.null_count():
        raise DataError("the training log has items that the whole log lacks; they are not of one log")
    items = index.to_numpy().astype(np.int32)[edits.new_items]
    order = np.argsort(rows)
    return edit(whole, edits.kind, rows[order], items[order]).log


def erase_whole(
    whole: InteractionLog, train: InteractionLog, edits: Edits, unit: Literal["users", "items"]
) -> PerturbedLog:
    """Delete every interaction of the users or items that were deleted from a training log, held-out ones included.

    Args:
        whole: Every interaction, under a vocabulary of its own.
        train: Some of them, under its own vocabulary.
        edits: The deletions in `train`.
        unit: Whose interactions go.

    Returns:
        `whole` without them, and the edits of `whole`.
    """
    if unit == "users":
        ids, vocabulary = train.vocabulary.users.gather(np.unique(edits.users)), whole.vocabulary.users
    else:
        ids, vocabulary = train.vocabulary.items.gather(np.unique(edits.old_items)), whole.vocabulary.items
    return edit(whole, "delete", rows_of(whole, unit, positions(ids, vocabulary).to_numpy()))


def before_night(whole: InteractionLog, edits: Edits) -> InteractionLog:
    """The whole log without the interactions that were appended to its training part.

    Raises:
        DataError: If one of them is not in `whole`.
    """
    return edit(whole, "delete", np.sort(_rows_of_ids(whole, edits.interaction_ids))).log


def _rows_of_ids(log: InteractionLog, ids: NDArray[np.int64]) -> NDArray[np.int64]:
    by_id = np.argsort(log.interaction_ids)
    at = np.searchsorted(log.interaction_ids, ids, sorter=by_id)
    rows = by_id[np.minimum(at, len(by_id) - 1)]
    if not np.array_equal(log.interaction_ids[rows], ids):
        raise DataError("the edits name interactions that the log lacks; they were made on another log")
    return rows
