"""The gap loss: item by item, by hand, and where it is 0."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from finestrec.stabilizers.gaps import gap_loss

UNIQUE = st.permutations([-2.0, -1.0, 0.0, 0.5, 1.5, 3.0])
NEXT = torch.tensor([0])


def slowly(student: list[float], teacher: list[float], k: int, p: float) -> float:
    k = min(k, 6)
    reference, own = (sorted(range(6), key=lambda i: -scores[i])[:k] for scores in (teacher, student))
    order = intruders = 0.0
    for place, (higher, lower) in enumerate(pairwise(reference)):
        gap = teacher[higher] - teacher[lower]
        order += p**place * max(0.0, gap - (student[higher] - student[lower]))
    for place, item in enumerate(own):
        if item not in reference:
            intruders += p**place * max(0.0, student[item] - student[reference[-1]])
    pairs = sum(p**place for place in range(k - 1))
    return (order / pairs if pairs else 0.0) + intruders / sum(p**place for place in range(k))


@given(UNIQUE, UNIQUE, st.integers(1, 8), st.floats(0.1, 0.95))
def test_it_is_its_formula(student: list[float], teacher: list[float], k: int, p: float) -> None:
    rows = [torch.tensor([row], dtype=torch.float64) for row in (student, teacher)]
    assert gap_loss(*rows, NEXT, k=k, p=p).item() == pytest.approx(slowly(student, teacher, k, p))


def test_by_hand() -> None:
    """r = (0, 1) with a gap of 2, which has become 0.5; item 3 has come in at place 1, 1.5 above item 1."""
    teacher = torch.tensor([[3.0, 1.0, 0.0, -4.0]])
    student = torch.tensor([[1.0, 0.5, 0.0, 2.0]])
    assert gap_loss(student, teacher, NEXT, k=2, p=0.5).item() == pytest.approx(1.5 + 1.5 * (1 / 1.5))


@given(UNIQUE, st.integers(1, 8), st.floats(-5, 5), st.floats(1, 4))
def test_nothing_is_asked_of_a_student_that_scores_alike_or_wider(
    teacher: list[float], k: int, shift: float, factor: float
) -> None:
    scores = torch.tensor([teacher], dtype=torch.float64)
    for student in (scores, scores + shift, scores * factor):
        assert gap_loss(student, scores, NEXT, k=k, p=0.9).item() == pytest.approx(0, abs=1e-12)


def test_an_intruder_is_pushed_down_and_items_below_are_left_alone() -> None:
    teacher = torch.tensor([[3.0, 1.0, 0.0, -4.0]])
    student = torch.tensor([[3.0, 1.0, 0.0, 2.0]], requires_grad=True)
    gap_loss(student, teacher, NEXT, k=2, p=0.5).sum().backward()
    assert student.grad is not None
    assert student.grad[0].sign().tolist() == [0, -1, 0, 1]
