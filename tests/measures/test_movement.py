"""Ranks of one list's items in another one, against a search in Python lists."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from finestrec.errors import DataError, OptionError
from finestrec.measures.movement import rank_displacement, ranks_in, top_out

LISTS = st.lists(st.integers(0, 12), unique=True, max_size=7)
PAIRS = st.lists(st.tuples(LISTS, LISTS), min_size=1, max_size=6)


def as_array(lists: list[list[int]], depth: int = 7) -> NDArray[np.int64]:
    return np.array([row + [-1] * (depth - len(row)) for row in lists]).reshape(len(lists), depth)


@given(PAIRS, st.integers(1, 8))
def test_equal_to_a_search_in_lists(pairs: list[tuple[list[int], list[int]]], k: int) -> None:
    a, b = (as_array([pair[side] for pair in pairs]) for side in (0, 1))
    displaced, fallen, ranks = rank_displacement(a, b, k), top_out(a, b, k), ranks_in(a, b)
    for i, (before, after) in enumerate(pairs):
        assert ranks[i].tolist() == [after.index(x) + 1 if x in after else 0 for x in before] + [0] * (7 - len(before))
        old, new = before[:k], after[:k]
        moves = [abs(old.index(x) - new.index(x)) for x in old if x in new]
        expected = sum(moves) / len(moves) if moves else math.nan
        assert displaced[i] == pytest.approx(expected, nan_ok=True)
        if not before:
            assert math.isnan(fallen[i])
        else:
            assert fallen[i] == (new.index(before[0]) if before[0] in new else k)


@given(PAIRS, st.integers(1, 8))
def test_displacement_does_not_know_which_side_is_older(pairs: list[tuple[list[int], list[int]]], k: int) -> None:
    a, b = (as_array([pair[side] for pair in pairs]) for side in (0, 1))
    np.testing.assert_array_equal(rank_displacement(a, b, k), rank_displacement(b, a, k))
    same = rank_displacement(a, a, k)
    assert set(same[~np.isnan(same)]) <= {0.0}


def test_what_cannot_be_compared() -> None:
    with pytest.raises(DataError, match=r"\(2, 1\).*as many rows"):
        ranks_in(np.zeros((2, 1), int), np.zeros((1, 1), int))
    with pytest.raises(DataError, match="float64"):
        ranks_in(np.zeros((1, 1)), np.zeros((1, 1), int))
    with pytest.raises(OptionError, match="k is 0"):
        top_out(np.zeros((1, 1), int), np.zeros((1, 1), int), 0)
    assert ranks_in(np.zeros((0, 3), int), np.zeros((0, 2), int)).shape == (0, 3)
    assert math.isnan(top_out(np.zeros((1, 0), int), np.zeros((1, 2), int), 2)[0])
