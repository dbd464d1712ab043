"""Accuracy with several relevant items, against a loop over lists and against the measures for one target."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finestrec.errors import OptionError
from finestrec.measures.accuracy import ndcg, recall, reciprocal_rank
from finestrec.measures.relevance import mrr_at, ndcg_at, recall_at

LISTS = st.lists(st.integers(0, 9), unique=True, max_size=8)
USERS = st.lists(st.tuples(LISTS, st.sets(st.integers(0, 15), max_size=6)), min_size=1, max_size=6)


def slow(ranked: list[int], relevant: set[int], k: int) -> tuple[float, float, float]:
    if not relevant:
        return math.nan, math.nan, math.nan
    top = ranked[:k]
    hits = [place for place, item in enumerate(top, start=1) if item in relevant]
    best = sum(1 / math.log2(1 + place) for place in range(1, min(k, len(relevant)) + 1))
    gain = sum(1 / math.log2(1 + place) for place in hits)
    return len(hits) / len(relevant), gain / best, 1 / hits[0] if hits else 0.0


@given(USERS, st.integers(1, 9))
def test_equal_to_a_loop(users: list[tuple[list[int], set[int]]], k: int) -> None:
    pairs = [(row, item) for row, (_, relevant) in enumerate(users) for item in sorted(relevant)]
    owners = np.array([row for row, _ in pairs], dtype=np.int64)
    ranks = np.array([users[row][0].index(x) + 1 if x in users[row][0] else 0 for row, x in pairs], dtype=np.int64)
    counts = np.array([len(relevant) for _, relevant in users])
    expected = np.array([slow(ranked, relevant, k) for ranked, relevant in users])
    for column, function in enumerate((recall_at, ndcg_at, mrr_at)):
        np.testing.assert_allclose(function(owners, ranks, counts, k), expected[:, column], rtol=1e-12)


def test_one_relevant_item_is_the_target_of_the_other_measures() -> None:
    ranks, one = np.arange(1, 15), np.ones(14, dtype=int)
    owners = np.arange(14)
    np.testing.assert_allclose(recall_at(owners, ranks, one, 10), recall(ranks, 10))
    np.testing.assert_allclose(ndcg_at(owners, ranks, one, 10), ndcg(ranks, 10))
    np.testing.assert_allclose(mrr_at(owners, ranks, one, 14), reciprocal_rank(ranks))
    with pytest.raises(OptionError, match="k is 0"):
        recall_at(owners, ranks, one, 0)
