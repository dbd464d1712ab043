"""Resampling users and seeds."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from finestrec.errors import DataError
from finestrec.randomness import hashed
from finestrec.stability import statistics
from finestrec.stability.statistics import BootstrapMeans, bootstrap_means, holm, interval, p_value, sampling_units

Array = NDArray[np.float64]


def column(values: Array, users: NDArray[np.int64]) -> BootstrapMeans:
    return bootstrap_means([values[:, None]], [users])


def width(values: Array, users: NDArray[np.int64]) -> float:
    found = column(values, users).interval(0)
    return found["upper"] - found["lower"]


def scipys_interval(sums: Array, counts: NDArray[np.integer]) -> Any:
    """Of a mean over instances, from what each user brings."""
    return stats.bootstrap(
        (sums, counts),
        lambda a, b, axis: a.sum(axis) / b.sum(axis),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=20_000,
        batch=1000,
        rng=np.random.default_rng(4),
    ).confidence_interval


def test_interval_of_a_mean_agrees_with_scipy_where_every_user_has_one_instance() -> None:
    values = np.random.default_rng(1).exponential(size=300)
    ours = column(values, np.arange(300)).interval(0)
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, batch=1000, rng=np.random.default_rng(2)
    ).confidence_interval
    assert ours["mean"] == pytest.approx(values.mean())
    assert ours["lower"] == pytest.approx(theirs.low, abs=0.01)
    assert ours["upper"] == pytest.approx(theirs.high, abs=0.01)


def test_interval_of_uneven_users_agrees_with_scipy_on_their_sums_and_counts() -> None:
    rng = np.random.default_rng(3)
    counts = rng.integers(1, 9, size=150)
    users = np.repeat(np.arange(150), counts)
    values = rng.normal(np.repeat(rng.normal(size=150), counts))
    sums = np.bincount(users, weights=values)
    theirs = scipys_interval(sums, counts)
    ours = column(values, users).interval(0)
    assert ours["mean"] == pytest.approx(values.mean())
    assert ours["lower"] == pytest.approx(theirs.low, abs=0.02)
    assert ours["upper"] == pytest.approx(theirs.high, abs=0.02)


def test_relative_change_agrees_with_scipy() -> None:
    rng = np.random.default_rng(5)
    old = rng.random(400)
    new = old * 1.1 + rng.normal(0, 0.2, 400)
    ours = bootstrap_means([np.stack([new - old, old], 1)], [np.arange(400)]).ratio(0, 1)
    theirs = stats.bootstrap(
        (old, new),
        lambda a, b, axis: b.mean(axis) / a.mean(axis) - 1,
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=10_000,
        batch=1000,
        rng=np.random.default_rng(2),
    ).confidence_interval
    assert ours["mean"] == pytest.approx(new.mean() / old.mean() - 1)
    assert ours["lower"] == pytest.approx(theirs.low, abs=0.005)
    assert ours["upper"] == pytest.approx(theirs.high, abs=0.005)


def test_a_resample_of_one_seed_is_the_mean_over_drawn_users() -> None:
    """Every draw is one of the values that a plain enumeration of users gives."""
    values, users = np.array([[0.0], [1.0], [5.0]]), np.array([7, 7, 8])
    draws = bootstrap_means([values], [users], resamples=4000).draws[:, 0, 0]
    found, counts = np.unique(draws, return_counts=True)
    assert found.tolist() == pytest.approx([0.5, 2.0, 5.0])  # 7 twice, each once, 8 twice
    assert counts / 4000 == pytest.approx([0.25, 0.5, 0.25], abs=0.03)


def test_seeds_that_do_not_differ_add_nothing() -> None:
    rng = np.random.default_rng(4)
    values, users = rng.random((60, 2)), rng.integers(0, 20, 60)
    one = bootstrap_means([values], [users])
    three = bootstrap_means([values] * 3, [users] * 3)
    np.testing.assert_allclose(three.draws, one.draws, rtol=1e-12)


@pytest.mark.parametrize("n", [2, 3, 4, 10])
def test_the_spread_between_seeds_is_students(n: int) -> None:
    """Where users do not differ at all, what is left is a mean of n numbers, and its t interval."""
    levels, users = np.random.default_rng(n).normal(size=n), np.arange(50)
    draws = bootstrap_means([np.full((50, 1), level) for level in levels], [users] * n, resamples=50_000).draws[:, 0, 0]
    at = [0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975]
    exact = stats.t.ppf(at, n - 1) * stats.sem(levels)
    assert np.quantile(draws, at) - levels.mean() == pytest.approx(exact, rel=0.06, abs=0.02 * stats.sem(levels))
    theirs = stats.ttest_1samp(levels, levels.mean() - 3 * stats.sem(levels)).pvalue
    assert p_value(draws - levels.mean() + 3 * stats.sem(levels), is_normal=False) == pytest.approx(theirs, rel=0.1)


def test_seeds_weigh_by_their_instances() -> None:
    """A seed with few instances of a group moves its mean by as much as it has of them; one without any, not at all."""
    users = np.arange(40)
    values = [np.full((40, 1), level) for level in (0.0, 1.0, 7.0)]
    groups = [np.zeros(40, dtype=int), np.zeros(40, dtype=int), np.ones(40, dtype=int)]
    found = bootstrap_means(values, [users] * 3, groups, 2, resamples=4000)
    assert found.means[:, 0].tolist() == [0.5, 7.0]
    assert np.unique(found.draws[:, 1, 0]).tolist() == [7.0]
    assert np.isfinite(found.draws).all()
    assert np.median(found.draws[:, 0, 0]) == pytest.approx(0.5, abs=0.05)


def test_instances_of_one_user_are_not_independent() -> None:
    """The same values, dealt to fewer users who share their change, give a wider interval."""
    change = np.repeat(np.random.default_rng(3).normal(0, 0.3, 20), 30)
    assert width(change, np.repeat(np.arange(20), 30)) > 3 * width(change, np.arange(600))


def test_what_is_the_same_for_all_has_no_width() -> None:
    ones = np.ones(50)
    assert column(ones, np.arange(50) // 5).interval(0) == {"mean": 1.0, "lower": 1.0, "upper": 1.0}
    values = np.random.default_rng(0).random(50)
    same = bootstrap_means([np.stack([values - values, values], 1)] * 2, [np.arange(50) // 5] * 2)
    assert same.ratio(0, 1) == {"mean": 0.0, "lower": 0.0, "upper": 0.0}
    assert same.interval(0) == {"mean": 0.0, "lower": 0.0, "upper": 0.0}
    assert same.p_value(0) == 1.0


@given(st.permutations(range(12)), st.integers(0, 10**9))
def test_other_names_for_users_change_nothing(names: list[int], shift: int) -> None:
    users = np.random.default_rng(0).integers(0, 12, size=60)
    values = np.random.default_rng(1).random(60)
    renamed = (np.array(names) + shift)[users]
    assert column(values, users).interval(0) == column(values, renamed).interval(0)


def test_the_order_of_seeds_changes_no_mean_and_a_seed_more_is_pooled() -> None:
    rng = np.random.default_rng(2)
    values = [rng.random((n, 2)) for n in (30, 20, 25)]
    users = [rng.integers(0, 9, n) for n in (30, 20, 25)]
    pooled = np.concatenate(values).mean(axis=0)
    assert bootstrap_means(values, users).means[0] == pytest.approx(pooled)
    assert bootstrap_means(values[:1], users[:1]).means[0, 1] == values[0][:, 1].copy().mean()
    assert bootstrap_means(values[::-1], users[::-1]).means[0] == pytest.approx(pooled)


def test_columns_are_resampled_together() -> None:
    """A ratio of two columns that are proportional has no width, however wide each of them is."""
    values = np.random.default_rng(7).exponential(size=200)
    found = bootstrap_means([np.stack([values, 3 * values], 1)], [np.arange(200)])
    assert found.ratio(1, 0) == pytest.approx({"mean": 3.0, "lower": 3.0, "upper": 3.0})
    assert found.interval(0)["upper"] - found.interval(0)["lower"] > 0.2
    assert found.p_value(0) == pytest.approx(2 * stats.norm.sf(np.sqrt(200) * values.mean() / values.std()), rel=0.99)
    assert found.p_value(0) < 1e-20


@pytest.mark.parametrize("n", [3, 4, 8])
@pytest.mark.parametrize("is_ordered", [True, False])
def test_pairs_vary_with_the_seeds_that_they_share(n: int, is_ordered: bool) -> None:
    """A pair's value is the sum of what its seeds bring, so the mean over pairs is twice that over seeds."""
    brought = np.random.default_rng(n).normal(size=n)
    pairs = [(s, t) for s in range(n) for t in range(n) if (s != t if is_ordered else s < t)]
    values = [np.full((4, 1), brought[s] + brought[t]) for s, t in pairs]
    draws = bootstrap_means(values, [np.arange(4)] * len(pairs), pairs=pairs, resamples=50_000).draws[:, 0, 0]
    at, error = [0.025, 0.25, 0.5, 0.75, 0.975], 2 * stats.sem(brought)
    exact = stats.t.ppf(at, n - 1) * error
    assert np.quantile(draws, at) - 2 * brought.mean() == pytest.approx(exact, rel=0.06, abs=0.02 * error)


