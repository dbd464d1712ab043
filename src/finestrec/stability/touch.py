"""What a perturbation did to a training log: which users it touched, and how much of the log."""

import numpy as np
from numpy.typing import NDArray

from finestrec.data.log import NEW_INTERACTION, InteractionLog
from finestrec.perturbation.spec import Perturbation
from finestrec.stability.rows import LogChange


def touched_users(before: InteractionLog, after: InteractionLog) -> NDArray[np.bool_]:
    """Users whose interactions in two logs of one vocabulary differ, shape (U,)."""
    touched = before.lengths != after.lengths
    same = ~touched
    left, right = (log.interaction_ids[np.repeat(same, log.lengths)] for log in (before, after))
    users = before.users[np.repeat(same, before.lengths)]
    touched[users[left != right]] = True
    return np.asarray(touched)


def erased(before: NDArray[np.int64], after: NDArray[np.int64]) -> NDArray[np.bool_]:
    """What had interactions and has none any more.

    Args:
        before: Interactions of each user or item, shape (n,).
        after: The same after the perturbation, shape (n,).
    """
    return np.asarray((before > 0) & (after == 0))


def taken_down(
    perturbation: Perturbation | None, before: InteractionLog, after: InteractionLog
) -> NDArray[np.bool_] | None:
    """Items that a take-down has left nothing of, shape (N,); None without one.

    An item of which a few deletions happen to leave nothing is still offered, and ranked like any other.
    """
    if perturbation is None or perturbation.erases != "items":
        return None
    return erased(before.item_counts, after.item_counts)


def log_change(before: InteractionLog, after: InteractionLog) -> LogChange:
    """Counts of what differs between two training logs of one vocabulary."""
    kept = int(np.isin(after.interaction_ids[after.interaction_ids != NEW_INTERACTION], before.interaction_ids).sum())
    return {
        "interactions": len(before),
        "removed": len(before) - kept,
        "added": len(after) - kept,
        "users": int((before.lengths > 0).sum()),
        "touched_users": int(touched_users(before, after).sum()),
        "erased_users": int(erased(before.lengths, after.lengths).sum()),
        "erased_items": int(erased(before.item_counts, after.item_counts).sum()),
    }
