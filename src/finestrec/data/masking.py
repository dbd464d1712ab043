"""Batches for models that read in both directions: the items asked for are masked in the rows themselves.

Windows (a b c d e) and (f g) with L = 4, where c, e and g are masked::

    items      b  ?  d  ?     positions  1 3 5
               f  ?  .  .     targets    c e g
    lengths    4  2

``?`` is `MASK`, ``.`` is `PADDING`. A row is the last L interactions of its window. A window holds up to L + 1, so the
first interaction of a full one is dropped, and that of any other is context and never masked: what can be masked are
the window's training instances. Rows in which nothing is masked are left out.

All draws are hashes of interaction ids, so that an edit changes no other mask. New interactions, of the id -1, are told
apart by window and place.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from finestrec.data.sequences import Instances, SequenceBatch, Windows, padded_batch, ranges, similar_lengths
from finestrec.randomness import hashed


def random_masks(
    windows: Windows, numbers: NDArray[np.int64], max_length: int, share: float, seed: int, epoch: int
) -> SequenceBatch:
    """Windows with each training instance masked by chance, anew in each epoch.

    Args:
        windows: The training windows.
        numbers: Those to take, shape (n,).
        max_length: L.
        share: Probability of a mask, 0 to 1.
        seed: The run's seed, of the stream "mask".
        epoch: The epoch, from 0.
    """
    instances, window = _instances(windows, numbers)
    draws = hashed(_keys(instances, numbers[window], max_length), seed, "mask", epoch)
    masked = np.flatnonzero(draws < np.uint64(share * 2.0**64))
    kept, row = np.unique(window[masked], return_inverse=True)
    rows = _Rows.of(windows, numbers[kept], max_length, instances.subset(masked), row)
    return rows.batch(np.arange(len(kept)))[1]


def every_mask_once(
    windows: Windows, max_length: int, n_groups: int, max_positions: int
) -> Iterator[tuple[NDArray[np.int64], SequenceBatch]]:
    """Windows with each training instance masked in one of several copies: those of its group.

    Args:
        windows: The training windows.
        max_length: L.
        n_groups: Groups, to which a fixed hash assigns the instances; about 1 / n_groups of a window is masked at once.
        max_positions: Upper bound of rows times length of a batch (a single longer row is still one batch).

    Yields:
        Numbers into `windows.instances()`, and the batch whose positions are those instances in that order.
    """
    instances, window = _instances(windows, np.arange(len(windows.start)))
    group = (hashed(_keys(instances, window, max_length), 0, "mask") % np.uint64(n_groups)).astype(np.int64)
    copy = window * n_groups + group
    order = np.argsort(copy, kind="stable")
    kept, row = np.unique(copy[order], return_inverse=True)
    rows = _Rows.of(windows, kept // n_groups, max_length, instances.subset(order), row)
    for members, batch in rows.batches(max_positions):
        yield order[members], batch


def mask_behind(
    instances: Instances, max_length: int, max_positions: int
) -> Iterator[tuple[NDArray[np.int64], SequenceBatch]]:
    """A row for each instance: the last L - 1 interactions before it, and the mask.

    Args:
        instances: What is asked for.
        max_length: L, at least 2.
        max_positions: Upper bound of rows times length of a batch (a single longer row is still one batch).

    Yields:
        Numbers of the instances, and the batch whose positions are those instances in that order.
    """
    start = np.maximum(instances.start, instances.end - (max_length - 1))
    yield from _Rows(instances, np.arange(len(instances)), start, instances.end + 1).batches(max_positions)


def _instances(windows: Windows, numbers: NDArray[np.int64]) -> tuple[Instances, NDArray[np.int64]]:
    """The training instances of some windows, and in which of those each one is."""
    start, end = windows.start[numbers], windows.end[numbers]
    instances = replace(windows, start=start, end=end, dealt_lengths=windows.dealt_lengths[numbers]).instances()
    return instances, np.repeat(np.arange(len(numbers)), np.maximum(end - start - 1, 0))


def _keys(instances: Instances, window: NDArray[np.int64], max_length: int) -> NDArray[np.int64]:
    place = instances.end - instances.start
    return np.where(instances.ids >= 0, instances.ids, -1 - (window * (max_length + 1) + place))


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows of a log in which some instances are masked.

    Attributes:
        instances: Those masked, those of a row side by side and in the order of the log, n of them.
        row: In which row each is, ascending, shape (n,); every row has one.
        start: First log row of each, shape (R,).
        end: One past the last log row of each, shape (R,).
    """

    instances: Instances
    row: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]

    @cached_property
    def _first_in_row(self) -> NDArray[np.int64]:
        """Number of the first instance of each row, and n, shape (R + 1,)."""
        return np.searchsorted(self.row, np.arange(len(self.start) + 1))

    @classmethod
    def of(
        cls,
        windows: Windows,
        numbers: NDArray[np.int64],
        max_length: int,
        instances: Instances,
        row: NDArray[np.int64],
    ) -> "_Rows":
        end = windows.end[numbers]
        return cls(instances, row, np.maximum(windows.start[numbers], end - max_length), end)

    def batch(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], SequenceBatch]:
        """The padded batch of some rows, and the numbers of the instances at its positions."""
        n_here = self._first_in_row[rows + 1] - self._first_in_row[rows]
        members = np.repeat(self._first_in_row[rows], n_here) + ranges(n_here)
        lengths = self.end[rows] - self.start[rows]
        offset = np.arange(len(rows)) * int(lengths.max(initial=1)) - self.start[rows]
        asked = self.instances
        return members, padded_batch(
            asked.log,
            self.start[rows],
            lengths,
            positions=asked.end[members] + np.repeat(offset, n_here),
            targets=asked.targets[members],
            ids=asked.ids[members],
            masked=True,
        )

    def batches(self, max_positions: int) -> Iterator[tuple[NDArray[np.int64], SequenceBatch]]:
        """All rows, in batches of similar length."""
        for rows in similar_lengths(self.end - self.start, max_positions):
            yield self.batch(rows)
