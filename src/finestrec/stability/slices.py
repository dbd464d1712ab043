"""Groups of test instances by what is known of the user, the target and the perturbation.

Each slice is a column of names of groups, one a test instance, of an ordered `polars.Enum`. What is counted is counted
in the unperturbed training log, so that a perturbation moves nobody from one group to another.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finestrec.data.log import TICKS_PER_DAY, InteractionLog, Vocabulary
from finestrec.data.sequences import Instances
from finestrec.data.usertables import UserTable
from finestrec.errors import DataError
from finestrec.measures.accuracy import ndcg
from finestrec.stability.comparing import MEASURES, WHOLE_CATALOGUE
from finestrec.stability.groups import named, quarters, user_slices
from finestrec.stability.touch import erased, touched_users

UNTOUCHED: Final = "untouched"
TOUCHED: Final = "touched"
ERASED: Final = "erased"
TARGET_ERASED: Final = "target erased"
APART: Final = (ERASED, TARGET_ERASED)
"""Groups of `TOUCH` that leave every headline number."""
TOUCH: Final = "touch"
OURS: Final = ("activity", "recency", "popularity", "target_rank", "user_ndcg", TOUCH, "erased_item_listed")
"""The slices that every audit has, where they have more than one group."""
COLUMNS: Final = frozenset(
    {"user_id", "interaction_id", *MEASURES, WHOLE_CATALOGUE, "old_rank", "new_rank", "old_items", "new_items"}
)
"""What else stands in the table of a comparison."""
_RANKS: Final = (1, 10, 100)
_NDCG: Final = (0.0, 0.2, 0.5)


def log_slices(train: InteractionLog, test: Instances) -> pl.DataFrame:
    """Slices that need no model: activity, recency and popularity, each in quarters.

    activity: training interactions of the user. recency: days from the user's last training interaction to the last
    one of the log. popularity: training interactions with the target. Quarters are of users, for popularity of
    instances; equal values stay together, so quarters can differ in size.

    Args:
        train: The unperturbed training log.
        test: With known targets.

    Returns:
        One line an instance.
    """
    users = np.unique(test.users)
    has_any = train.lengths > 0
    last = np.zeros(train.n_users, dtype=np.int64)
    last[has_any] = train.times[train.offsets[1:][has_any] - 1]
    days = (int(train.times.max()) - last) / TICKS_PER_DAY[train.time_unit]
    days[~has_any] = np.nan
    return pl.DataFrame(
        {
            "activity": quarters(train.lengths, users).gather(test.users),
            "recency": quarters(np.round(days, 1), users).gather(test.users),
            "popularity": quarters(train.item_counts[test.targets], np.arange(len(test))),
        }
    )


def accuracy_slices(ranks: NDArray[np.int64], users: NDArray[np.int64]) -> pl.DataFrame:
    """How well the incumbent serves: the rank of the instance's target, and the mean NDCG@10 of its user.

    The borders are fixed, so that groups mean the same for every seed and model.

    Args:
        ranks: Of the targets in the incumbent's lists, from 1, shape (n,).
        users: User of each instance, shape (n,).
    """
    _, user = np.unique(users, return_inverse=True)
    mean = np.bincount(user, ndcg(ranks, 10)) / np.bincount(user)
    return pl.DataFrame(
        {
            "target_rank": _cut(ranks, _RANKS, ("1", "2 to 10", "11 to 100", "above 100")),
            "user_ndcg": _cut(mean[user], _NDCG, ("0", "above 0 to 0.2", "above 0.2 to 0.5", "above 0.5")),
        }
    )


def change_slices(
    before: InteractionLog,
    after: InteractionLog,
    test: Instances,
    old_lists: NDArray[np.int32],
    withdrawn: NDArray[np.bool_] | None = None,
) -> pl.DataFrame:
    """What the perturbation has to do with an instance.

    touch: the user has no training interactions left (erased); the target has been taken down and nobody can be right
    about it any more (target erased); the user has others than before (touched), or the same. Instances of the first
    two stand for themselves and leave every headline number. erased_item_listed: whether the incumbent's first ten hold
    an item that is no longer in the training log and has to make room.

    Args:
        before: The unperturbed training log.
        after: The perturbed one.
        test: The test instances.
        old_lists: The incumbent's lists, shape (n, depth).
        withdrawn: Items that have been taken down, shape (N,); none by default.
    """
    touch: NDArray[np.int64] = touched_users(before, after)[test.users].astype(np.int64)
    if withdrawn is not None:
        touch[(test.targets >= 0) & withdrawn[test.targets]] = 2
    touch[erased(before.lengths, after.lengths)[test.users]] = 3
    lost = np.append(erased(before.item_counts, after.item_counts), False)  # -1 ends a shorter list
    makes_room: NDArray[np.int64] = np.asarray(lost[old_lists[:, :10]].any(axis=1), dtype=np.int64)
    return pl.DataFrame(
        {
            TOUCH: named(touch, (UNTOUCHED, TOUCHED, TARGET_ERASED, ERASED)),
            "erased_item_listed": named(makes_room, ("no", "yes")),
        }
    )


def table_slices(known: UserTable, vocabulary: Vocabulary) -> pl.DataFrame:
    """Columns that describe users, as slices: one line a user of the vocabulary; see `user_slices`.

    Raises:
        DataError: As there; or if a name is one of ours.
    """
    taken = sorted({*known.properties.columns} & {*OURS, *COLUMNS})
    if taken:
        raise DataError(f"{known.source} has a column {taken[0]}, which every audit has itself; rename it")
    slices, _ = user_slices(known, vocabulary.users, is_text=False, owner="the log")
    return slices


def _cut(values: NDArray[np.generic], borders: Sequence[float], labels: Sequence[str]) -> pl.Series:
    group: NDArray[np.int64] = np.asarray(np.searchsorted(np.asarray(borders), np.atleast_1d(values)))
    return named(group, labels)