def test_one_pair_of_seeds_leaves_users_to_draw() -> None:
    values = np.random.default_rng(7).random((50, 1))
    one = bootstrap_means([values], [np.arange(50)]).interval(0)
    assert bootstrap_means([values], [np.arange(50)], pairs=[(0, 1)]).interval(0) == one
    assert bootstrap_means([values] * 2, [np.arange(50)] * 2, pairs=[(0, 1), (1, 0)]).interval(0) == pytest.approx(one)


def test_groups_have_the_means_of_their_instances_and_scipys_interval() -> None:
    """In a group, users bring a sum and a count that may both be zero."""
    rng = np.random.default_rng(6)
    users, group = rng.integers(0, 80, 500), rng.integers(0, 2, 500)
    values = rng.normal(users % 5, 1.0)
    found = bootstrap_means([values[:, None]], [users], [group], 3)
    sums = np.bincount(users, weights=values * group, minlength=80)
    counts = np.bincount(users, weights=group, minlength=80)
    theirs = scipys_interval(sums, counts)
    ours = found.interval(0, 1)
    assert ours["mean"] == pytest.approx(values[group == 1].mean())
    assert ours["lower"] == pytest.approx(theirs.low, abs=0.03)
    assert ours["upper"] == pytest.approx(theirs.high, abs=0.03)
    with pytest.raises(DataError, match="the group is empty"):
        found.interval(0, 2)


