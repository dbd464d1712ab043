"""Accuracy of a list where a user has several relevant items; with one of them as in `finestrec.measures.accuracy`.

The relevant items of all users stand in one array, `owners` says whose each is and `ranks` at which rank the user's
list has it, from 1, or 0 where it has not.
"""

import numpy as np
from numpy.typing import NDArray

from finestrec.measures._checks import checked_k


def recall_at(
    owners: NDArray[np.integer], ranks: NDArray[np.integer], relevant: NDArray[np.integer], k: int
) -> NDArray[np.float64]:
    """The share of a user's relevant items that are in the first k.

    Args:
        owners: Row of the user of each relevant item, 0..n - 1, shape (m,).
        ranks: Rank of each in the user's list, 0 where it is absent, shape (m,).
        relevant: How many relevant items a user has, those that no list could hold included, shape (n,).
        k: Cut-off, 1 or more.

    Returns:
        Shape (n,), 0..1; NaN for a user without relevant items.

    Raises:
        OptionError: If k is out of range.

    Examples:
        >>> import numpy as np
        >>> recall_at(np.array([0, 0]), np.array([3, 0]), np.array([2, 0]), k=10)
        array([0.5, nan])
    """
    hit = _hit(ranks, checked_k(k))
    return _over(np.bincount(owners[hit], minlength=len(relevant)), relevant, relevant)


def ndcg_at(
    owners: NDArray[np.integer], ranks: NDArray[np.integer], relevant: NDArray[np.integer], k: int
) -> NDArray[np.float64]:
    """Gains 1 / log2(1 + rank) of the relevant items in the first k, over those of the best list of k.

    Binary gains of Järvelin and Kekäläinen 2002. The best list has min(k, relevant) relevant items at its top.

    Args:
        owners: Row of the user of each relevant item, 0..n - 1, shape (m,).
        ranks: Rank of each in the user's list, 0 where it is absent, shape (m,).
        relevant: How many relevant items a user has, shape (n,).
        k: Cut-off, 1 or more.

    Returns:
        Shape (n,), 0..1; NaN for a user without relevant items.

    Raises:
        OptionError: If k is out of range.

    Examples:
        >>> import numpy as np
        >>> ndcg_at(np.array([0]), np.array([3]), np.array([1]), k=10)
        array([0.5])
    """
    k = checked_k(k)
    hit = _hit(ranks, k)
    gained = np.bincount(owners[hit], weights=1 / np.log2(1.0 + ranks[hit]), minlength=len(relevant))
    best = np.concatenate(([0.0], np.cumsum(1 / np.log2(1.0 + np.arange(1, k + 1)))))
    return _over(gained, best[np.minimum(relevant, k)], relevant)


def mrr_at(
    owners: NDArray[np.integer], ranks: NDArray[np.integer], relevant: NDArray[np.integer], k: int
) -> NDArray[np.float64]:
    """1 / rank of the first relevant item, 0 where none is in the first k. Its mean is MRR@k.

    Args:
        owners: Row of the user of each relevant item, 0..n - 1, shape (m,).
        ranks: Rank of each in the user's list, 0 where it is absent, shape (m,).
        relevant: How many relevant items a user has, shape (n,).
        k: Cut-off, 1 or more.

    Returns:
        Shape (n,), 0..1; NaN for a user without relevant items.

    Raises:
        OptionError: If k is out of range.

    Examples:
        >>> import numpy as np
        >>> mrr_at(np.array([0, 0]), np.array([4, 2]), np.array([2]), k=10)
        array([0.5])
    """
    hit = _hit(ranks, checked_k(k))
    first = np.zeros(len(relevant))
    np.maximum.at(first, owners[hit], 1.0 / ranks[hit])
    return _over(first, np.ones(len(relevant)), relevant)


def _hit(ranks: NDArray[np.integer], k: int) -> NDArray[np.bool_]:
    return (ranks >= 1) & (ranks <= k)


def _over(value: NDArray[np.number], best: NDArray[np.number], relevant: NDArray[np.integer]) -> NDArray[np.float64]:
    return np.where(relevant > 0, value / np.where(relevant > 0, best, 1), np.nan)
