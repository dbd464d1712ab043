"""A later log beside a finished run: what of it is trained on, under the run's ids and vocabulary."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finestrec.data.alignment import align, under_vocabulary
from finestrec.data.log import InteractionLog, Vocabulary
from finestrec.data.splits import Split, split
from finestrec.errors import DataError
from finestrec.runs.run import Run
from finestrec.runs.tables import StoredLog


@dataclass(frozen=True, eq=False)
class Night:
    """A later log, ready to be trained on.

    Attributes:
        stored: What the new run is made from.
        train: Its training interactions.
        new: Training interactions that the incumbent was not trained on.
        gone: The incumbent's training interactions that the later log lacks.
        held_back: Interactions that come after a user's first test interaction and are no test interactions
            themselves: with them, what is held out would leak into training.
        other_users: Users who take no part.
        new_users: Users whom the incumbent does not know.
        new_items: Items that the incumbent does not know.
        retired: Raw ids of items that the incumbent knows and the later log lacks.
    """

    stored: StoredLog
    train: InteractionLog
    new: int
    gone: int
    held_back: int
    other_users: int
    new_users: int
    new_items: int
    retired: pl.Series

    def summary(self) -> dict[str, int]:
        """The counts."""
        return {
            "training_interactions": len(self.train),
            "new": self.new,
            "gone": self.gone,
            "held_back": self.held_back,
            "other_users": self.other_users,
            "new_users": self.new_users,
            "new_items": self.new_items,
            "retired_items": len(self.retired),
        }


def next_night(incumbent: Run, later: InteractionLog) -> Night:
    """Align a later log with a run's and split it as the run's was; users and items stay the run's.

    Batches are dealt as the incumbent's were, so that what differs is the data.

    Args:
        incumbent: The run; its test interactions stay test, and nothing after a user's first one is trained on.
        later: The whole later log, not only what is new, under a vocabulary of its own.

    Raises:
        DataError: If there is an item that the run does not know, or none of its users, or nothing to train on.
    """
    whole = align(later, incumbent.log)
    log = _of_users(whole, incumbent.split.log.vocabulary)
    is_train = _before_test(log, incumbent)
    if not is_train.any():
        raise DataError(
            f"the new log has nothing to train on: {len(log):,} of its {len(whole):,} interactions are of users of"
            " the run, and none comes before a test interaction; --log takes the whole log, not only what is new"
        )
    parts = Split(log, np.bincount(log.users[is_train], minlength=log.n_users))
    night = _night(incumbent, StoredLog(whole, parts, incumbent.stored.test_ids))
    return replace(night, train=replace(night.train, origin=incumbent.trained.log))


def growing_night(incumbent: Run, later: InteractionLog) -> Night:
    """Align a later log with a run's, let users and items grow, and split it anew.

    New users (of the run's minimum length) and new items come after the known ones, so every known index and row
    stays what it was. What the incumbent was trained on stays training; of the rest, the run's split rule holds out
    the end of each history.

    Args:
        incumbent: The run.
        later: The whole later log, not only what is new, under a vocabulary of its own.

    Raises:
        DataError: If there is nothing to train on, or nothing held out by a split that should.
    """
    whole = align(later, incumbent.log)
    vocabulary = _grown_vocabulary(whole, incumbent)
    log = _of_users(whole, vocabulary)
    n_train = split(log, incumbent.config.split).n_train
    was_trained = np.flatnonzero(np.isin(log.interaction_ids, incumbent.trained.log.interaction_ids))
    np.maximum.at(n_train, log.users[was_trained], was_trained - log.offsets[log.users[was_trained]] + 1)
    parts = Split(log, n_train)
    return _night(incumbent, StoredLog(whole, parts, log.interaction_ids[~parts.is_train]))


def _of_users(whole: InteractionLog, vocabulary: Vocabulary) -> InteractionLog:
    """The interactions of the vocabulary's users, under it."""
    known = whole.vocabulary.users.is_in(vocabulary.users.implode()).to_numpy()
    return under_vocabulary(whole.keep(known[whole.users]), vocabulary)


def _grown_vocabulary(whole: InteractionLog, incumbent: Run) -> Vocabulary:
    """The incumbent's users and items, then new ones in ascending order."""
    old = incumbent.split.log.vocabulary
    users = whole.vocabulary.users
    is_old = users.is_in(old.users.implode())
    is_new = ~is_old & pl.Series(whole.lengths >= incumbent.config.data.min_length)
    takes_part = (is_old | is_new).to_numpy()
    occurs = np.bincount(whole.items[takes_part[whole.users]], minlength=whole.n_items) > 0
    items = whole.vocabulary.items.filter(pl.Series(occurs))
    return Vocabulary(
        users=pl.concat([old.users, users.filter(is_new)]),
        items=pl.concat([old.items, items.filter(~items.is_in(old.items.implode()))]),
    )


def _night(incumbent: Run, stored: StoredLog) -> Night:
    train, old = stored.split.train, incumbent.trained.log
    before, after = incumbent.split.log.vocabulary, stored.split.log.vocabulary
    held_out = stored.split.log.interaction_ids[~stored.split.is_train]
    takes_part = stored.whole.vocabulary.users.is_in(after.users.implode()).to_numpy()
    return Night(
        stored=stored,
        train=train,
        new=int((~np.isin(train.interaction_ids, old.interaction_ids)).sum()),
        gone=int((~np.isin(old.interaction_ids, train.interaction_ids)).sum()),
        held_back=int((~np.isin(held_out, stored.test_ids)).sum()),
        other_users=int((~takes_part & (stored.whole.lengths > 0)).sum()),
        new_users=len(after.users) - len(before.users),
        new_items=len(after.items) - len(before.items),
        retired=before.items.filter(~before.items.is_in(stored.whole.vocabulary.items.implode())),
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
