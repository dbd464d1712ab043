import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import rankdata

from finestrec.errors import DataError, OptionError
from finestrec.measures import accuracy
from finestrec.measures.accuracy import ndcg, recall, reciprocal_rank, target_rank

few_values = st.sampled_from([-math.inf, -1.0, 0.0, 0.5, 0.5000001, math.inf])
score_tables = st.tuples(st.integers(1, 6), st.integers(1, 8)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=few_values)
)


@given(scores=score_tables, data=st.data())
def test_target_rank_is_the_place_in_a_stable_descending_sort(scores, data):
    n, n_items = scores.shape
    target = np.array(data.draw(st.lists(st.integers(0, n_items - 1), min_size=n, max_size=n)))
    by_rule = [
        sorted(range(n_items), key=lambda i: (-row[i], i)).index(t) + 1 for row, t in zip(scores, target, strict=True)
    ]
    by_scipy = rankdata(-scores, method="ordinal", axis=1)[np.arange(n), target]
    assert target_rank(scores, target).tolist() == by_rule == by_scipy.tolist()


@given(scores=score_tables)
def test_the_ranks_of_all_items_are_a_permutation(scores):
    n, n_items = scores.shape
    ranks = [target_rank(scores, np.full(n, item)) for item in range(n_items)]
    assert (np.sort(ranks, axis=0) == np.arange(1, n_items + 1)[:, None]).all()


def test_ties_go_to_the_smaller_index():
    scores = np.tile([1.0, 2.0, 1.0, 1.0], (4, 1))
    assert target_rank(scores, np.arange(4)).tolist() == [2, 1, 3, 4]


def test_blocks_do_not_matter(monkeypatch):
    rng = np.random.default_rng(0)
    scores, target = rng.integers(0, 5, (50, 30)), rng.integers(0, 30, 50)
    expected = target_rank(scores, target)
    monkeypatch.setattr(accuracy, "_BLOCK_SCORES", 70)
    assert target_rank(scores, target).tolist() == expected.tolist()
    assert target_rank(scores.astype(np.float16), target).tolist() == expected.tolist()


def test_no_instances():
    assert target_rank(np.empty((0, 5)), np.empty(0, dtype=int)).shape == (0,)
    none = np.empty(0, dtype=np.int64)
    assert [len(f) for f in (reciprocal_rank(none), recall(none, 10), ndcg(none, 10))] == [0, 0, 0]


@pytest.mark.parametrize("threshold", [1 << 20, 4])
def test_nan_is_refused_with_row_and_item(monkeypatch, threshold):
    monkeypatch.setattr(accuracy, "_BLOCK_SCORES", threshold)
    scores = np.zeros((5, 4), dtype=np.float32)
    scores[3, 2] = np.nan
    with pytest.raises(DataError, match="row 3: the score of item 2 is NaN"):
        target_rank(scores, np.zeros(5, dtype=int))


@pytest.mark.parametrize(
    ("scores", "target", "message"),
    [
        (np.zeros(3), np.zeros(3, int), r"the scores have shape \(3,\)"),
        (np.zeros((2, 3), complex), np.zeros(2, int), "complex128"),
        (np.zeros((2, 3)), np.zeros(3, int), "expected one item index for each of the 2 rows"),
        (np.zeros((2, 3)), np.zeros(2), "type float64"),
        (np.zeros((2, 3)), np.array([0, 3]), r"row 1: the target is 3, but there are scores for items 0\.\.2"),
        (np.zeros((2, 3)), np.array([-1, 0]), "row 0: the target is -1"),
        (np.zeros((1, 0)), np.array([0]), "the target is 0"),
    ],
)
def test_scores_and_targets_that_do_not_fit(scores, target, message):
    with pytest.raises(DataError, match=message):
        target_rank(scores, target)


def test_values_by_hand():
    ranks = np.array([1, 2, 3, 7, 10, 11, 952])
    assert reciprocal_rank(ranks) == pytest.approx([1, 1 / 2, 1 / 3, 1 / 7, 1 / 10, 1 / 11, 1 / 952])
    assert recall(ranks, 10).tolist() == [1, 1, 1, 1, 1, 0, 0]
    assert ndcg(ranks, 10) == pytest.approx([1, 0.63092975, 0.5, 1 / 3, 0.28906483, 0, 0], abs=1e-8)


@given(rank=st.integers(1, 60), k=st.integers(1, 50))
def test_ndcg_is_gain_over_ideal_gain(rank, k):
    relevance = [float(place == rank) for place in range(1, 61)]
    gain = sum(r / math.log2(place + 2) for place, r in enumerate(relevance[:k]))
    ideal = sum(r / math.log2(place + 2) for place, r in enumerate(sorted(relevance, reverse=True)[:k]))
    assert ndcg(np.array([rank]), k)[0] == pytest.approx(gain / ideal, abs=1e-15)
    assert recall(np.array([rank]), k)[0] == sum(relevance[:k])


def test_per_instance_results_are_floats():
    for values in (reciprocal_rank([1, 2]), recall([1, 2], 1), ndcg([1, 2], 1)):
        assert values.dtype == np.float64


@pytest.mark.parametrize("measure", [reciprocal_rank, lambda r: recall(r, 10), lambda r: ndcg(r, 10)])
def test_ranks_that_are_none(measure):
    with pytest.raises(DataError, match="row 1: the rank is 0; ranks count from 1"):
        measure(np.array([1, 0]))
    with pytest.raises(DataError, match="float64"):
        measure(np.array([1.0, 2.0]))
    with pytest.raises(DataError, match=r"shape \(1, 1\)"):
        measure(np.array([[1]]))


@pytest.mark.parametrize("measure", [recall, ndcg])
def test_cutoff_out_of_range(measure):
    with pytest.raises(OptionError, match="k is 0"):
        measure(np.array([1]), 0)
