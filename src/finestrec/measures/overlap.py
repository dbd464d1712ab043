"""Similarity of two ranked lists, for many pairs of lists at once.

Every function takes two arrays of item indices, one pair of lists a row, best item first; -1 ends a row that
is shorter than its array::

    a = [[3, 1, 4],      b = [[1, 3, 4, 7],
         [5, 2, -1]]          [5, -1, -1, -1]]

X_d is the number of items that the first d ranks of both lists share, A_d = X_d / d their agreement. An item
counts in X_d from depth m = max(its rank in a, its rank in b) on, so a weighted sum of agreements is a sum
over the shared items of one looked-up number, the suffix sum of weight(d) / d from d = m. One compiled pass
over the two rows therefore gives every measure here, in time proportional to their length.

The same policy holds for all of them:

- Both lists empty: a similarity is 1, a change is 0. One list empty: a similarity is 0, a change is 1.
- A list that has ended adds nothing at greater depths, and sums run to the end of the longer list (or to k).
  An item that was lost is thus a change, and columns of -1 mean nothing. Only `rbo_extrapolated` goes on as
  if the agreement held.
- Refused, with the row: an item twice in a row, anything but -1 after a -1, an index below -1, a different
  number of pairs. Ranks beyond k are checked too.
- Identical lists give exactly 1.0 (0.0 for a change), except with `rbo_truncated`, a lower bound.
- A result depends neither on the number of threads nor on the other pairs. Swapping a and b, or more columns
  of -1, may alter the last bit of a sum.
"""

import itertools
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from finestrec.compiled import compiled
from finestrec.errors import DataError, OptionError
from finestrec.measures._checks import checked_k, checked_p

_CHUNK_ITEMS = 1 << 18
"""Items per chunk: its rows stay in the processor's cache between the search for the maximum and the pass."""
_LARGEST_TABLE = 1 << 24
"""Item indices from here on are renumbered chunk by chunk, so that a thread's table stays below 64 MiB."""

_Kernel = Callable[..., tuple[int, int, int]]


def rbo_depth(p: float, n_items: int) -> int:
    """The depth to which lists are kept for `rbo_extrapolated`: deeper ranks weigh less than 1e-18.

    Args:
        p: Persistence, strictly between 0 and 1.
        n_items: Items of the catalogue, 1 or more.

    Returns:
        min(n_items, ceil(ln 1e-18 / ln p)).

    Raises:
        OptionError: If an argument is out of range.

    Examples:
        >>> rbo_depth(0.9, n_items=100_000)
        394
        >>> rbo_depth(0.9, n_items=50)
        50
    """
    p = checked_p(p)
    if n_items < 1:
        raise OptionError(f"the catalogue has {n_items} items; it must have 1 or more")
    return min(n_items, math.ceil(math.log(1e-18) / math.log(p)))


def rbo_truncated(a: ArrayLike, b: ArrayLike, p: float) -> NDArray[np.float64]:
    """Rank-biased overlap up to the depth of the lists: a lower bound of the RBO of what they begin.

    (1 - p) * sum over d = 1..depth of p^(d-1) A_d, Eq. 4 of Webber et al. 2010 cut at depth. Identical lists
    have 1 - p^depth; use `frbo` for a version that reaches 1.

    Args:
        a: Item indices, shape (pairs, depth_a), best first, -1 ends a shorter row.
        b: Item indices, shape (pairs, depth_b).
        p: Persistence, strictly between 0 and 1: the smaller, the more the top counts.

    Returns:
        Shape (pairs,), 0..1.

    Edge cases:
        The depth is the length of the longer list of the pair. The PyPI package `rbo` stops at the shorter
        one: the two agree where lengths are equal, and ours is the tighter bound elsewhere. Both empty: 1;
        one empty: 0.

    Raises:
        OptionError: If p is out of range.
        DataError: If the arrays are not lists as the module describes them; says row and item.

    Examples:
        >>> import numpy as np
        >>> rbo_truncated(np.array([[0, 1, 2]]), np.array([[1, 0, 2]]), p=0.5)
        array([0.375])
    """
    p = checked_p(p)
    first, second = _checked_pair(a, b)
    table = _rbo_table(p, _depth(first, second))
    seen = _overlaps(first, second, table)
    value = np.clip(seen.weight - seen.common * table[seen.longer + 1], 0.0, 1.0)
    value[seen.longer == 0] = 1.0
    return value


