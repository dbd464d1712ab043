"""Intervals over users: ``python -m benchmarks.statistics``. Twenty measures of x1, x4 and x16 the users; slices."""

import time
from collections.abc import Callable

import numpy as np
from scipy import stats

from benchmarks.machine import header, megabytes
from finestrec.stability.memory import peak_bytes, reset_peak
from finestrec.stability.statistics import RESAMPLES, bootstrap_means

MEASURES = 20
GROUPS = 4


def main() -> None:
    """Print processor seconds and peak memory; beside them scipy's bootstrap of one measure of one seed."""
    header()
    print(f"{RESAMPLES:,} resamples, {MEASURES} measures, two instances a user; processor seconds")
    print(f"{'users':>10}{'one seed':>10}{'3 seeds':>10}{'4 groups':>10}{'peak MB':>10}{'scipy x 20':>12}")
    for users in (10_000, 40_000, 160_000):
        rng = np.random.default_rng(0)
        user, values = np.repeat(np.arange(users), 2), rng.random((2 * users, MEASURES))
        group = rng.integers(0, GROUPS, 2 * users)
        reset_peak()
        one = seconds(lambda user=user, values=values: bootstrap_means([values], [user]))
        three = seconds(lambda user=user, values=values: bootstrap_means([values] * 3, [user] * 3))
        sliced = seconds(lambda u=user, v=values, g=group: bootstrap_means([v], [u], [g], GROUPS))
        peak = megabytes(peak_bytes())
        sums = values[:users, :1].sum(axis=1)
        theirs = seconds(
            lambda x=sums: stats.bootstrap((x,), np.mean, method="percentile", n_resamples=RESAMPLES, batch=50)
        )
        print(f"{users:10,}{one:10.2f}{three:10.2f}{sliced:10.2f}{peak:10.0f}{MEASURES * theirs:12.2f}", flush=True)


def seconds(work: Callable[[], object]) -> float:
    """Processor time of a call."""
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    main()
