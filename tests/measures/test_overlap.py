import math
import tracemalloc
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finestrec.errors import DataError, OptionError
from finestrec.measures import overlap
from finestrec.measures.overlap import (
    average_overlap,
    frbo,
    jaccard,
    rbo_depth,
    rbo_extrapolated,
    rbo_truncated,
    top1_change,
    turnover,
)

# --- the measures again, as slowly and as near to the papers as possible; lists are Python lists ---------------


def shared(s, t, d):
    return len(set(s[:d]) & set(t[:d]))


def slow_rbo_truncated(s, t, p):
    depth = max(len(s), len(t))
    if depth == 0:
        return 1.0
    return (1 - p) * sum(p ** (d - 1) * shared(s, t, d) / d for d in range(1, depth + 1))


def slow_rbo_extrapolated(a, b, p):
    """Eq. 32 of Webber et al. 2010, term by term."""
    if not a and not b:
        return 1.0
    if not a or not b:
        return 0.0
    short, long = sorted((a, b), key=len)
    s, n = len(short), len(long)
    x_s, x_l = shared(short, long, s), shared(short, long, n)
    first = sum(shared(short, long, d) / d * p**d for d in range(1, n + 1))
    second = sum(x_s * (d - s) / (s * d) * p**d for d in range(s + 1, n + 1))
    return (1 - p) / p * (first + second) + ((x_l - x_s) / n + x_s / s) * p**n


def slow_frbo(s, t, p, k):
    s, t = s[:k], t[:k]
    depth = max(len(s), len(t))
    return slow_rbo_truncated(s, t, p) / (1 - p**depth) if depth else 1.0


def slow_average_overlap(s, t):
    depth = max(len(s), len(t))
    return sum(shared(s, t, d) / d for d in range(1, depth + 1)) / depth if depth else 1.0


def slow_jaccard(s, t, k):
    union = set(s[:k]) | set(t[:k])
    return shared(s, t, k) / len(union) if union else 1.0


def slow_turnover(s, t, k):
    places = min(k, max(len(s), len(t)))
    return 1 - shared(s, t, k) / places if places else 0.0


def slow_top1_change(s, t):
    return float(s[:1] != t[:1])


SIMILARITIES = {
    "rbo_truncated": (partial(rbo_truncated, p=0.9), partial(slow_rbo_truncated, p=0.9)),
    "rbo_extrapolated": (partial(rbo_extrapolated, p=0.9), partial(slow_rbo_extrapolated, p=0.9)),
    "rbo_extrapolated, top-heavy": (partial(rbo_extrapolated, p=0.3), partial(slow_rbo_extrapolated, p=0.3)),
    "frbo": (partial(frbo, p=0.9, k=4), partial(slow_frbo, p=0.9, k=4)),
    "average_overlap": (average_overlap, slow_average_overlap),
    "jaccard": (partial(jaccard, k=4), partial(slow_jaccard, k=4)),
}
CHANGES = {
    "turnover": (partial(turnover, k=4), partial(slow_turnover, k=4)),
    "top1_change": (top1_change, slow_top1_change),
}
ALL = SIMILARITIES | CHANGES


def each(measures):
    return pytest.mark.parametrize(("ours", "slow"), measures.values(), ids=measures.keys())


def rows(*lists, depth=None):
    """Lists of different lengths as one array, -1 behind the shorter ones."""
    width = max(map(len, lists), default=0) if depth is None else depth
    array = np.full((len(lists), width), -1, dtype=np.int64)
    for row, items in zip(array, lists, strict=True):
        row[: len(items)] = items
    return array


def letters(*lists):
    return np.array([[ord(letter) for letter in items] for items in lists])


def random_lists(pairs, depth, n_items, seed=0):
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(n_items)[:depth] for _ in range(pairs)])


def random_pairs(pairs=50, depth=12, n_items=15, seed=0):
    """Pairs of Python lists of random lengths, empty ones included."""
    rng = np.random.default_rng(seed)
    return [
        tuple(rng.permutation(n_items)[: rng.integers(0, depth + 1)].tolist() for _ in range(2)) for _ in range(pairs)
    ]