def test_many_users_are_drawn_in_buckets_of_a_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(8)
    users = np.repeat(rng.permutation(20_000), 2)
    values = rng.normal(np.repeat(rng.normal(size=20_000), 2))
    exact = width(values, users)
    monkeypatch.setattr(statistics, "MAX_UNITS", 19_999)
    unit, count = sampling_units(users)
    assert count == 1000
    assert (unit == hashed(users, 0, "sample") % np.uint64(1000)).all()
    # A standard deviation estimated from 1,000 buckets is right to about 1 / sqrt(2000).
    assert width(values, users) == pytest.approx(exact, rel=0.1)


def test_p_values_are_those_of_the_draws() -> None:
    assert p_value(np.array([1.0, 2.0, 3.0])) == pytest.approx(2 * 1 / 4)
    assert p_value(np.array([-1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0])) == pytest.approx(0.4)
    assert p_value(np.zeros(9)) == 1.0
    z = np.random.default_rng(0).normal(1.7, 1.0, size=200_000)
    assert p_value(z) == pytest.approx(2 * stats.norm.sf(1.7), abs=0.002)


def test_what_lies_beyond_all_draws_is_told_by_their_normal_distribution() -> None:
    for shift in (3.2, 4.0, 6.0):
        draws = np.random.default_rng(1).normal(shift, 1.0, size=2000)
        draws = draws[draws > 0]
        exact = 2 * stats.norm.sf(shift)
        assert exact / 2 < p_value(draws) < exact * 2
        assert p_value(-draws) == p_value(draws)
    # The clearest of a hundred differences survives being one of a hundred.
    assert holm([p_value(draws), *[0.5] * 99])[0] < 0.001
    # Few draws, or such as do not differ, tell no more than their number.
    assert p_value(draws[:99]) == pytest.approx(2 / 100)
    assert p_value(np.ones(1999)) == pytest.approx(2 / 2000)
    # Nor do the long tails of a few seeds.
    assert p_value(draws, is_normal=False) == pytest.approx(2 / (len(draws) + 1))


