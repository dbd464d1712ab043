"""Time the list similarities against the PyPI package `rbo` on the same arrays.

Run as `python -m benchmarks.overlap`. Prints, for catalogues of 1,000 and 100,000 items: the time for 10,000 pairs
of top-400 lists, the peer's time on a subset scaled up to as many pairs, the ratio, the largest difference, the
time as pairs grow 4- and 16-fold, and the peak memory. Compilation is excluded and printed.
"""

import resource
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finestrec.measures.overlap import average_overlap, jaccard, rbo_extrapolated

PAIRS, DEPTH, P = 10_000, 400, 0.9
PEER_PAIRS = 200
CATALOGUES = (1_000, 100_000)


def best_of(call: Callable[[], object], repeats: int = 7) -> float:
    """Seconds of the fastest of several calls: what else the machine does only ever adds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def pairs_of_lists(pairs: int, depth: int, n_items: int, seed: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Lists and what a retraining might make of them: scores with noise, so near ranks swap and tails are replaced."""
    rng = np.random.default_rng(seed)
    a = np.empty((pairs, depth), dtype=np.int32)
    b = np.empty_like(a)
    width = min(n_items, 2 * depth)
    for i in range(pairs):
        items = rng.choice(n_items, width, replace=False, shuffle=True)
        a[i] = items[:depth]
        b[i] = items[np.argsort(np.arange(width) + rng.normal(0, 40, width))[:depth]]
    return a, b


def peer_times(a: NDArray[np.int32], b: NDArray[np.int32]) -> tuple[NDArray[np.float64], dict[str, float]]:
    """The peer's values on the first pairs, and its seconds per pair for rows as arrays and as Python lists."""
    from rbo import RankingSimilarity  # type: ignore[import-untyped]

    def values(rows_a: Iterable[Any], rows_b: Iterable[Any]) -> list[float]:
        return [RankingSimilarity(s, t).rbo_ext(p=P) for s, t in zip(rows_a, rows_b, strict=True)]

    a, b = a[:PEER_PAIRS], b[:PEER_PAIRS]
    seconds = {
        "arrays": best_of(lambda: values(a, b), 2) / len(a),
        "lists": best_of(lambda: values(a.tolist(), b.tolist()), 2) / len(a),
    }
    return np.array(values(a.tolist(), b.tolist())), seconds


def peak_megabytes() -> float:
    """Peak resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def main() -> None:
    """Print the comparison."""
    start = time.perf_counter()
    rbo_extrapolated(np.array([[0, 1]]), np.array([[1, 0]]), P)
    print(
        f"first call, compilation or loading it from the cache: {time.perf_counter() - start:.2f} s, not counted below"
    )

    for n_items in CATALOGUES:
        a, b = pairs_of_lists(PAIRS, DEPTH, n_items, seed=0)
        print(f"\n{PAIRS:,} pairs of top-{DEPTH} lists, {n_items:,} items, RBO(p={P})")
        before = peak_megabytes()
        ours = best_of(partial(rbo_extrapolated, a, b, P), 50)
        grown = peak_megabytes() - before
        print(f"  ours: {1e3 * ours:.1f} ms ({1e6 * ours / PAIRS:.2f} us a pair); peak memory grew by {grown:.0f} MB")
        try:
            theirs, seconds = peer_times(a, b)
        except ImportError:
            print("  the PyPI package rbo is not installed: no comparison")
        else:
            for kind, each in seconds.items():
                print(
                    f"  PyPI rbo, rows as {kind}: {each * PAIRS:.2f} s ({PEER_PAIRS} pairs, scaled to {PAIRS:,});"
                    f" ours is {each * PAIRS / ours:,.0f} times as fast"
                )
            difference = np.abs(theirs - rbo_extrapolated(a, b, P)[:PEER_PAIRS]).max()
            print(f"  largest difference: {difference:.1e}")

        for factor in (1, 4, 16):
            many_a, many_b = np.tile(a, (factor, 1)), np.tile(b, (factor, 1))
            many = best_of(partial(rbo_extrapolated, many_a, many_b, P), 5)
            print(f"  {factor:2d} x pairs: {1e3 * many:7.1f} ms, {many / ours / factor:.2f} of linear")
        print(f"  Jaccard@10: {1e3 * best_of(partial(jaccard, a, b, 10)):.1f} ms")

    full_a, full_b = pairs_of_lists(200, 20_000, 20_000, seed=1)
    whole = best_of(partial(average_overlap, full_a, full_b), 3)
    print(f"\nAverageOverlap@all, 200 pairs of 20,000 items: {1e3 * whole:.1f} ms ({1e6 * whole / 200:.0f} us a pair)")
    print(f"peak memory of the process, inputs included: {peak_megabytes():.0f} MB")


if __name__ == "__main__":
    main()