@pytest.fixture(autouse=True, scope="module")
def _compiled():
    """Hypothesis times each example: none of them should be the one that compiles."""
    overlap._kernel()


ranked = st.lists(st.integers(0, 12), unique=True, max_size=10)


# --- figures from the papers and by hand -----------------------------------------------------------------------


def test_worked_example_of_average_overlap_in_webber_et_al():
    # Two rankings of which only a and c are shared, evaluated to depths 1 to 7, as printed to three decimals.
    printed = [0.000, 0.000, 0.222, 0.292, 0.313, 0.317, 0.312]
    s, t = letters("abcdefg"), letters("zcavwxy")
    ours = [average_overlap(s[:, :d], t[:, :d])[0] for d in range(1, 8)]
    assert np.round(ours, 3) == pytest.approx(printed, abs=1e-12)


@pytest.mark.parametrize(("p", "depth"), [(0.9, 10), (0.98, 50), (0.5, 3)])
def test_weight_of_the_first_ranks_is_eq_21_of_webber_et_al(p, depth):
    # Lists that agree on the first ranks and on nothing below. The paper prints 86% for p = 0.9 and 10 ranks.
    deep = 3000
    s = np.arange(deep)[None]
    t = np.where(np.arange(deep) < depth, np.arange(deep), np.arange(deep) + deep)[None]
    logarithm = math.log(1 / (1 - p)) - sum(p**i / i for i in range(1, depth))
    eq_21 = 1 - p ** (depth - 1) + (1 - p) / p * depth * logarithm
    assert rbo_truncated(s, t, p)[0] == pytest.approx(eq_21, abs=1e-12)
    if p == 0.9:
        assert round(eq_21, 2) == 0.86


def test_values_by_hand():
    # a = 0 1 2, b = 1 0 2: A = 0, 1, 1.
    a, b = rows([0, 1, 2]), rows([1, 0, 2])
    assert rbo_truncated(a, b, 0.5)[0] == pytest.approx(0.5 * (0 + 0.5 + 0.25), abs=1e-15)
    assert rbo_extrapolated(a, b, 0.5)[0] == pytest.approx(0.375 + 0.125, abs=1e-15)
    assert frbo(a, b, 0.5, 2)[0] == pytest.approx(0.25 / 0.75, abs=1e-15)
    assert average_overlap(a, b)[0] == pytest.approx(2 / 3, abs=1e-15)
    assert jaccard(a, b, 1)[0] == 0
    assert jaccard(a, b, 2)[0] == 1
    assert turnover(a, b, 1)[0] == 1
    assert turnover(a, b, 3)[0] == 0
    assert top1_change(a, b)[0] == 1


def test_uneven_lists_by_hand():
    # s = 2, l = 4, X = 1, 2, 2, 3: Eq. 32 with p = 0.5 has 1/2 + 1/4 + 2/24 + 3/64, then 2/2 of 1/24 + 2/64.
    a, b = rows([0, 1], depth=4), rows([0, 1, 2, 3])
    assert rbo_extrapolated(a, b, 0.5)[0] == pytest.approx(1, abs=1e-15)
    c = rows([0, 4, 1, 2])
    # X = 1, 1, 2, 2 and X_s = 1.
    sums = (1 / 2 + 1 / 8 + 2 / 24 + 2 / 64) + (1 / 6 / 8 + 2 / 8 / 16)
    assert rbo_extrapolated(a, c, 0.5)[0] == pytest.approx(sums + (1 / 4 + 1 / 2) / 16, abs=1e-15)
    assert rbo_truncated(a, c, 0.5)[0] == pytest.approx(1 / 2 + 1 / 8 + 2 / 24 + 2 / 64, abs=1e-15)
    assert average_overlap(a, c)[0] == pytest.approx((1 + 1 / 2 + 2 / 3 + 2 / 4) / 4, abs=1e-15)
    assert jaccard(a, c, 3)[0] == pytest.approx(2 / 3)
    assert turnover(a, c, 3)[0] == pytest.approx(1 / 3)


@pytest.mark.parametrize(("p", "n_items", "depth"), [(0.9, 10**6, 394), (0.9, 100, 100), (0.5, 952, 60), (1e-30, 5, 1)])
def test_rbo_depth(p, n_items, depth):
    assert rbo_depth(p, n_items) == depth