def test_p_and_interval_agree_about_zero() -> None:
    for shift in np.linspace(1.5, 2.4, 10):
        draws = np.random.default_rng(9).normal(shift, 1.0, size=1999)
        assert (p_value(draws) < 0.05) == (interval(shift, draws)["lower"] > 0)


def test_holm_by_hand() -> None:
    """Sorted 0.005, 0.01, 0.02, 0.6 times 4, 3, 2, 1, never below the one before, never above 1."""
    assert holm([0.02, 0.6, 0.005, 0.01]) == pytest.approx([0.04, 0.6, 0.02, 0.03])
    assert holm([0.02, 0.021, 0.9]) == pytest.approx([0.06, 0.06, 0.9])
    assert holm([0.7, 0.6]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_none_and_bonferroni_and_above_the_false_discovery_rate(p_values: list[float]) -> None:
    corrected = holm(p_values)
    assert (corrected >= np.array(p_values)).all()
    assert (corrected <= np.minimum(1, len(p_values) * np.array(p_values))).all()
    assert (corrected >= stats.false_discovery_control(p_values) - 1e-12).all()


def test_what_has_no_mean_is_refused() -> None:
    users = np.arange(3)
    with pytest.raises(DataError, match="no instances"):
        bootstrap_means([np.empty((0, 1))], [np.empty(0, dtype=np.int64)])
    with pytest.raises(DataError, match="row 1 has a value that is NaN"):
        bootstrap_means([np.array([[1.0], [np.nan], [2.0]])], [users])
    with pytest.raises(DataError, match="shape"):
        bootstrap_means([np.ones((2, 1))], [users])


def _covered(n_seeds: int, seed: float, *, of_pairs: bool, trials: int, users: int = 60) -> float:
    """How often the interval holds the truth, 0; users vary by 1, and an instance by 1 once more."""
    pairs = [(s, t) for s in range(n_seeds) for t in range(n_seeds) if s < t] if of_pairs else None
    hits = 0
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        of_users, of_seeds = rng.normal(size=(users, 1)), rng.normal(0, seed, n_seeds)
        moved = of_seeds if pairs is None else [of_seeds[s] + of_seeds[t] for s, t in pairs]
        values = [of_users + by + rng.normal(size=(users, 1)) for by in moved]
        found = bootstrap_means(values, [np.arange(users)] * len(values), pairs=pairs, resamples=500).interval(0)
        hits += found["lower"] <= 0 <= found["upper"]
    return hits / trials


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_seeds", "seed", "of_pairs"),
    [
        (1, 0.0, False),
        *((n, sd, False) for n in (2, 3, 5, 10) for sd in (0.0, 0.3, 1.0)),
        *((n, sd, True) for n in (3, 5) for sd in (0.0, 0.3, 1.0)),
    ],
)
def test_intervals_cover_the_truth_as_often_as_they_say(n_seeds: int, seed: float, of_pairs: bool) -> None:
    """Crossed random effects. Few seeds that hardly differ are given more room than they need."""
    assert 0.925 <= _covered(n_seeds, seed, of_pairs=of_pairs, trials=600) <= 1