def rbo_extrapolated(a: ArrayLike, b: ArrayLike, p: float) -> NDArray[np.float64]:
    """Rank-biased overlap, extrapolated as if the agreement at the end of the lists went on for ever.

    Eq. 32 of Webber et al. 2010, for a shorter list of s and a longer one of l items::

        (1-p)/p * (sum_{d=1..l} X_d/d p^d + sum_{d=s+1..l} X_s (d-s)/(s d) p^d) + ((X_l - X_s)/l + X_s/s) p^l

    Args:
        a: Item indices, shape (pairs, depth_a), best first, -1 ends a shorter row.
        b: Item indices, shape (pairs, depth_b).
        p: Persistence, strictly between 0 and 1: the smaller, the more the top counts.

    Returns:
        Shape (pairs,), 0..1; exactly 1 for identical lists.

    Edge cases:
        Lists of different lengths are compared as the equation says: the shorter one is assumed to go on
        agreeing, so a list and its own beginning have similarity 1 (up to rounding). Both empty: 1; one
        empty: 0.

    Raises:
        OptionError: If p is out of range.
        DataError: If the arrays are not lists as the module describes them; says row and item.

    Examples:
        >>> import numpy as np
        >>> rbo_extrapolated(np.array([[0, 1, 2]]), np.array([[1, 0, 2]]), p=0.5)
        array([0.5])
    """
    p = checked_p(p)
    first, second = _checked_pair(a, b)
    depth = _depth(first, second)
    table = _rbo_table(p, depth)
    seen = _overlaps(first, second, table)
    # Eq. 32 collapses: an item with m <= s adds table[m] + tail[s], any other shared one table[m] + tail[l].
    ranks = np.arange(1, depth + 1)
    tail = np.zeros(depth + 1)
    tail[1:] = p**ranks / ranks - table[2:]
    value = seen.weight + seen.near * tail[seen.shorter] + (seen.common - seen.near) * tail[seen.longer]
    return seen.one_if_identical(value)


def frbo(a: ArrayLike, b: ArrayLike, p: float, k: int) -> NDArray[np.float64]:
    """Finite rank-biased overlap: `rbo_truncated` to depth k over its largest value, 1 - p^k.

    The similarity of Betello et al. 2024 (arXiv 2307.13165). Its limit for p -> 1 is `average_overlap`.

    Args:
        a: Item indices, shape (pairs, depth_a), best first, -1 ends a shorter row.
        b: Item indices, shape (pairs, depth_b).
        p: Persistence, strictly between 0 and 1: the smaller, the more the top counts.
        k: Ranks to look at, 1 or more.

    Returns:
        Shape (pairs,), 0..1; exactly 1 for lists that are identical to rank k.

    Edge cases:
        Where both lists are shorter than k, the longer length takes the place of k, in the sum and in
        1 - p^k: identical lists keep similarity 1. Where one is shorter, the ranks it lacks count as
        disagreement. Both empty: 1; one empty: 0.

    Raises:
        OptionError: If p or k is out of range.
        DataError: If the arrays are not lists as the module describes them; says row and item.

    Examples:
        >>> import numpy as np
        >>> frbo(np.array([[0, 1, 2], [0, 1, 2]]), np.array([[0, 1, 2], [0, 3, -1]]), p=0.5, k=2)
        array([1.        , 0.83333333])
    """
    p, k = checked_p(p), checked_k(k)
    first, second = _checked_pair(a, b)
    table = _rbo_table(p, min(k, _depth(first, second)))
    seen = _overlaps(first, second, table, k)
    # 1 - p^n without cancellation when p is close to 1; an empty pair divides by that of one item.
    largest = -np.expm1(np.maximum(seen.longer, 1) * math.log(p))
    return seen.one_if_identical((seen.weight - seen.common * table[seen.longer + 1]) / largest)


