"""Accuracy of one list: where the target stands, and what follows from that.

Pure functions per test instance; a mean over instances (MRR, Recall@k, NDCG@k) is the caller's, who may want
slices, intervals or paired differences instead.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from finestrec.errors import DataError
from finestrec.measures._checks import checked_k

_BLOCK_SCORES = 1 << 20
"""Scores that are compared at a time, which bounds the memory for the comparisons."""


def target_rank(scores: ArrayLike, target: ArrayLike) -> NDArray[np.int64]:
    """The rank of each target among all items: 1 + higher scores + equal scores with a smaller index.

    It is the position of the target in the list in order of (score descending, item index ascending), without
    sorting.

    Args:
        scores: A score per item, shape (n, N); infinite ones are allowed, NaN is not.
        target: Item index per row, shape (n,), 0..N-1.

    Returns:
        Ranks from 1, shape (n,).

    Raises:
        DataError: If a score is NaN, a target is not an item, or the shapes do not fit.

    Examples:
        >>> import numpy as np
        >>> target_rank(np.array([[0.1, 0.9, 0.5], [0.5, 0.5, 0.5]]), np.array([2, 1]))
        array([2, 2])
    """
    table, items = np.asarray(scores), np.asarray(target)
    if table.ndim != 2 or not (np.issubdtype(table.dtype, np.floating) or np.issubdtype(table.dtype, np.integer)):
        raise DataError(
            f"the scores have shape {table.shape} and type {table.dtype}; expected real numbers, shape (n, N)"
        )
    if items.shape != (len(table),) or not np.issubdtype(items.dtype, np.integer):
        raise DataError(
            f"the targets have shape {items.shape} and type {items.dtype};"
            f" expected one item index for each of the {len(table):,} rows of scores"
        )
    n_items = table.shape[1]
    outside = np.flatnonzero((items < 0) | (items >= n_items))
    if len(outside):
        row = int(outside[0])
        raise DataError(f"row {row}: the target is {int(items[row])}, but there are scores for items 0..{n_items - 1}")

    ranks = np.empty(len(table), dtype=np.int64)
    rows = max(1, _BLOCK_SCORES // max(n_items, 1))
    for low in range(0, len(table), rows):
        ranks[low : low + rows] = _block_rank(table[low : low + rows], items[low : low + rows], low)
    return ranks


def _block_rank(scores: NDArray[np.generic], target: NDArray[np.integer], first_row: int) -> NDArray[np.int64]:
    # The minimum of a row is NaN if any of its scores is: one pass, nothing allocated.
    bad = np.flatnonzero(np.isnan(scores.min(axis=1)))
    if len(bad):
        item = int(np.flatnonzero(np.isnan(scores[bad[0]]))[0])
        raise DataError(
            f"row {first_row + int(bad[0])}: the score of item {item} is NaN and has no rank;"
            " the model has diverged or divided by zero"
        )
    own = scores[np.arange(len(scores)), target][:, None]
    ranks: NDArray[np.int64] = 1 + np.count_nonzero(scores > own, axis=1)
    # Ties are rare; only their rows are looked at again.
    tied = np.flatnonzero(np.count_nonzero(scores == own, axis=1) > 1)
    smaller_index = np.arange(scores.shape[1]) < target[tied, None]
    ranks[tied] += np.count_nonzero((scores[tied] == own[tied]) & smaller_index, axis=1)
    return ranks


def reciprocal_rank(ranks: ArrayLike) -> NDArray[np.float64]:
    """1 / rank, not cut at any depth. Its mean is the MRR.

    Args:
        ranks: Ranks of the targets, integers from 1, shape (n,).

    Returns:
        Shape (n,), above 0, at most 1.

    Raises:
        DataError: If a rank is not an integer of 1 or more.

    Examples:
        >>> import numpy as np
        >>> reciprocal_rank(np.array([1, 4]))
        array([1.  , 0.25])
    """
    return 1.0 / _checked_ranks(ranks)


def recall(ranks: ArrayLike, k: int) -> NDArray[np.float64]:
    """1 where the target is among the first k, else 0. Its mean is Recall@k (here also the hit rate).

    Args:
        ranks: Ranks of the targets, integers from 1, shape (n,).
        k: Cut-off, 1 or more.

    Returns:
        Shape (n,), 0.0 or 1.0.

    Raises:
        DataError: If a rank is not an integer of 1 or more.
        OptionError: If k is out of range.

    Examples:
        >>> import numpy as np
        >>> recall(np.array([1, 10, 11]), k=10)
        array([1., 1., 0.])
    """
    k = checked_k(k)
    return (_checked_ranks(ranks) <= k).astype(np.float64)


def ndcg(ranks: ArrayLike, k: int) -> NDArray[np.float64]:
    """1 / log2(1 + rank) where the target is among the first k, else 0. Its mean is NDCG@k.

    With one relevant item the ideal gain is 1, so nothing is left to divide by.

    Args:
        ranks: Ranks of the targets, integers from 1, shape (n,).
        k: Cut-off, 1 or more.

    Returns:
        Shape (n,), 0..1.

    Raises:
        DataError: If a rank is not an integer of 1 or more.
        OptionError: If k is out of range.

    Examples:
        >>> import numpy as np
        >>> ndcg(np.array([1, 3, 11]), k=10)
        array([1. , 0.5, 0. ])
    """
    k = checked_k(k)
    checked = _checked_ranks(ranks)
    return np.where(checked <= k, 1.0 / np.log2(1.0 + checked), 0.0)


def _checked_ranks(ranks: ArrayLike) -> NDArray[np.integer]:
    checked = np.asarray(ranks)
    if checked.ndim != 1 or not np.issubdtype(checked.dtype, np.integer):
        raise DataError(f"the ranks have shape {checked.shape} and type {checked.dtype}; expected integers, shape (n,)")
    if checked.size and checked.min() < 1:
        row = int(np.argmin(checked))
        raise DataError(f"row {row}: the rank is {int(checked[row])}; ranks count from 1")
    return checked