def test_ranks_beyond_rbo_depth_do_not_matter():
    a, b = random_lists(20, 900, 900, seed=1), random_lists(20, 900, 900, seed=2)
    depth = rbo_depth(0.9, 900)
    whole = rbo_extrapolated(a, b, 0.9)
    assert rbo_extrapolated(a[:, :depth], b[:, :depth], 0.9) == pytest.approx(whole, abs=1e-15)


# --- independent implementations -------------------------------------------------------------------------------


@each(ALL)
def test_equals_the_obvious_implementation(ours, slow):
    pairs = random_pairs()
    a, b = rows(*(s for s, _ in pairs)), rows(*(t for _, t in pairs))
    assert ours(a, b) == pytest.approx([slow(s, t) for s, t in pairs], abs=1e-14)


@each(ALL)
@given(s=ranked, t=ranked)
def test_equals_the_obvious_implementation_on_any_pair(ours, slow, s, t):
    assert ours(rows(s), rows(t))[0] == pytest.approx(slow(s, t), abs=1e-14)


@pytest.mark.parametrize("p", [0.1, 0.9, 0.98])
def test_rbo_extrapolated_is_rbo_ext_of_the_pypi_package_uneven_lists_included(p):
    peer = pytest.importorskip("rbo", reason="the PyPI package rbo is not installed")
    pairs = random_pairs(depth=40, n_items=60)
    theirs = [peer.RankingSimilarity(s, t).rbo_ext(p=p) for s, t in pairs]
    ours = rbo_extrapolated(rows(*(s for s, _ in pairs)), rows(*(t for _, t in pairs)), p)
    assert ours == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("p", [0.1, 0.9, 0.98])
def test_rbo_truncated_is_rbo_with_p_of_the_pypi_package_on_lists_of_one_length(p):
    peer = pytest.importorskip("rbo", reason="the PyPI package rbo is not installed")
    a, b = random_lists(30, 40, 60, seed=3), random_lists(30, 40, 60, seed=4)
    theirs = [peer.RankingSimilarity(list(s), list(t)).rbo(p=p) for s, t in zip(a, b, strict=True)]
    assert rbo_truncated(a, b, p) == pytest.approx(theirs, abs=1e-12)


def test_average_overlap_is_rbo_without_p_of_the_pypi_package_on_lists_of_one_length():
    peer = pytest.importorskip("rbo", reason="the PyPI package rbo is not installed")
    a, b = random_lists(30, 40, 60, seed=5), random_lists(30, 40, 60, seed=6)
    theirs = [peer.RankingSimilarity(list(s), list(t)).rbo() for s, t in zip(a, b, strict=True)]
    assert average_overlap(a, b) == pytest.approx(theirs, abs=1e-12)


# --- laws ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 7, 200])
def test_average_overlap_is_the_limit_of_frbo(depth):
    a, b = random_lists(20, depth, 300, seed=7), random_lists(20, depth, 300, seed=8)
    for p in (1 - 1e-6, 1 - 1e-9, 1 - 1e-12):
        assert frbo(a, b, p, depth) == pytest.approx(average_overlap(a, b), abs=2 * depth * (1 - p) + 1e-13)


def test_random_permutations_have_the_documented_floor():
    n = 400
    score = average_overlap(random_lists(300, n, n, seed=9), random_lists(300, n, n, seed=10))
    assert score.mean() == pytest.approx((n + 1) / (2 * n), abs=0.01)


@given(s=ranked, t=ranked, p=st.floats(0.01, 0.99), k=st.integers(1, 12))
def test_truncated_below_extrapolated_below_one(s, t, p, k):
    a, b = rows(s), rows(t)
    low, mid = rbo_truncated(a, b, p)[0], rbo_extrapolated(a, b, p)[0]
    assert 0 <= low <= mid + 1e-15
    assert mid <= 1
    assert frbo(a[:, :k], b[:, :k], p, k)[0] == frbo(a, b, p, k)[0]
    n = min(k, max(len(s), len(t)))
    if n:
        assert rbo_truncated(a[:, :k], b[:, :k], p)[0] == pytest.approx(frbo(a, b, p, k)[0] * (1 - p**n), abs=1e-14)