def average_overlap(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """The mean agreement A_d over the depths d = 1..depth.

    The limit of `frbo` for p -> 1 (Fagin et al. 2003). Every depth weighs
    the same, so two random permutations of N items score (N + 1) / (2 N) on average: print that floor beside
    it. The PyPI package `rbo` computes this under the name RBO unless it is given a p.

    Args:
        a: Item indices, shape (pairs, depth_a), best first, -1 ends a shorter row.
        b: Item indices, shape (pairs, depth_b).

    Returns:
        Shape (pairs,), 0..1; exactly 1 for identical lists.

    Edge cases:
        The depth is the length of the longer list of the pair; the ranks that the shorter one lacks count as
        disagreement (the PyPI package stops at the shorter list instead, which makes a list equal to its own
        beginning). Both empty: 1; one empty: 0.

    Raises:
        DataError: If the arrays are not lists as the module describes them; says row and item.

    Examples:
        >>> import numpy as np
        >>> average_overlap(np.array([[0, 1, 2, 3]]), np.array([[1, 0, 2, 3]]))
        array([0.75])
    """
    first, second = _checked_pair(a, b)
    table = _suffix_sums(1.0 / np.arange(1, _depth(first, second) + 1))
    seen = _overlaps(first, second, table)
    total = seen.weight - seen.common * table[seen.longer + 1]
    return seen.one_if_identical(total / np.maximum(seen.longer, 1))


def jaccard(a: ArrayLike, b: ArrayLike, k: int) -> NDArray[np.float64]:
    """Items that are in the first k of both lists, over items that are in the first k of either.

    Args:
        a: Item indices, shape (pairs, depth_a), best first, -1 ends a shorter row.
        b: Item indices, shape (pairs, depth_b).
        k: Ranks to look at, 1 or more; their order does not matter.

    Returns:
        Shape (pairs,), 0..1.

    Edge cases:
        A list shorter than k enters with the items that it has. Both empty: 1; one empty: 0.

    Raises:
        OptionError: If k is out of range.
        DataError: If the arrays are not lists as the module describes them; says row and item.

    Examples:
        >>> import numpy as np
        >>> jaccard(np.array([[0, 1, 2]]), np.array([[1, 0, 3]]), k=3)
        array([0.5])
    """
    k = checked_k(k)
    first, second = _checked_pair(a, b)
    seen = _overlaps(first, second, np.zeros(min(k, _depth(first, second)) + 2), k)
    union = seen.longer + seen.shorter - seen.common
    return seen.one_if_identical(seen.common / np.maximum(union, 1))


def turnover(a: ArrayLike, b: ArrayLike, k: int) -> NDArray[np.float64]:
    """The share of the first k places whose item is no longer among the first k: 1 - X_k / k.

    Args:
        a: Item indices, shape (pairs, depth_a), best first, -1 ends a shorter row.
        b: Item indices, shape (pairs, depth_b).
        k: Ranks to look at, 1 or more; their order does not matter.

    Returns:
        Shape (pairs,), 0..1, a change: 0 means that the same items are shown.

    Edge cases:
        Where both lists are shorter than k, the longer length takes the place of k, so that equal lists keep
        turnover 0. Both empty: 0; one empty: 1.

    Raises:
        OptionError: If k is out of range.
        DataError: If the arrays are not lists as the module describes them; says row and item.

    Examples:
        >>> import numpy as np
        >>> turnover(np.array([[0, 1, 2, 3]]), np.array([[1, 0, 5, 3]]), k=4)
        array([0.25])
    """
    k = checked_k(k)
    first, second = _checked_pair(a, b)
    seen = _overlaps(first, second, np.zeros(min(k, _depth(first, second)) + 2), k)
    return (seen.longer - seen.common) / np.maximum(seen.longer, 1)


def top1_change(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Whether the first item differs.

    Args:
        a: Item indices, shape (pairs, depth_a), best first, -1 ends a shorter row.
        b: Item indices, shape (pairs, depth_b).

    Returns:
        Shape (pairs,), 1.0 where the first item differs, else 0.0; its mean is the share of changed lists.

    Edge cases:
        Both empty: 0; one empty: 1.

    Raises:
        DataError: If the arrays are not lists as the module describes them; says row and item.

    Examples:
        >>> import numpy as np
        >>> top1_change(np.array([[0, 1], [2, 3]]), np.array([[1, 0], [2, 4]]))
        array([1., 0.])
    """
    return turnover(a, b, k=1)


def _suffix_sums(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums from each depth to the last: entry m is the sum of the weights at depths m, m + 1, ...

    Shape (depth + 2,). The first and the last entry are 0. Summed from the small end.
    """
    table = np.zeros(len(weights) + 2)
    table[1:-1] = np.cumsum(weights[::-1])[::-1]
    return table


def _rbo_table(p: float, depth: int) -> NDArray[np.float64]:
    """What a shared item adds to the sum of RBO to `depth`, by its larger rank; shape (depth + 2,)."""
    ranks = np.arange(1, depth + 1)
    return _suffix_sums((1.0 - p) * p ** (ranks - 1.0) / ranks)


def _depth(a: NDArray[np.integer], b: NDArray[np.integer]) -> int:
    return int(max(a.shape[1], b.shape[1]))


def _checked_pair(a: ArrayLike, b: ArrayLike) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    first, second = np.asarray(a), np.asarray(b)
    for name, array in (("a", first), ("b", second)):
        if array.ndim != 2 or not np.issubdtype(array.dtype, np.integer):
            raise DataError(
                f"lists {name} are an array of shape {array.shape} and type {array.dtype};"
                " expected item indices, an integer array of shape (pairs, depth)"
            )
    if len(first) != len(second):
        raise DataError(
            f"lists a hold {len(first):,} rows and lists b {len(second):,}; row i of one is compared with"
            " row i of the other, so pass the same instances in the same order"
        )
    return first, second


@dataclass(frozen=True, eq=False)
class _Overlaps:
    """What one pass over each pair found, within the cut-off k; all of shape (pairs,).

    Attributes:
        weight: Sum over the shared items of the table's entry at their larger rank.
        shorter: Length of the shorter list, at most k.
        longer: Length of the longer list, at most k.
        near: Shared items whose larger rank is within the shorter list, X_s.
        common: Shared items, X_l.
        same: Ranks at which both lists have the same item.
    """

    weight: NDArray[np.float64]
    shorter: NDArray[np.int32]
    longer: NDArray[np.int32]
    near: NDArray[np.int32]
    common: NDArray[np.int32]
    same: NDArray[np.int32]

    def one_if_identical(self, value: NDArray[np.float64]) -> NDArray[np.float64]:
        """`value` kept within 0..1 despite rounding, and exactly 1 for identical (or empty) lists."""
        return np.where(self.same == self.longer, 1.0, np.clip(value, 0.0, 1.0))


def _overlaps(
    a: NDArray[np.integer], b: NDArray[np.integer], table: NDArray[np.float64], k: int | None = None
) -> _Overlaps:
    """Pass over all pairs, in contiguous ranges of them, one a thread.

    Beyond the result, memory is a table of items and a few chunks a thread, however many pairs there are.
    """
    pairs, depth = len(a), _depth(a, b)
    cutoff = depth if k is None else min(k, depth)
    weight = np.zeros(pairs)
    counts = np.zeros((pairs, 5), dtype=np.int32)
    scan = partial(_scan_range, a=a, b=b, table=table, cutoff=cutoff, weight=weight, counts=counts)
    rows = max(1, _CHUNK_ITEMS // max(depth, 1))
    threads = min(_usable_cpus(), math.ceil(pairs / rows))
    if threads <= 1:
        scan(range(0, pairs, rows))
    else:
        _kernel()  # compile, or load from the cache, once and before the threads start
        bounds = [round(i * pairs / threads) for i in range(threads + 1)]
        with ThreadPoolExecutor(threads) as pool:
            parts = [pool.submit(scan, range(start, stop, rows)) for start, stop in itertools.pairwise(bounds)]
            # In the order of the rows: the first bad one is reported, however many threads there are.
            for part in parts:
                part.result()
    return _Overlaps(weight, *counts.T)


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _scan_range(
    chunks: range,
    *,
    a: NDArray[np.integer],
    b: NDArray[np.integer],
    table: NDArray[np.float64],
    cutoff: int,
    weight: NDArray[np.float64],
    counts: NDArray[np.int32],
) -> None:
    """Fill `weight` and `counts` for the rows of `chunks`, whose step is the number of rows of a chunk."""
    kernel = _kernel()
    marks = np.zeros(0, dtype=np.int32)
    base = 0
    for low in chunks:
        high = min(low + chunks.step, chunks.stop)
        part_a, part_b = a[low:high], b[low:high]
        top = max(int(part_a.max(initial=0)), int(part_b.max(initial=0)))
        if top >= _LARGEST_TABLE:
            part_a, part_b = _renumbered(part_a, part_b, top)
            top = part_a.size + part_b.size
        stamps = (high - low) * (a.shape[1] + 1)
        if top >= len(marks) or base + stamps > np.iinfo(np.int32).max:
            marks = np.zeros(max(top + 1, len(marks)), dtype=np.int32)
            base = 0
        row, side, column = kernel(
            np.require(part_a, np.int32, ["C", "A"]),
            np.require(part_b, np.int32, ["C", "A"]),
            marks,
            base,
            table,
            cutoff,
            weight[low:high],
            counts[low:high],
        )
        if row >= 0:
            raise _refusal("ab"[side], (a, b)[side][low + row], low + row, column)
        base += stamps


def _renumbered(
    a: NDArray[np.integer], b: NDArray[np.integer], top: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows of a chunk with items renumbered from 0; -1 stays -1, what is below stays below."""
    if top > np.iinfo(np.int64).max:
        raise DataError(f"item index {top} does not fit into 64 bits with a sign; use dense indices from 0")
    flat = np.concatenate((np.array([-1]), a.ravel().astype(np.int64), b.ravel().astype(np.int64)))
    values, codes = np.unique(flat, return_inverse=True)
    codes = codes - np.searchsorted(values, 0)
    return codes[1 : a.size + 1].reshape(a.shape), codes[a.size + 1 :].reshape(b.shape)


def _refusal(name: str, items: NDArray[np.integer], row: int, column: int) -> DataError:
    """The error for the first place of a row that the kernel could not accept."""
    item = int(items[column])
    where = f"lists {name}, row {row}, column {column}"
    if item < -1:
        return DataError(f"{where}: item index {item}; expected 0 or more, or -1 past the end of a list")
    if item == -1:
        return DataError(f"{where}: -1 ends the list, but more follows; move the -1s of a row to its end")
    earlier = int(np.flatnonzero(items == item)[0])
    return DataError(f"{where}: item {item} was already at column {earlier}; a list holds an item once")


@cache
def _kernel() -> _Kernel:
    """`_scan` compiled; numba is imported at the first comparison, not with this module."""
    from numba import types

    lists = types.Array(types.int32, 2, "C", readonly=True)
    place = types.Tuple((types.int64, types.int64, types.int64))  # type: ignore[no-untyped-call]
    signature = place(
        lists,
        lists,
        types.int32[::1],
        types.int64,
        types.Array(types.float64, 1, "C", readonly=True),
        types.int64,
        types.float64[::1],
        types.int32[:, ::1],
    )
    return cast(_Kernel, compiled(signature)(_scan))


def _scan(
    a: NDArray[np.int32],
    b: NDArray[np.int32],
    marks: NDArray[np.int32],
    base: int,
    table: NDArray[np.float64],
    cutoff: int,
    weight: NDArray[np.float64],
    counts: NDArray[np.int32],
) -> tuple[Any, Any, Any]:
    """Compare and check pairs of rows. Runs compiled.

    A mark above `base` belongs to the current pair: base + rank for an item of a, base + depth_a + 1 for one
    that b has had. Raising base for the next pair forgets them all, so no table is cleared between pairs.

    Args:
        a: Shape (rows, depth_a).
        b: Shape (rows, depth_b).
        marks: One per item, none above `base`; shape (largest index + 1,). Overwritten.
        base: The largest stamp in use.
        table: What a shared item adds to `weight`, by its larger rank; more than `cutoff` entries.
        cutoff: Only ranks up to it are compared.
        weight: Written, shape (rows,).
        counts: Written, shape (rows, 5): shorter, longer, near, common, same, as in `_Overlaps`.

    Returns:
        (row, 0 for a or 1 for b, column) of the first place that cannot be accepted, else (-1, -1, -1).
    """
    depth_a, depth_b = a.shape[1], b.shape[1]
    # 32 bits throughout and a loop of its own for what does not touch the marks: twice to four times as fast.
    larger_ranks = np.zeros(depth_b + 3, dtype=np.int32)
    cut, floor = np.int32(cutoff), np.int32(base)
    for i in range(a.shape[0]):
        length_a, length_b = depth_a, depth_b
        while length_a > 0 and a[i, length_a - 1] == -1:
            length_a -= 1
        while length_b > 0 and b[i, length_b - 1] == -1:
            length_b -= 1
        shorter = np.int32(min(length_a, length_b, cutoff))

        for j in range(length_a):
            item = a[i, j]
            if item < 0 or marks[np.uint32(item)] > floor:
                return i, 0, j
            marks[np.uint32(item)] = np.int32(floor + j + 1)

        taken = np.int32(floor + depth_a + 1)
        for j in range(length_b):
            item = b[i, j]
            if item < 0 or marks[np.uint32(item)] == taken:
                return i, 1, j
            larger_ranks[j] = marks[np.uint32(item)]
            marks[np.uint32(item)] = taken

        near, common, same = np.int32(0), np.int32(0), np.int32(0)
        for j in range(length_b):
            rank_a = np.int32(larger_ranks[j] - floor)
            rank_b = np.int32(j + 1)
            larger = max(rank_a, rank_b)
            shared = (rank_a > 0) & (larger <= cut)
            near += np.int32(shared & (larger <= shorter))
            same += np.int32(shared & (rank_a == rank_b))
            common += np.int32(shared)
            larger_ranks[j] = larger if shared else np.int32(0)
        floor = taken

        # Four sums in a fixed order: one addition need not wait for the last. Entry 0 of the table is 0.
        larger_ranks[length_b : length_b + 3] = 0
        sum_0, sum_1, sum_2, sum_3 = 0.0, 0.0, 0.0, 0.0
        for j in range(0, length_b, 4):
            sum_0 += table[np.uint32(larger_ranks[j])]
            sum_1 += table[np.uint32(larger_ranks[j + 1])]
            sum_2 += table[np.uint32(larger_ranks[j + 2])]
            sum_3 += table[np.uint32(larger_ranks[j + 3])]

        weight[i] = (sum_0 + sum_1) + (sum_2 + sum_3)
        counts[i, 0] = shorter
        counts[i, 1] = min(max(length_a, length_b), cutoff)
        counts[i, 2] = near
        counts[i, 3] = common
        counts[i, 4] = same
    return -1, -1, -1
