"""Rank distillation: the union spelt out with sets."""

from math import exp, log

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from finestrec.stabilizers.rank_distillation import union_cross_entropy

UNIQUE = st.permutations([-2.0, -1.0, 0.0, 0.5, 1.5, 3.0])


def slowly(student, teacher, k, temperature) -> float:
    union = {i for scores in (student, teacher) for i in sorted(range(6), key=lambda i: -scores[i])[:k]}
    q, p = ({i: exp(scores[i] / temperature) for i in union} for scores in (teacher, student))
    return -(temperature**2) * sum(q[i] / sum(q.values()) * log(p[i] / sum(p.values())) for i in union)


@given(UNIQUE, UNIQUE, st.integers(1, 8), st.sampled_from([0.5, 1.0, 2.0]))
def test_the_loss_is_its_formula(student, teacher, k, temperature) -> None:
    rows = [torch.tensor([row], dtype=torch.float64) for row in (student, teacher)]
    found = union_cross_entropy(*rows, torch.tensor([0]), k=k, temperature=temperature)
    assert found.item() == pytest.approx(slowly(student, teacher, k, temperature))


def test_by_hand() -> None:
    """K = 1: the teacher's first is 0, the student's 2, so item 1 is out: q = (3/4, 1/4), p = (1/3, 2/3)."""
    teacher, student = torch.tensor([[log(3.0), -1.0, 0.0]]), torch.tensor([[0.0, -7.0, log(2.0)]])
    found = union_cross_entropy(student, teacher, torch.tensor([0]), k=1, temperature=1.0)
    assert found.item() == pytest.approx(-0.75 * log(1 / 3) - 0.25 * log(2 / 3))


def test_an_intruder_is_pushed_down_and_the_rest_is_left_alone() -> None:
    teacher = torch.tensor([[5.0, 4.0, -3.0, -4.0, -5.0]])
    student = torch.tensor([[1.0, 0.0, -3.0, 2.0, -5.0]], requires_grad=True)
    union_cross_entropy(student, teacher, torch.tensor([0]), k=2, temperature=1.0).sum().backward()
    gradient = student.grad[0]
    assert gradient[3] > 0
    assert gradient[0] < 0
    assert gradient[2] == gradient[4] == 0
