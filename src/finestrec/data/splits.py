"""Which interactions are trained on and which are held out (METHOD, section 1).

A split is a number of training interactions per user: the rest of the user's sequence is held out. It is made
once, on the unperturbed log, and never again.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from finestrec.data.log import InteractionLog
from finestrec.data.sequences import Instances, surviving_rows
from finestrec.errors import DataError, OptionError
from finestrec.options import Options

SplitMethod = Literal["last-fraction", "leave-one-out", "time", "none"]


class SplitOptions(Options):
    """How a log becomes training and test interactions."""

    method: SplitMethod = "last-fraction"
    """last-fraction: the last floor(fraction * length) interactions of each user are test; leave-one-out: the last
    one, of users with two or more; time: the last `fraction` of the whole log, by one cut in time; none: nothing, and
    everything is trained on."""
    fraction: float = Field(default=0.1, gt=0, lt=1)
    """Share of a user's sequence (last-fraction) or of the log (time) that is held out."""


@dataclass(frozen=True, eq=False)
class Split:
    """A log and the number of training interactions of each user.

    Attributes:
        log: The whole log.
        n_train: Training interactions per user, int64, shape (U,); the first ones of the user's sequence.
        origin: The training part of the unperturbed log, where `log` is an edited one.
    """

    log: InteractionLog
    n_train: NDArray[np.int64]
    origin: InteractionLog | None = None

    @cached_property
    def is_train(self) -> NDArray[np.bool_]:
        """True for training rows, shape (n,)."""
        position = np.arange(len(self.log)) - np.repeat(self.log.offsets[:-1], self.log.lengths)
        return position < np.repeat(self.n_train, self.log.lengths)

    @cached_property
    def train(self) -> InteractionLog:
        """The training interactions, under the vocabulary of the whole log."""
        return replace(self.log.keep(self.is_train), origin=self.origin)

    def held_out(self, max_length: int) -> Instances:
        """The held-out interactions, each with at most `max_length` interactions before it.

        A user's first interaction has nothing before it, so it is never an instance.
        """
        rows = np.flatnonzero(~self.is_train)
        first = self.log.offsets[self.log.users[rows]]
        rows, first = rows[rows > first], first[rows > first]
        return Instances(
            log=self.log,
            start=np.maximum(first, rows - max_length),
            end=rows,
            targets=self.log.items[rows],
            ids=self.log.interaction_ids[rows],
        )


def split(log: InteractionLog, options: SplitOptions | None = None) -> Split:
    """Split a log that was already filtered.

    Args:
        log: The unperturbed log.
        options: The method and its fraction.

    Returns:
        The split. Users whose whole history is held out have no training interactions.

    Raises:
        DataError: If nothing is left to train on, or nothing is held out by a method that should.
        OptionError: If the options are something else.
    """
    options = options or SplitOptions()
    if not isinstance(options, SplitOptions):
        raise OptionError(
            f"the options of split are {options!r}; expected SplitOptions, e.g. SplitOptions(method='time')"
        )
    if options.method == "last-fraction":
        # The small constant undoes the rounding of decimal fractions such as 0.29 * 100 = 28.999999999999996.
        n_test = np.floor(options.fraction * log.lengths + 1e-9).astype(np.int64)
    elif options.method == "leave-one-out":
        n_test = np.where(log.lengths > 1, 1, 0)
    elif options.method == "time":
        is_test = np.zeros(len(log), dtype=bool)
        is_test[log.order()[len(log) - int(np.floor(options.fraction * len(log) + 1e-9)) :]] = True
        n_test = np.bincount(log.users[is_test], minlength=log.n_users)
    else:
        n_test = np.zeros(log.n_users, dtype=np.int64)
    result = Split(log=log, n_train=log.lengths - n_test)
    if int(result.n_train.sum()) == 0:
        raise DataError(
            f"the split {options.method!r} leaves no training interactions; use a smaller fraction or more data"
        )
    if options.method != "none" and int(n_test.sum()) == 0:
        fraction = "" if options.method == "leave-one-out" else f" with fraction {options.fraction}"
        raise DataError(
            f"the split {options.method!r}{fraction} holds out nothing: the longest history has"
            f" {int(log.lengths.max())} interactions; use a larger fraction (split.fraction), or the method 'none'"
        )
    return result


def validation_split(train: InteractionLog) -> Split:
    """Hold out the last max(1, floor(n / 10)) training interactions of each user, for early stopping and tuning.

    n is counted in the unperturbed log, and an edited log is cut at the same interaction: nothing is split again
    after a perturbation. A user with one training interaction keeps it.
    """
    root = train.root
    n_valid = np.where(root.lengths > 1, np.maximum(1, root.lengths // 10), 0)
    if train is root:
        return Split(log=train, n_train=train.lengths - n_valid)
    border = surviving_rows(train, root.offsets[1:] - n_valid)
    n_train = np.clip(border, train.offsets[:-1], train.offsets[1:]) - train.offsets[:-1]
    return Split(log=train, n_train=n_train, origin=validation_split(root).train)