@each(ALL)
@given(s=ranked, t=ranked)
def test_bounds_and_symmetry(ours, slow, s, t):
    value = ours(rows(s), rows(t))[0]
    assert 0 <= value <= 1
    assert ours(rows(t), rows(s))[0] == pytest.approx(value, abs=1e-15)


@given(s=ranked, p=st.floats(1e-6, 1 - 1e-6), k=st.integers(1, 12))
def test_identity_is_exact(s, p, k):
    a = rows(s)
    for similarity in (rbo_extrapolated(a, a, p), frbo(a, a, p, k), average_overlap(a, a), jaccard(a, a, k)):
        assert similarity.tolist() == [1.0]
    for change in (turnover(a, a, k), top1_change(a, a)):
        assert change.tolist() == [0.0]
    expected = 1 - p ** len(s) if s else 1.0
    assert rbo_truncated(a, a, p)[0] == pytest.approx(expected, abs=1e-12)


@each(ALL)
@given(s=ranked, t=ranked, seed=st.integers(0, 1000))
def test_names_of_items_do_not_matter(ours, slow, s, t, seed):
    new_name = np.random.default_rng(seed).permutation(50)
    assert ours(rows(s), rows(t))[0] == ours(rows(new_name[s].tolist()), rows(new_name[t].tolist()))[0]


@each(ALL)
@given(s=ranked, t=ranked, more=st.integers(0, 5))
def test_padding_does_not_matter(ours, slow, s, t, more):
    assert ours(rows(s, depth=len(s) + more), rows(t))[0] == pytest.approx(ours(rows(s), rows(t))[0], abs=1e-15)


@each({name: pair for name, pair in SIMILARITIES.items() if name != "jaccard"})
@given(s=ranked.filter(bool), t=ranked.filter(bool), data=st.data())
def test_an_agreement_that_moves_up_raises_the_similarity(ours, slow, s, t, data):
    """Swap an item that s lacks with a later one of t that s has nowhere deeper: A_d rises, nowhere falls."""
    foreign = [i for i, item in enumerate(t) if item not in s]
    moves = [(i, j) for i in foreign for j in range(i + 1, len(t)) if t[j] in s]
    if not moves:
        return
    i, j = data.draw(st.sampled_from(moves))
    better = list(t)
    better[i], better[j] = better[j], better[i]
    before, after = ours(rows(s), rows(t))[0], ours(rows(s), rows(better))[0]
    assert after >= before - 1e-15
    agreement_rose = s.index(t[j]) < j
    within = i < 4 and s.index(t[j]) < 4
    if agreement_rose and within:
        assert after > before


@given(s=ranked.filter(bool), t=ranked.filter(bool), k=st.integers(1, 12), data=st.data())
def test_a_newly_shared_item_lowers_the_change(s, t, k, data):
    absent = [item for item in s if item not in t]
    foreign = [i for i, item in enumerate(t) if item not in s]
    if not absent or not foreign:
        return
    better = list(t)
    better[data.draw(st.sampled_from(foreign))] = data.draw(st.sampled_from(absent))
    for change in (partial(turnover, k=k), top1_change):
        assert change(rows(s), rows(better))[0] <= change(rows(s), rows(t))[0]
    assert jaccard(rows(s), rows(better), k)[0] >= jaccard(rows(s), rows(t), k)[0]


@each(ALL)
@settings(max_examples=20)
@given(seed=st.integers(0, 1000), threads=st.integers(1, 5), chunk=st.integers(1, 200))
def test_threads_and_chunks_do_not_matter(ours, slow, seed, threads, chunk):
    pairs = random_pairs(pairs=23, seed=seed)
    a, b = rows(*(s for s, _ in pairs)), rows(*(t for _, t in pairs))
    expected = ours(a, b)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlap, "_usable_cpus", lambda: threads)
        patch.setattr(overlap, "_CHUNK_ITEMS", chunk)
        assert ours(a, b).tolist() == expected.tolist()


# --- edge cases ------------------------------------------------------------------------------------------------


