"""Edits of the training part, applied to the whole log that it is part of."""

import numpy as np

from finestrec.data.identifiers import positions
from finestrec.data.log import InteractionLog
from finestrec.errors import DataError
from finestrec.perturbation.edits import Edits, edit


def edit_whole(whole: InteractionLog, train: InteractionLog, edits: Edits) -> InteractionLog:
    """Make the same edits in the log that a training log was taken from.

    Args:
        whole: Every interaction, under a vocabulary of its own.
        train: Some of them, under its own vocabulary.
        edits: What was done to `train`.

    Returns:
        `whole` edited; all other rows are as they were.

    Raises:
        DataError: If an edited interaction or a new item is not in `whole`.
    """
    by_id = np.argsort(whole.interaction_ids)
    at = np.searchsorted(whole.interaction_ids, edits.interaction_ids, sorter=by_id)
    rows = by_id[np.minimum(at, len(by_id) - 1)]
    if not np.array_equal(whole.interaction_ids[rows], edits.interaction_ids):
        raise DataError("the edits name interactions that the log lacks; they were made on another log")
    if edits.kind == "delete":
        return edit(whole, "delete", np.sort(rows)).log
    index = positions(train.vocabulary.items, whole.vocabulary.items)
    if index.null_count():
        raise DataError("the training log has items that the whole log lacks; they are not of one log")
    items = index.to_numpy().astype(np.int32)[edits.new_items]
    order = np.argsort(rows)
    return edit(whole, edits.kind, rows[order], items[order]).log
