"""Churn and focal distillation: the formulas with loops, and what the teacher is asked."""

from math import exp, log

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from finestrec.data.sequences import windows
from finestrec.models import build_model
from finestrec.stabilizers import stabilizer
from finestrec.stabilizers.distillation import focal_divergence
from finestrec.stabilizers.teaching import Teacher, divergence
from finestrec.training.objectives import PositionScores
from rivals import RECIPE, TRAIN, incumbent, smaller, thinned

ROWS = st.lists(st.floats(-5, 5), min_size=4, max_size=4)


def softmax(scores, temperature=1.0) -> list[float]:
    e = [exp(float(score) / temperature) for score in scores]
    return [value / sum(e) for value in e]


def slow_divergence(student, teacher, temperature=1.0) -> float:
    pairs = zip(softmax(teacher, temperature), softmax(student, temperature), strict=True)
    return temperature**2 * sum(q * log(q / p) for q, p in pairs)


@given(ROWS, ROWS, st.sampled_from([0.5, 1.0, 3.0]), st.integers(0, 3))
def test_the_comparisons_are_their_formulas(student, teacher, temperature, target) -> None:
    rows = [torch.tensor([row], dtype=torch.float64) for row in (student, teacher)]
    targets = torch.tensor([target])
    expected = slow_divergence(student, teacher, temperature)
    assert divergence(*rows, targets, temperature=temperature).item() == pytest.approx(expected, abs=1e-9)
    weight = 2 + (3 if max(teacher) == teacher[target] == teacher[int(np.argmax(teacher))] else 0)
    if len(set(teacher)) == 4:
        found = focal_divergence(*rows, targets, temperature=temperature, alpha=2, beta=3)
        assert found.item() == pytest.approx(weight * expected, abs=1e-9)


def test_by_hand() -> None:
    """p = (1/2, 1/2) against q = (3/4, 1/4): KL(q || p) = 3/4 ln(3/2) + 1/4 ln(1/2); q's first item is the target."""
    student, teacher = torch.zeros(1, 2), torch.tensor([[log(3.0), 0.0]])
    expected = 0.75 * log(1.5) + 0.25 * log(0.5)
    assert divergence(student, teacher, torch.tensor([0])).item() == pytest.approx(expected)
    for target, weight in ((0, 6), (1, 1)):
        found = focal_divergence(student, teacher, torch.tensor([target]), temperature=1, alpha=1, beta=5)
        assert found.item() == pytest.approx(weight * expected)


@pytest.mark.parametrize("anchor", [incumbent, smaller])
@pytest.mark.parametrize("method", ["churn_distillation:weight=0.5", "focal_distillation:weight=0.5"])
def test_an_epoch_is_the_weighted_mean_over_the_positions_of_its_log(method, anchor) -> None:
    """Of the incumbent in evaluation mode, over the items that it knows; asked one window at a time."""
    curriculum = stabilizer(method, RECIPE).curriculum(TRAIN, 0, anchor())
    student = build_model("lrurec", 20, 5, {"hidden": 8, "blocks": 1}).eval()
    cut = curriculum.windows(0)
    batches = [cut.batch(dealt) for dealt in cut.deal(16, 0, 0)]
    found = np.mean([curriculum.losses(student, batch)["teacher"].item() for batch in batches])
    known = anchor().model.n_items
    asked = RECIPE.copy_of(anchor(), 20).eval()
    values = []
    for number in range(len(cut.start)):
        batch = cut.batch(np.array([number]))
        with torch.no_grad():
            ours, theirs = (PositionScores(model, batch).all[:, :known] for model in (student, asked))
        for row, other, target in zip(ours, theirs, batch.targets, strict=True):
            weight = 6 if method.startswith("focal") and int(other.argmax()) == int(target) else 1
            values.append(weight * slow_divergence(row, other))
    assert found == pytest.approx(0.5 * np.mean(values), rel=1e-4)


def test_shares_of_a_batch_add_up() -> None:
    curriculum = stabilizer("focal_distillation", RECIPE).curriculum(thinned(), 0, incumbent())
    cut = curriculum.windows(0)
    dealt = cut.deal(16, 0, 0)[0]
    model = build_model("lrurec", 20, 5, {"hidden": 8, "blocks": 1}).eval()
    whole, *shares = (curriculum.losses(model, cut.batch(part)) for part in (dealt, dealt[::2], dealt[1::2]))
    for part in curriculum.parts:
        torch.testing.assert_close(sum(share[part] for share in shares), whole[part])


def test_several_teachers_answer_with_their_mean_probability() -> None:
    models = [build_model("lrurec", 20, seed, {"hidden": 8, "blocks": 1}) for seed in (1, 2, 3)]
    few = windows(thinned()).batch(np.arange(4))
    found = Teacher(models, 20).log_probabilities(few).exp()
    answers = [[softmax(row) for row in PositionScores(model.eval(), few).all.detach()] for model in models]
    np.testing.assert_allclose(found, np.mean(answers, 0), rtol=1e-4)