@each(SIMILARITIES)
def test_empty_lists_of_a_similarity(ours, slow):
    assert ours(rows([], [0, 1], []), rows([], [], [2])).tolist() == [1, 0, 0]
    assert ours(rows([], []), rows([], [])).tolist() == [1, 1]


@each(CHANGES)
def test_empty_lists_of_a_change(ours, slow):
    assert ours(rows([], [0, 1], []), rows([], [], [2])).tolist() == [0, 1, 1]
    assert ours(rows([], []), rows([], [])).tolist() == [0, 0]


@each(ALL)
def test_no_pairs(ours, slow):
    result = ours(np.empty((0, 5), dtype=np.int32), np.empty((0, 3), dtype=np.int32))
    assert result.shape == (0,)
    assert result.dtype == np.float64


def test_lists_shorter_than_k_keep_identity():
    a = rows([3, 1, 2])
    assert frbo(a, a, 0.9, 10).tolist() == [1]
    assert jaccard(a, a, 10).tolist() == [1]
    assert turnover(a, a, 10).tolist() == [0]
    # A lost item is a change, in all of them.
    b = rows([3, 1])
    assert frbo(a, b, 0.9, 10)[0] == pytest.approx(slow_frbo([3, 1, 2], [3, 1], 0.9, 3))
    assert jaccard(a, b, 10)[0] == turnover(a, b, 10)[0] + 1 / 3 == pytest.approx(2 / 3)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32, np.uint32, np.int64, np.uint64, ">i4"])
def test_any_integer_type(dtype):
    a, b = random_lists(9, 20, 40, seed=1), random_lists(9, 20, 40, seed=2)
    expected = rbo_extrapolated(a, b, 0.9)
    assert rbo_extrapolated(a.astype(dtype), b, 0.9).tolist() == expected.tolist()


def test_any_memory_layout(tmp_path):
    a, b = random_lists(9, 20, 40, seed=1), random_lists(9, 20, 40, seed=2)
    expected = rbo_extrapolated(a, b, 0.9).tolist()
    frozen = a.astype(np.int32)
    frozen.flags.writeable = False
    np.save(tmp_path / "lists.npy", frozen)
    mapped = np.load(tmp_path / "lists.npy", mmap_mode="r")
    for other in (frozen, mapped, np.asfortranarray(a), np.repeat(a, 2, axis=1)[:, ::2], a.tolist()):
        assert rbo_extrapolated(other, b, 0.9).tolist() == expected


@pytest.mark.parametrize("offset", [2**24 - 20, 2**31 - 20, 2**62])
@each(ALL)
def test_huge_item_indices_need_no_huge_table(ours, slow, offset):
    pairs = random_pairs()
    a, b = rows(*(s for s, _ in pairs)), rows(*(t for _, t in pairs))
    far_a, far_b = np.where(a < 0, a, a + offset), np.where(b < 0, b, b + offset)
    tracemalloc.start()
    assert ours(far_a, far_b).tolist() == ours(a, b).tolist()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 130 * 2**20


def test_memory_does_not_grow_with_pairs_times_depth():
    a = np.tile(np.arange(500, dtype=np.int32), (20_000, 1))
    a[::2] = a[::2, ::-1]
    b = a[:, ::-1]
    rbo_extrapolated(a[:10], b[:10], 0.9)
    tracemalloc.start()
    rbo_extrapolated(a, b, 0.9)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < a.nbytes / 4


def test_stamps_start_again_before_they_overflow(monkeypatch):
    a, b = random_lists(40, 5, 8, seed=1), random_lists(40, 5, 8, seed=2)
    expected = rbo_extrapolated(a, b, 0.9)

    class Small:
        max = 30

    limits = np.iinfo
    monkeypatch.setattr(overlap, "_CHUNK_ITEMS", 10)
    monkeypatch.setattr(overlap.np, "iinfo", lambda kind: Small if kind is np.int32 else limits(kind))
    assert rbo_extrapolated(a, b, 0.9).tolist() == expected.tolist()


