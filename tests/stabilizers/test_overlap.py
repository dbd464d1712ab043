"""The overlap loss against the measure that it stands for."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chains import markov_log
from finestrec.data.splits import split
from finestrec.measures.overlap import frbo
from finestrec.stabilizers import Recipe, stabilizer
from finestrec.stabilizers.overlap import soft_overlap


@settings(deadline=None)
@given(
    scores=st.permutations(range(8)), reference=st.permutations(range(8)), k=st.integers(1, 8), p=st.floats(0.05, 0.95)
)
def test_with_sharp_ranks_it_is_frbo(scores: list[int], reference: list[int], k: int, p: float) -> None:
    own = np.argsort(-np.array(scores))[None, :k]
    expected = frbo(own, np.array([reference[:k]]), p, k)
    found = soft_overlap(
        torch.tensor([scores], dtype=torch.float64), torch.tensor([reference[:k]]), p=p, temperature=1e-3
    )
    np.testing.assert_allclose(found, expected, atol=1e-9)


def slowly(scores: torch.Tensor, reference: list[int], p: float, temperature: float) -> float:
    """An item at a time."""
    k = len(reference)
    union = set(reference) | set(scores.topk(k).indices.tolist())

    def weight(rank: int) -> float:
        return sum(p ** (d - 1) / d for d in range(rank, k + 1)) * (1 - p) / (1 - p**k)

    total = 0.0
    for place, item in enumerate(reference, start=1):
        soft = 1 + sum(1 / (1 + np.exp(-(scores[j] - scores[item]).item() / temperature)) for j in union if j != item)
        rank = min(max(soft, place), k + 1)
        whole = int(np.floor(rank))
        total += weight(whole) * (1 - rank + whole) + weight(whole + 1) * (rank - whole)
    return total


def test_soft_ranks_are_sums_over_the_union_item_by_item() -> None:
    torch.manual_seed(0)
    scores = torch.randn(30, 12, dtype=torch.float64)
    items = torch.stack([torch.randperm(12)[:5] for _ in range(30)])
    found = soft_overlap(scores, items, p=0.8, temperature=0.7)
    expected = [slowly(row, reference.tolist(), 0.8, 0.7) for row, reference in zip(scores, items, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_its_gradient_is_that_of_differences() -> None:
    torch.manual_seed(0)
    scores = torch.randn(4, 9, dtype=torch.float64, requires_grad=True)
    items = torch.stack([torch.randperm(9)[:4] for _ in range(4)])
    assert torch.autograd.gradcheck(lambda s: soft_overlap(s, items, p=0.9, temperature=0.5), (scores,))


def test_an_intruder_is_pushed_down_and_the_list_up() -> None:
    scores = torch.tensor([[1.0, 0.9, 0.8, 2.0, 0.0]], requires_grad=True)
    soft_overlap(scores, torch.tensor([[0, 1, 2]]), p=0.9, temperature=0.5).sum().backward()
    assert scores.grad is not None
    assert scores.grad[0, 3] < 0
    assert scores.grad[0, 4] == 0
    assert scores.grad[0, :3].sum() > 0


def test_fine_tuning_on_it_holds_lists_better_than_a_warm_start() -> None:
    parts = split(markov_log(users=80, items=30, length=20, seed=0))
    recipe = Recipe.of(
        "lstm", model_options={"hidden": 16}, training={"epochs": 8, "lr": 0.01}, finest={"epochs": 5, "lr": 0.01}
    )
    base = stabilizer("retrain", recipe).fit(parts.train, 0)
    test = parts.held_out(50)
    before = base.rank(test, 10).items
    overlaps = {}
    for method in ("warm_start", "finest:rho=0:weight=0", "rbo:weight=0", "rbo:weight=10:k=10"):
        strategy = stabilizer(method, recipe)
        found = strategy.fit(parts.train, 1, base).rank(test, 10).items
        overlaps[method] = frbo(before, found, 0.9, 10).mean()
    assert overlaps["rbo:weight=10:k=10"] > overlaps["warm_start"] + 0.05
    assert overlaps["finest:rho=0:weight=0"] == pytest.approx(overlaps["warm_start"])
