"""Where the items of one list stand in another one, for many pairs of lists at once.

Lists are arrays as in `finestrec.measures.overlap`: item indices, shape (pairs, depth), best first, -1 ends a shorter
row, no item twice in a row. What a measure has no value for (nothing was kept, there was no top item) is NaN.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from finestrec.compiled import compiled
from finestrec.errors import DataError
from finestrec.measures._checks import checked_k


def ranks_in(a: ArrayLike, b: ArrayLike) -> NDArray[np.int32]:
    """The rank in b of each item of a.

    Args:
        a: Item indices, shape (pairs, depth_a), below 2^31; anything negative is no item.
        b: Item indices, shape (pairs, depth_b).

    Returns:
        Ranks from 1, 0 where the item is not in b, shape (pairs, depth_a).

    Raises:
        DataError: If the arrays are no integers of two axes or differ in their number of pairs.

    Examples:
        >>> import numpy as np
        >>> ranks_in(np.array([[7, 8, -1]]), np.array([[8, 9]]))
        array([[0, 1, 0]], dtype=int32)
    """
    first, second = np.asarray(a), np.asarray(b)
    for array in (first, second):
        if array.ndim != 2 or not np.issubdtype(array.dtype, np.integer) or len(array) != len(first):
            raise DataError(
                f"the lists have shapes {first.shape} and {second.shape} and types {first.dtype} and {second.dtype};"
                " expected integers, as many rows in one as in the other"
            )
    ranks = np.zeros(first.shape, dtype=np.int32)
    # One table of marks an item; a mark names the row that set it, so that no row clears up after itself.
    marks = np.full((int(second.max(initial=-1)) + 1, 2), -1, dtype=np.int32)
    whole = [np.ascontiguousarray(array, dtype=np.int32) for array in (first, second)]
    _kernel()(*whole, marks, ranks)
    return ranks


def rank_displacement(a: ArrayLike, b: ArrayLike, k: int) -> NDArray[np.float64]:
    """How many places an item moved that is in the first k of both lists: the mean of |rank in a - rank in b|.

    Args:
        a: Item indices, shape (pairs, depth_a), best first, -1 ends a shorter row.
        b: Item indices, shape (pairs, depth_b).
        k: Ranks to look at, 1 or more.

    Returns:
        Shape (pairs,), 0..k - 1, a change; NaN where no item is in both.

    Raises:
        OptionError: If k is out of range.
        DataError: As `ranks_in`.

    Examples:
        >>> import numpy as np
        >>> rank_displacement(np.array([[0, 1, 2, 3]]), np.array([[2, 1, 4, 5]]), k=4)
        array([1.])
    """
    k = checked_k(k)
    ranks = ranks_in(np.asarray(a)[:, :k], np.asarray(b)[:, :k])
    kept = (ranks > 0).sum(axis=1)
    moved = np.abs(ranks - np.arange(1, ranks.shape[1] + 1, dtype=np.int32)).sum(axis=1, where=ranks > 0)
    return np.where(kept > 0, moved / np.maximum(kept, 1), np.nan)


def top_out(a: ArrayLike, b: ArrayLike, k: int) -> NDArray[np.float64]:
    """How many places the first item of a fell in b.

    Args:
        a: Item indices, shape (pairs, depth_a), best first, -1 ends a shorter row.
        b: Item indices, shape (pairs, depth_b).
        k: Ranks to look at, 1 or more.

    Returns:
        Shape (pairs,), its rank in b minus 1, at most k - 1, and k where it is not among the first k: a change, and
        a lower bound of the fall. NaN where a is empty.

    Raises:
        OptionError: If k is out of range.
        DataError: As `ranks_in`.

    Examples:
        >>> import numpy as np
        >>> top_out(np.array([[5, 1], [5, 1]]), np.array([[1, 5], [1, 2]]), k=2)
        array([1., 2.])
    """
    k = checked_k(k)
    top = np.asarray(a)[:, :1]
    if top.shape[1] == 0:
        return np.full(len(top), np.nan)
    rank = ranks_in(top, np.asarray(b)[:, :k])[:, 0]
    return np.where(top[:, 0] < 0, np.nan, np.where(rank > 0, rank - 1, k).astype(np.float64))


@cache
def _kernel() -> Callable[..., None]:
    """`_ranks` compiled; numba is imported at the first comparison, not with this module."""
    from numba import types

    rows = types.Array(types.int32, 2, "C", readonly=True)
    signature = types.void(rows, rows, types.int32[:, ::1], types.int32[:, ::1])
    return cast(Callable[..., None], compiled(signature)(_ranks))


def _ranks(a: NDArray[np.int32], b: NDArray[np.int32], marks: NDArray[np.int32], ranks: Any) -> None:
    """Fill `ranks`. Runs compiled. `marks` holds, for each item, the last row that has it in b and its rank there."""
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            item = b[i, j]
            if item >= 0:
                marks[item, 0] = i
                marks[item, 1] = j + 1
        for j in range(a.shape[1]):
            item = a[i, j]
            if 0 <= item < len(marks) and marks[item, 0] == i:
                ranks[i, j] = marks[item, 1]