def test_works_where_compiled_code_cannot_be_kept(monkeypatch):
    caching = pytest.importorskip("numba.core.caching")
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    overlap._kernel.cache_clear()
    try:
        assert top1_change(rows([0, 1], [2, 3]), rows([0, 2], [3, 2])).tolist() == [0, 1]
    finally:
        overlap._kernel.cache_clear()


def test_usable_cpus_without_affinity(monkeypatch):
    monkeypatch.delattr(overlap.os, "sched_getaffinity", raising=False)
    assert overlap._usable_cpus() >= 1
    monkeypatch.setattr(overlap.os, "cpu_count", lambda: None)
    assert overlap._usable_cpus() == 1


# --- bad input -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([5, 6, 5], "row 1, column 2: item 5 was already at column 0"),
        ([5, -1, 6], "row 1, column 1: -1 ends the list, but more follows"),
        ([5, -3, 6], "row 1, column 1: item index -3"),
        ([5, 6, -2], "row 1, column 2: item index -2"),
        ([-1, -2, -1], "row 1, column 0: -1 ends the list"),
        ([2**40, 5, 2**40], "item 1099511627776 was already at column 0"),
        ([2**40, 5, -2], "row 1, column 2: item index -2"),
        ([2**40, -1, 5], "row 1, column 1: -1 ends"),
    ],
)
@each(ALL)
def test_rows_that_are_no_lists(ours, slow, bad, message):
    good = rows([0, 1, 2], [3, 4, 5], [6, 7, 8])
    broken = good.copy()
    broken[1] = bad
    with pytest.raises(DataError, match=rf"^lists a, .*{message}"):
        ours(broken, good)
    with pytest.raises(DataError, match=rf"^lists b, .*{message}"):
        ours(good, broken)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_first_bad_row_is_reported_whatever_the_threads(monkeypatch, threads):
    a = np.tile(np.arange(4), (90, 1))
    b = a.copy()
    b[[25, 50, 85], 3] = 0
    monkeypatch.setattr(overlap, "_usable_cpus", lambda: threads)
    monkeypatch.setattr(overlap, "_CHUNK_ITEMS", 40)
    with pytest.raises(DataError, match="lists b, row 25, column 3: item 0 was already at column 0"):
        average_overlap(a, b)


def test_ranks_beyond_k_are_checked_too():
    with pytest.raises(DataError, match="item 1 was already"):
        jaccard(rows([0, 1, 1]), rows([0, 1, 2]), 2)


@each(ALL)
@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.zeros((2, 3), int), np.zeros((3, 3), int), "lists a hold 2 rows and lists b 3"),
        (np.zeros(3, int), np.zeros((3, 3), int), r"lists a are an array of shape \(3,\)"),
        (np.zeros((3, 3), int), np.zeros((3, 3)), "lists b .* type float64"),
        (np.zeros((3, 3), bool), np.zeros((3, 3), int), "lists a .* type bool"),
        (np.array([["x"]]), np.zeros((1, 1), int), "expected item indices"),
        (np.full((1, 1), 2**63, np.uint64), np.zeros((1, 1), int), "does not fit into 64 bits"),
    ],
)
def test_arrays_that_hold_no_lists(ours, slow, a, b, message):
    with pytest.raises(DataError, match=message):
        ours(a, b)


@pytest.mark.parametrize("p", [0, 1, -0.1, 1.5, math.nan, math.inf])
def test_p_out_of_range(p):
    a = rows([0, 1])
    for call in (partial(rbo_truncated, a, a), partial(rbo_extrapolated, a, a), partial(frbo, a, a, k=1)):
        with pytest.raises(OptionError, match=r"p is .* strictly between 0 and 1"):
            call(p=p)
    with pytest.raises(OptionError, match="strictly between"):
        rbo_depth(p, 10)


@pytest.mark.parametrize("k", [0, -1, 2.0, "3", None])
def test_k_out_of_range(k):
    a = rows([0, 1])
    for call in (partial(frbo, a, a, 0.9), partial(jaccard, a, a), partial(turnover, a, a)):
        with pytest.raises(OptionError, match=r"k is .* must be"):
            call(k=k)


def test_rbo_depth_of_an_empty_catalogue():
    with pytest.raises(OptionError, match="0 items"):
        rbo_depth(0.9, 0)
