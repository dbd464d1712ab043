"""Windows and instances over a packed log, and the padded batches that models see.

A batch of two windows, (a b c d) and (e f), in training::

    items      a  b  c        positions  0 1 2 3   into items.flatten()
               e  .  .        targets    b c d f
    lengths    3  1

``.`` is `PADDING`; it is always on the right, so a causal model needs no mask. Padding exists here and nowhere
else: it has no index, no stored row and no score column. The same holds for `MASK`, which stands where a model that
reads in both directions is asked for the item (`masking.py` makes its batches).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from finestrec.data.log import InteractionLog
from finestrec.errors import DataError, OptionError
from finestrec.randomness import generator, hashed

if TYPE_CHECKING:
    import torch
    from torch import Tensor

PADDING = -1
"""What stands in `SequenceBatch.items` to the right of a row's last item."""
MASK = -2
"""What stands in `SequenceBatch.items` for an item that is asked for at its own position."""

WindowMode = Literal["last", "all"]


@dataclass(frozen=True)
class SequenceBatch:
    """Rows of interactions, padded on the right to the longest row of the batch.

    Attributes:
        items: Item indices, `MASK` or `PADDING`, int64, shape (B, L).
        times: Ticks of the log's time unit, 0 on masks and padding, int64, shape (B, L).
        lengths: Valid positions per row, masks included, int64, shape (B,).
        positions: Where an item is predicted, as indices into ``items.flatten()``, ascending, shape (P,): the next
            item, or where `MASK` stands the masked one.
        targets: Those items, int64, shape (P,); -1 where it is unknown.
        ids: Interaction ids of the targets, int64, shape (P,), kept on the host.
    """

    items: "Tensor"
    times: "Tensor"
    lengths: "Tensor"
    positions: "Tensor"
    targets: "Tensor"
    ids: NDArray[np.int64]

    def to(self, device: "torch.device") -> "SequenceBatch":
        """The same batch on another device."""
        if self.items.device == device:
            return self
        return replace(
            self,
            items=self.items.to(device),
            times=self.times.to(device),
            lengths=self.lengths.to(device),
            positions=self.positions.to(device),
            targets=self.targets.to(device),
        )

    def at_positions(self, hidden: "Tensor") -> "Tensor":
        """The hidden states where an item is predicted, shape (P, D).

        Args:
            hidden: Shape (B, L, D); or (B, D), one state a row, where each row has one position.
        """
        if hidden.dim() == 2:
            return hidden
        return hidden.flatten(0, 1).index_select(0, self.positions)


