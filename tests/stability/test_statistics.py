"""The paired bootstrap over users."""

import numpy as np
import pytest
from scipy import stats

from finestrec.stability.statistics import relative_change


def test_no_change_has_no_width() -> None:
    values = np.random.default_rng(0).random(50)
    assert relative_change(values, values, np.arange(50) // 5) == {"mean": 0.0, "lower": 0.0, "upper": 0.0}


def test_interval_agrees_with_scipy_when_every_user_has_one_instance() -> None:
    rng = np.random.default_rng(1)
    old = rng.random(400)
    new = old * 1.1 + rng.normal(0, 0.2, 400)
    ours = relative_change(old, new, np.arange(400))
    theirs = stats.bootstrap(
        (old, new),
        lambda a, b, axis: b.mean(axis) / a.mean(axis) - 1,
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=4000,
        rng=np.random.default_rng(2),
    ).confidence_interval
    assert ours["mean"] == pytest.approx(new.mean() / old.mean() - 1)
    assert ours["lower"] == pytest.approx(theirs.low, abs=0.006)
    assert ours["upper"] == pytest.approx(theirs.high, abs=0.006)


def test_instances_of_one_user_are_not_independent() -> None:
    """The same values, dealt to fewer users who share their change, give a wider interval."""
    rng = np.random.default_rng(3)
    change = np.repeat(rng.normal(0, 0.3, 20), 30)
    old = np.ones(600)
    apart = relative_change(old, old + change, np.arange(600))
    together = relative_change(old, old + change, np.repeat(np.arange(20), 30))
    assert together["upper"] - together["lower"] > 3 * (apart["upper"] - apart["lower"])
