"""The front and the hypervolume, against loops, counting and values by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from finestrec.stability.frontier import hypervolume, on_front

WHOLE = st.integers(-2, 6)
POINTS = st.lists(st.tuples(WHOLE, WHOLE), min_size=1, max_size=8).map(lambda points: np.array(points, dtype=float))


def cells(points: NDArray[np.float64]) -> int:
    """Of the unit squares above (0, 0), how many lie below and to the left of a point."""
    return sum(any(x + 1 <= a and y + 1 <= b for a, b in points) for x in range(6) for y in range(6))


@given(POINTS)
def test_the_area_is_the_number_of_squares(points: NDArray[np.float64]) -> None:
    assert hypervolume(points, np.zeros(2)) == pytest.approx(cells(points))


@given(POINTS, st.floats(-3, 3), st.floats(-3, 3))
def test_where_the_plane_begins_and_in_what_order_points_come_does_not_matter(
    points: NDArray[np.float64], x: float, y: float
) -> None:
    moved = np.array(sorted(points.tolist())) + np.array([x, y])
    assert hypervolume(moved, np.array([x, y])) == pytest.approx(hypervolume(points, np.zeros(2)), abs=1e-9)


@given(POINTS, st.tuples(WHOLE, WHOLE))
def test_a_point_adds_what_nobody_dominated_before(points: NDArray[np.float64], more: tuple[int, int]) -> None:
    before, after = (hypervolume(part, np.zeros(2)) for part in (points, np.vstack([points, more])))
    assert after >= before - 1e-9
    if any((point >= more).all() for point in points):
        assert after == pytest.approx(before)
    assert after >= max(0, more[0]) * max(0, more[1]) - 1e-9


def test_many_sets_at_once_are_each_for_itself() -> None:
    rng = np.random.default_rng(0)
    points, reference = rng.normal(size=(50, 4, 2)), rng.normal(size=(50, 2))
    each = [float(hypervolume(one, at)) for one, at in zip(points, reference, strict=True)]
    np.testing.assert_allclose(hypervolume(points, reference), each)


def test_the_area_is_what_random_darts_hit() -> None:
    rng = np.random.default_rng(1)
    points, darts = rng.random((6, 2)), rng.random((200_000, 2))
    hit = (darts[:, None] <= points).all(axis=2).any(axis=1).mean()
    assert hypervolume(points, np.zeros(2)) == pytest.approx(hit, abs=0.005)


@given(POINTS)
def test_the_front_is_what_a_loop_finds(points: NDArray[np.float64]) -> None:
    expected = [not any(a >= x and b >= y and (a > x or b > y) for a, b in points.tolist()) for x, y in points.tolist()]
    assert on_front(points).tolist() == expected
    assert any(expected)
    kept = points[on_front(points)]
    assert hypervolume(kept, np.zeros(2)) == pytest.approx(float(hypervolume(points, np.zeros(2))))
