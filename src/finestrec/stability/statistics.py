"""Intervals and tests by resampling users, with room for other seeds where there are several.

Instances of one user are not independent, so users are resampled and not instances. The same users meet every seed:
users and seeds are *crossed*, like readers and texts. A statement about the next night has to hold for other users and
for another seed, so both vary, independently of one another. Users are drawn with replacement. There are two or three
seeds, seldom ten, and too few to be drawn: three draws of three numbers know nothing of how far a fourth may lie. So in
each resample the distances of the seeds from their mean get random weights, by which they are spread as in Student's t
with one degree of freedom less than there are seeds: an interval over seeds alone is the t interval. With one seed
users alone are resampled, and what is said holds for that seed.

Rejected: drawing seeds as users are (the pigeonhole bootstrap: Owen, Annals of Applied Statistics 2007), n - 1 of n,
whose intervals held the truth in 83% to 93% of simulations with three seeds that differ, and over pairs of them in 58%
to 70%; averaging the bounds of the seeds (an interval of no quantity), averaging a user's values over seeds first
(right for these very seeds only), and BCa bounds (undefined where every resample is equal, which is what an audit
hopes for).

How often 95% intervals hold the truth is simulated in `tests/stability/test_statistics.py`: 93% to 97% with one seed
and with many, and more where two or three seeds hardly differ, which they cannot know.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from finestrec.errors import DataError
from finestrec.randomness import generator, hashed

RESAMPLES = 2000
MAX_UNITS = 100_000
"""Above so many users, buckets of users are resampled."""
BUCKETS = 1000
LEVEL = 0.95
_MANY = 1000
"""So many draws tell the normal distribution that means over users have."""
_DRAWS_PER_CHUNK = 1 << 22
_DRAWS_KEPT = 1 << 25
"""Up to so many numbers of two bytes are kept in memory: users times resamples."""


class Interval(TypedDict):
    """A mean and its 95% interval."""

    mean: float
    lower: float
    upper: float


@dataclass(frozen=True, eq=False)
class BootstrapMeans:
    """Means of several quantities in several groups, and the same means in every resample of the users and seeds.

    All were resampled together, so what is computed from the draws of two of them is paired.

    Attributes:
        means: Shape (groups, columns); NaN for a group without instances.
        draws: Shape (resamples, groups, columns); NaN where a resample happened to hold no instance of the group.
        is_of_seeds: Whether several seeds stand behind it, whose draws have tails that are not normal.
    """

    means: NDArray[np.float64]
    draws: NDArray[np.float64]
    is_of_seeds: bool = False

    def interval(self, column: int, group: int = 0) -> Interval:
        """The mean of a column."""
        return interval(self.means[group, column], self.draws[:, group, column])

    def p_value(self, column: int, group: int = 0) -> float:
        """Of a mean of zero, for a column of paired differences; see `p_value`."""
        return p_value(self.draws[:, group, column], is_normal=not self.is_of_seeds)

    def ratio(self, column: int, baseline: int) -> Interval:
        """The mean of a column over that of another one, whose mean is positive; resamples where it is 0 are out."""
        below = np.where(self.draws[:, 0, baseline] > 0, self.draws[:, 0, baseline], np.nan)
        return interval(self.means[0, column] / self.means[0, baseline], self.draws[:, 0, column] / below)


def bootstrap_means(
    values: Sequence[NDArray[np.float64]],
    users: Sequence[NDArray[np.int64]],
    groups: Sequence[NDArray[np.int64]] | None = None,
    n_groups: int = 1,
    *,
    pairs: Sequence[tuple[int, int]] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> BootstrapMeans:
    """Means over instances, with resamples of users and, where there are several, with what other seeds may bring.

    Args:
        values: For each seed, a row an instance and a column a quantity, each shape (n_s, columns), n_s >= 1. Seeds
            are pooled: a mean is over all instances of all seeds.
        users: For each seed, the user of each instance, shape (n_s,). A user is drawn with all instances in all
            seeds. Above 100,000 users, 1,000 buckets of them, by a hash of their number, are drawn instead: a
            bucket's sum varies as those of its users together do.
        groups: For each seed, the group of each instance, 0..n_groups - 1, shape (n_s,); by default there is one.
        n_groups: How many groups there are.
        pairs: Where each entry of `values` stands for a pair of different seeds and not for a seed: which two, all of
            them. A mean over pairs varies with what each seed has in all of its pairs. Two seeds have no other pair to
            tell that from, and users alone are resampled.
        resamples: How many.
        seed: Of the resampling.

    Raises:
        DataError: If there is nothing to take a mean of, a value is NaN, or shapes do not fit.
    """
    _check(values, users)
    groups = groups or [np.zeros(len(part), dtype=np.int64) for part in values]
    unit, n_units = sampling_units(np.concatenate(users))
    borders = np.cumsum([len(part) for part in values])[:-1]
    n_columns = values[0].shape[1]
    # The last column counts the instances.
    sums = np.zeros((n_units, len(values), n_groups, n_columns + 1))
    for s, (part, at, group) in enumerate(zip(values, np.split(unit, borders), groups, strict=True)):
        cell = at * n_groups + group
        for c in range(n_columns + 1):
            weights = part[:, c] if c < n_columns else None
            sums[:, s, :, c] = np.bincount(cell, weights, minlength=n_units * n_groups).reshape(n_units, n_groups)
    drawn = resampled_sums(sums.reshape(n_units, -1), resamples, seed).reshape(resamples, *sums.shape[1:])
    total = drawn.sum(axis=1)
    whole = sums.sum(axis=(0, 1))
    with np.errstate(invalid="ignore"):
        means, draws = whole[:, :-1] / whole[:, -1:], total[..., :-1] / total[..., -1:]
        if len(values) > 1:
            # Of each seed the distance from the mean of all, as far as its instances weigh in it.
            apart = (drawn[..., :-1] - draws[:, None] * drawn[..., -1:]) / total[:, None, :, -1:]
            draws = draws + np.einsum("rs,rsgc->rgc", _seed_effects(pairs or len(values), resamples, seed), apart)
    if n_groups == 1:
        # To the last digit what a plain mean of each column is, as it is printed elsewhere.
        means = np.ascontiguousarray(np.concatenate(values).T).mean(axis=1)[None]
    return BootstrapMeans(means, draws, is_of_seeds=len(values) > 1)


def _check(values: Sequence[NDArray[np.float64]], users: Sequence[NDArray[np.int64]]) -> None:
    if not values or any(len(part) == 0 for part in values):
        raise DataError("there are no instances to take a mean of; every seed needs at least one")
    for part, of in zip(values, users, strict=True):
        if part.ndim != 2 or part.shape[1] != values[0].shape[1] or of.shape != (len(part),):
            raise DataError(
                f"the values have shape {part.shape} and the users {of.shape}; expected"
                f" (n, {values[0].shape[-1]}) and (n,)"
            )
        if np.isnan(part).any():
            raise DataError(f"row {int(np.isnan(part).any(axis=1).argmax())} has a value that is NaN and has no mean")


def sampling_units(users: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """What is drawn with replacement: users, or 1,000 buckets of them where there are more than 100,000.

    Args:
        users: User of each instance, shape (n,).

    Returns:
        The unit of each instance, from 0, shape (n,), and the number of units. Users are numbered in the order in
        which they come, so that other names for them change nothing.
    """
    known, first, position = np.unique(users, return_index=True, return_inverse=True)
    if len(known) > MAX_UNITS:
        return (hashed(known, 0, "sample") % np.uint64(BUCKETS)).astype(np.int64)[position], BUCKETS
    rank = np.empty(len(known), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(known))
    return rank[position], len(known)


def resampled_sums(sums: NDArray[np.float64], resamples: int, seed: int = 0) -> NDArray[np.float64]:
    """Sums over units drawn with replacement, as many as there are.

    Args:
        sums: Of each unit, shape (units, columns).
        resamples: How many.
        seed: Of the draws; equal numbers of units draw alike, so that separate calls are paired.

    Returns:
        Shape (resamples, columns).
    """
    n_units = len(sums)
    chunks = _kept_draws if n_units * resamples <= _DRAWS_KEPT else _draws
    return np.concatenate([drawn.astype(np.float64) @ sums for drawn in chunks(n_units, resamples, seed)])


@lru_cache(maxsize=1)
def _kept_draws(n_units: int, resamples: int, seed: int) -> tuple[NDArray[np.uint16], ...]:
    """The draws of the last call: all quantities of an audit are of the same users, and drawing takes longest."""
    return tuple(_draws(n_units, resamples, seed))


def _draws(n_units: int, resamples: int, seed: int) -> Iterator[NDArray[np.uint16]]:
    """How often each unit was drawn, shape (resamples, units), in chunks of resamples."""
    rng = generator(seed, "sample")
    rows = max(1, _DRAWS_PER_CHUNK // n_units)
    for begin in range(0, resamples, rows):
        n = min(rows, resamples - begin)
        picks = rng.integers(0, n_units, size=(n, n_units), dtype=np.int32)
        # For every resample of the chunk at once.
        picks += np.arange(n, dtype=np.int32)[:, None] * np.int32(n_units)
        yield np.bincount(picks.ravel(), minlength=n * n_units).reshape(n, n_units).astype(np.uint16)


def _seed_effects(seeds: int | Sequence[tuple[int, int]], resamples: int, seed: int) -> NDArray[np.float64]:
    """What each seed, or each pair of seeds, counts beside 1 in a resample, shape (resamples, seeds or pairs).

    Distances of n seeds from their mean, weighted by these and averaged, are spread as Student's t with n - 1 degrees
    of freedom times the standard error of a mean over n: independent normal weights less their mean, over the root of
    a chi-squared number. Of a pair both seeds count, and (n - 1) / (n - 2) makes up for what a seed has in common with
    the others when only pairs of different ones are seen.
    """
    if isinstance(seeds, int):
        return _student(seeds, resamples, seed)
    levels, position = np.unique(np.asarray(seeds), return_inverse=True)
    n = len(levels)
    if n < 3:
        return np.zeros((resamples, len(seeds)))
    first, second = position.reshape(-1, 2).T
    effects = _student(n, resamples, seed)
    return (effects[:, first] + effects[:, second]) * (n - 1) / (n - 2)


def _student(n: int, resamples: int, seed: int) -> NDArray[np.float64]:
    rng = generator(seed, "sample", n)
    weights = rng.standard_normal((resamples, n))
    weights -= weights.mean(axis=1, keepdims=True)
    return np.asarray(weights * np.sqrt(n / rng.chisquare(n - 1, (resamples, 1))))


def interval(estimate: float, draws: NDArray[np.float64]) -> Interval:
    """The percentile interval (Efron 1979) of an estimate.

    Args:
        estimate: Of the sample itself.
        draws: Of its resamples, shape (resamples,); NaN where a resample says nothing.

    Raises:
        DataError: If all are NaN.
    """
    tail = (1 - LEVEL) / 2
    if np.isnan(draws).all():
        raise DataError("no resample holds an instance, so there is no interval; the group is empty")
    lower, upper = np.nanquantile(draws, [tail, 1 - tail])
    return {"mean": float(estimate), "lower": float(lower), "upper": float(upper)}


def p_value(draws: NDArray[np.float64], *, is_normal: bool = True) -> float:
    """Two-sided p-value of a difference of zero: how far out zero lies among the resampled differences.

    It is below 0.05 where the 95% interval leaves zero out. Zero itself counts as one of the draws (Davison and Hinkley
    1997, section 4.2.5), so they can tell no value below 2 / (draws + 1). Where many are all on one side, the normal
    distribution of their mean and standard deviation tells how far out zero lies: else a correction for 51 comparisons
    would make even the clearest difference one that is not shown. A few seeds tell nothing that is so far out.

    Args:
        draws: Resampled differences, shape (resamples,).
        is_normal: Whether the tails of the draws are those of a normal distribution.
    """
    known = draws[~np.isnan(draws)]
    beyond = min(int((known <= 0).sum()), int((known >= 0).sum()))
    counted = min(1.0, 2 * (1 + beyond) / (1 + len(known)))
    spread = float(known.std()) if is_normal and beyond == 0 and len(known) >= _MANY else 0.0
    return counted if spread == 0 else min(counted, 2 * float(ndtr(-abs(known.mean()) / spread)))


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """P-values corrected for their number (Holm 1979): below 0.05, no more than a 5% chance of a single false one.

    Chosen over control of the false discovery rate (`scipy.stats.false_discovery_control`), because a verdict names
    single methods, and because it holds under any dependence: all comparisons of an audit share users and incumbents.

    Args:
        p_values: Shape (n,).

    Returns:
        In the same order, shape (n,).

    Examples:
        >>> holm([0.01, 0.04, 0.03]).tolist()
        [0.03, 0.06, 0.06]
    """
    found = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(found)
    steps = np.maximum.accumulate((len(found) - np.arange(len(found))) * found[order])
    corrected = np.empty_like(found)
    corrected[order] = np.minimum(steps, 1.0)
    return corrected
