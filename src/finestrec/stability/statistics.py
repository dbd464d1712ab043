"""Intervals by resampling users: instances of one user are not independent."""

import numpy as np
from numpy.typing import NDArray

from finestrec.randomness import generator

_RESAMPLES = 1000


def relative_change(
    old: NDArray[np.float64], new: NDArray[np.float64], users: NDArray[np.int64], seed: int = 0
) -> dict[str, float]:
    """Relative change of a mean over instances, with a paired bootstrap interval over users.

    Args:
        old: A value an instance, shape (n,), with a positive mean.
        new: The same instances after the change, shape (n,).
        users: User of each instance, shape (n,).
        seed: Of the resampling.

    Returns:
        mean, lower and upper: mean(new) / mean(old) - 1 and its 95% percentile interval (Efron 1979) over 1,000
        resamples of users.
    """
    _, user = np.unique(users, return_inverse=True)
    n_users = int(user.max()) + 1
    sums = np.stack([np.bincount(user, weights=values, minlength=n_users) for values in (old, new)])
    rng = generator(seed, "sample")
    resampled = np.empty((_RESAMPLES, 2))
    for i in range(_RESAMPLES):
        # The number of instances cancels in the ratio of the two means.
        resampled[i] = sums @ np.bincount(rng.integers(0, n_users, n_users), minlength=n_users)
    ratios = resampled[:, 1] / np.maximum(resampled[:, 0], np.finfo(float).tiny) - 1
    lower, upper = np.quantile(ratios, [0.025, 0.975])
    return {"mean": float(new.sum() / old.sum() - 1), "lower": float(lower), "upper": float(upper)}
