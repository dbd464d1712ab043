"""A later log beside a finished run: what of it is trained on, under the run's ids and vocabulary."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from finestrec.data.alignment import align, under_vocabulary
from finestrec.data.log import InteractionLog
from finestrec.data.splits import Split
from finestrec.errors import DataError
from finestrec.runs.run import Run
from finestrec.runs.tables import StoredLog


@dataclass(frozen=True, eq=False)
class Night:
    """A later log, ready to be trained on.

    Attributes:
        stored: What the new run is made from.
        train: Its training interactions; batches are dealt as the incumbent's were.
        new: Training interactions that the incumbent was not trained on.
        gone: The incumbent's training interactions that the later log lacks.
        held_back: Interactions that come after a user's first test interaction and are no test interactions
            themselves: with them, what is held out would leak into training.
        other_users: Users whom the run does not know.
    """

    stored: StoredLog
    train: InteractionLog
    new: int
    gone: int
    held_back: int
    other_users: int

    def summary(self) -> dict[str, int]:
        """The counts."""
        return {
            "training_interactions": len(self.train),
            "new": self.new,
            "gone": self.gone,
            "held_back": self.held_back,
            "other_users": self.other_users,
        }


def next_night(incumbent: Run, later: InteractionLog) -> Night:
    """Align a later log with a run's and split it as the run's was.

    Args:
        incumbent: The run; its test interactions stay test, and nothing after a user's first one is trained on.
        later: The whole later log, not only what is new, under a vocabulary of its own.

    Raises:
        DataError: If there is an item that the run does not know, or none of its users, or nothing to train on.
    """
    whole = align(later, incumbent.log)
    vocabulary = incumbent.split.log.vocabulary
    known = whole.vocabulary.users.is_in(vocabulary.users.implode()).to_numpy()
    log = under_vocabulary(whole.keep(known[whole.users]), vocabulary)
    is_train = _before_test(log, incumbent)
    split = Split(log, np.bincount(log.users[is_train], minlength=log.n_users))
    if not is_train.any():
        raise DataError(
            f"the new log has nothing to train on: {len(log):,} of its {len(whole):,} interactions are of users of"
            " the run, and none comes before a test interaction; --log takes the whole log, not only what is new"
        )
    old = incumbent.trained.log
    train = replace(split.train, origin=old)
    test_ids = incumbent.stored.test_ids
    return Night(
        stored=StoredLog(whole, split, test_ids),
        train=train,
        new=int((~np.isin(train.interaction_ids, old.interaction_ids)).sum()),
        gone=int((~np.isin(old.interaction_ids, train.interaction_ids)).sum()),
        held_back=int((~is_train & ~np.isin(log.interaction_ids, test_ids)).sum()),
        other_users=int((~known & (whole.lengths > 0)).sum()),
    )


def _before_test(log: InteractionLog, incumbent: Run) -> NDArray[np.bool_]:
    """Which rows come before their user's first test interaction, in (time, id) order, shape (n,)."""
    old = incumbent.split.log
    rows = np.flatnonzero(np.isin(old.interaction_ids, incumbent.stored.test_ids))
    user, first = np.unique(old.users[rows], return_index=True)
    last = np.iinfo(np.int64).max
    time, number = np.full(old.n_users, last), np.full(old.n_users, last)
    time[user], number[user] = old.times[rows[first]], old.interaction_ids[rows[first]]
    earlier = log.times < time[log.users]
    tied = (log.times == time[log.users]) & (log.interaction_ids < number[log.users])
    return np.asarray(earlier | tied)