@dataclass(frozen=True, eq=False)
class Windows:
    """Training windows: row ranges of a log, one instance per interaction but the first of each window.

    Attributes:
        log: The log whose rows are meant.
        start: First row of each window, int64, shape (W,).
        end: One past the last row, int64, shape (W,).
        dealt_lengths: Rows of the same window in the unperturbed log, int64, shape (W,). Batches are dealt by
            these, so that an edit moves no window to another batch.
    """

    log: InteractionLog
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    dealt_lengths: NDArray[np.int64]

    @property
    def n_instances(self) -> int:
        """Positions that are predicted in one pass over all windows."""
        return int(np.maximum(self.end - self.start - 1, 0).sum())

    @cached_property
    def n_dealt_instances(self) -> int:
        """The same count in the unperturbed log."""
        return int(np.maximum(self.dealt_lengths - 1, 0).sum())

    def n_batches(self, batch_size: int) -> int:
        """Batches an epoch: as many as `batch_size` windows a batch would make."""
        return max(1, -(-int((self.dealt_lengths > 1).sum()) // batch_size))

    def deal(self, batch_size: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
        """Deal the windows into batches of nearly equal numbers of positions and similar lengths.

        A batch of equally many *windows* of similar length would hold few positions where users are short, and
        a mean over its positions would weigh them more than others. Here every batch has about the average
        number of positions, so that dividing by that average weighs every position of the epoch alike.

        Args:
            batch_size: Windows a batch, on average.
            seed: The run's seed.
            epoch: The epoch, from 0.

        Returns:
            Window numbers of each batch, in the order in which to train.
        """
        n_batches = self.n_batches(batch_size)
        order = np.lexsort((hashed(np.arange(len(self.start)), seed, "order", epoch), self.dealt_lengths))
        weight = np.maximum(self.dealt_lengths[order] - 1, 0)
        middle = np.cumsum(weight) - weight / 2
        batch = np.minimum(middle * n_batches // max(self.n_dealt_instances, 1), n_batches - 1)
        dealt = np.split(order, np.searchsorted(batch, np.arange(1, n_batches)))
        return [dealt[i] for i in generator(seed, "order", epoch).permutation(n_batches)]

    def has_instances(self, windows: NDArray[np.int64]) -> bool:
        """Whether any of some windows has a position to predict."""
        return bool((self.end[windows] - self.start[windows] > 1).any())

    def batch(self, windows: NDArray[np.int64]) -> SequenceBatch:
        """The padded batch of some windows; windows without an instance are left out."""
        windows = windows[self.end[windows] - self.start[windows] > 1]
        start, end = self.start[windows], self.end[windows]
        lengths = end - 1 - start
        # Rows of the log behind each predicted position, window after window.
        position = ranges(lengths)
        rows = np.repeat(start, lengths) + position
        width = int(lengths.max(initial=1))
        return padded_batch(
            self.log,
            start,
            lengths,
            positions=np.repeat(np.arange(len(start)) * width, lengths) + position,
            targets=self.log.items[rows + 1],
            ids=self.log.interaction_ids[rows + 1],
        )

    def instances(self) -> "Instances":
        """Every training instance, in window order."""
        lengths = np.maximum(self.end - self.start - 1, 0)
        start = np.repeat(self.start, lengths)
        target = start + ranges(lengths) + 1
        return Instances(
            log=self.log,
            start=start,
            end=target,
            targets=self.log.items[target],
            ids=self.log.interaction_ids[target],
        )


@dataclass(frozen=True, eq=False)
class Instances:
    """Moments at which a model is asked for the next item.

    Attributes:
        log: The log whose rows are meant.
        start: First row of the input of each instance, int64, shape (n,).
        end: One past its last row, int64, shape (n,); always more than `start`.
        targets: The item that did come next, int32, shape (n,); -1 where it is unknown.
        ids: Interaction ids of the targets, int64, shape (n,); -1 where there is none.
    """

    log: InteractionLog
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    targets: NDArray[np.int32]
    ids: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.start)

    @cached_property
    def users(self) -> NDArray[np.int64]:
        """User index of each instance, shape (n,)."""
        return self.log.users[self.start]

    @cached_property
    def is_first(self) -> NDArray[np.bool_]:
        """True for each user's first instance, shape (n,)."""
        first = np.zeros(len(self), dtype=bool)
        first[np.unique(self.users, return_index=True)[1]] = True
        return first

    def subset(self, which: NDArray[np.bool_] | NDArray[np.int64] | slice) -> "Instances":
        """Some of the instances, by a mask, by numbers or by a slice."""
        return Instances(self.log, self.start[which], self.end[which], self.targets[which], self.ids[which])

    def batches(self, max_positions: int, *, shared: bool) -> Iterator[tuple[NDArray[np.int64], SequenceBatch]]:
        """Padded batches of sequences of similar length.

        Args:
            max_positions: Upper bound of rows times length of a batch (a single longer row is still one batch).
            shared: Encode instances that start at the same row once, as prefixes of the longest of them. Right
                for models whose hidden state at a position depends on nothing after it.

        Yields:
            The numbers of the instances, and the batch whose positions are those instances in that order.
        """
        by_start = np.lexsort((self.end, self.start))
        if shared:
            is_last = np.ones(len(self), dtype=bool)
            is_last[:-1] = np.diff(self.start[by_start]) > 0
        else:
            is_last = np.ones(len(self), dtype=bool)
        last = by_start[is_last]
        sequence_start, lengths = self.start[last], self.end[last] - self.start[last]
        n_in_sequence = np.diff(np.flatnonzero(np.concatenate(([True], is_last[:-1], [True]))))
        first_in_sequence = np.cumsum(n_in_sequence) - n_in_sequence
        for rows in similar_lengths(lengths, max_positions):
            members = by_start[np.repeat(first_in_sequence[rows], n_in_sequence[rows]) + ranges(n_in_sequence[rows])]
            width = int(lengths[rows].max())
            row_of_member = np.repeat(np.arange(len(rows)), n_in_sequence[rows])
            yield (
                members,
                padded_batch(
                    self.log,
                    sequence_start[rows],
                    lengths[rows],
                    positions=row_of_member * width + (self.end[members] - self.start[members] - 1),
                    targets=self.targets[members],
                    ids=self.ids[members],
                ),
            )


def windows(log: InteractionLog, max_length: int = 50, mode: WindowMode = "last") -> Windows:
    """Cut a training log into windows of at most `max_length` + 1 interactions.

    Args:
        log: The training log, edited or not.
        max_length: L, the longest input of an instance, at least 1.
        mode: "last": one window a user, the last L + 1 interactions. "all": the whole history, in windows that
            begin at every L-th interaction of the unperturbed log and share their border interaction, so that
            every interaction but the user's first is an instance once. A border that an edit removed moves to
            its next survivor; a window that edits made longer than L + 1 keeps its last L + 1.

    Returns:
        The windows; edits change neither their number nor their order.

    Raises:
        OptionError: If the mode is unknown, or `max_length` is below 1.
    """
    if mode not in get_args(WindowMode):
        raise OptionError(f"unknown window mode {mode!r}; known are {', '.join(get_args(WindowMode))}")
    if max_length < 1:
        raise OptionError(f"the longest input is {max_length} interactions; it must be at least 1")
    root = log.root
    if mode == "last":
        end = log.offsets[1:]
        start = np.maximum(log.offsets[:-1], end - (max_length + 1))
        return Windows(log, start, end, np.minimum(root.lengths, max_length + 1))
    n_windows = np.maximum(1, -(-(root.lengths - 1) // max_length))
    user = np.repeat(np.arange(root.n_users), n_windows)
    number = ranges(n_windows)
    root_start = root.offsets[user] + number * max_length
    is_last = number == n_windows[user] - 1
    root_end = np.where(is_last, root.offsets[user + 1], root_start + max_length + 1)
    border = np.minimum(surviving_rows(log, root_start), log.offsets[user + 1])
    start = np.where(number == 0, log.offsets[user], border)
    next_start = np.append(start[1:], 0)
    end = np.where(is_last, log.offsets[user + 1], np.minimum(next_start + 1, log.offsets[user + 1]))
    return Windows(log, np.maximum(start, end - (max_length + 1)), end, root_end - root_start)


def surviving_rows(log: InteractionLog, root_rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where rows of the unperturbed log stand after the edits.

    Args:
        log: An edited log.
        root_rows: Row positions in its root, shape (n,).

    Returns:
        The row in `log` of the first surviving interaction at or after each, or len(log), shape (n,).

    Raises:
        DataError: If the root itself has rows without a lasting id.
    """
    root = log.root
    if log is root:
        return root_rows
    if len(root) and int(root.interaction_ids.min()) < 0:
        raise DataError("the unperturbed log has interactions without a lasting id, so no row of it can be found again")
    by_id = np.argsort(root.interaction_ids)
    # What the root lacks is new: edits have no id, the next night's rows have one of their own.
    kept = np.flatnonzero(np.isin(log.interaction_ids, root.interaction_ids))
    kept_in_root = by_id[np.searchsorted(root.interaction_ids, log.interaction_ids[kept], sorter=by_id)]
    return np.append(kept, len(log))[np.searchsorted(kept_in_root, root_rows)]


def ranges(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """0..n-1 for each n of `lengths`, one after another.

    >>> ranges(np.array([2, 0, 3])).tolist()
    [0, 1, 0, 1, 2]
    """
    return np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def similar_lengths(lengths: NDArray[np.int64], max_positions: int) -> Iterator[NDArray[np.int64]]:
    """Deal rows into batches of similar length, the shortest first.

    Args:
        lengths: Of the rows, shape (n,).
        max_positions: Upper bound of rows times the longest length of a batch (a longer row is still one batch).

    Yields:
        Numbers of the rows of each batch, by length and then by number.
    """
    order = np.argsort(lengths, kind="stable")
    begin = 0
    while begin < len(order):
        stop = begin + 1
        while stop < len(order) and lengths[order[stop]] * (stop + 1 - begin) <= max_positions:
            stop += 1
        yield order[begin:stop]
        begin = stop


def padded_batch(
    log: InteractionLog,
    start: NDArray[np.int64],
    lengths: NDArray[np.int64],
    positions: NDArray[np.int64],
    targets: NDArray[np.int32],
    ids: NDArray[np.int64],
    *,
    masked: bool = False,
) -> SequenceBatch:
    """Rows of a log side by side; see `SequenceBatch`.

    Args:
        log: The log.
        start: Where each row begins in it, shape (B,).
        lengths: Interactions of each row, shape (B,).
        positions: Where an item is predicted, shape (P,).
        targets: Those items, shape (P,).
        ids: Their interaction ids, shape (P,).
        masked: `MASK` stands at the positions; what the log has there is not read.
    """
    import torch

    column = np.arange(int(lengths.max(initial=1)))
    valid = column < lengths[:, None]
    read = valid.copy()
    if masked:
        read.flat[positions] = False
    rows = np.where(read, start[:, None] + column, 0)
    return SequenceBatch(
        items=torch.from_numpy(np.where(read, log.items[rows], np.where(valid, MASK, PADDING)).astype(np.int64)),
        times=torch.from_numpy(np.where(read, log.times[rows], 0)),
        lengths=torch.from_numpy(lengths),
        positions=torch.from_numpy(positions),
        targets=torch.from_numpy(targets.astype(np.int64)),
        ids=ids,
    )
