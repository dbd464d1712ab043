"""Intervals by hand, and the fast attention against the paper's sums over pairs of positions."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from finestrec.models.attention import AttentionOptions
from finestrec.models.tisasrec import IntervalAttention, relative_intervals


def test_intervals_by_hand() -> None:
    """Gaps 10, 0, 4, 30: the unit is 10 after the first of them, and 4 from the third on."""
    assert relative_intervals(torch.tensor([[100, 110, 110, 114, 144]])).tolist() == [
        [
            [0, 0, 0, 0, 0],
            [1, 0, 0, 0, 0],  # 10 / 10
            [1, 0, 0, 0, 0],  # an equal time is no gap
            [3, 1, 1, 0, 0],  # 14 / 4 and 4 / 4, rounded down
            [11, 8, 8, 7, 0],  # 44, 34, 34 and 30 over 4
        ]
    ]


def test_one_interaction_and_equal_times_have_no_interval() -> None:
    assert relative_intervals(torch.tensor([[7]])).tolist() == [[[0]]]
    assert relative_intervals(torch.tensor([[7, 7, 7]])).tolist() == [[[0] * 3] * 3]


def test_long_intervals_are_clipped() -> None:
    ends = relative_intervals(torch.tensor([[0, 1, 256, 257], [0, 1, 10**18, 10**18 + 1]]))[:, :, 0].tolist()
    assert ends == [[0, 1, 256, 256], [0, 1, 256, 256]]


def slow_intervals(times: list[int]) -> list[list[int]]:
    rows = []
    for i in range(len(times)):
        gaps = [b - a for a, b in pairwise(times[: i + 1]) if b > a]
        unit = min(gaps, default=1)
        rows.append([min(256, (times[i] - times[j]) // unit) if j <= i else 0 for j in range(len(times))])
    return rows


@given(st.integers(-1000, 1000), st.lists(st.sampled_from([0, 0, 1, 2, 3, 7, 50, 3000]), max_size=8), st.integers(0, 3))
def test_intervals_equal_the_loop_and_do_not_see_the_padding(start: int, gaps: list[int], padding: int) -> None:
    times = [start + sum(gaps[:n]) for n in range(len(gaps) + 1)]
    n = len(times)
    intervals = relative_intervals(torch.tensor([times + [0] * padding]))[0]
    assert intervals[:n, :n].tolist() == slow_intervals(times)
    assert int(intervals.min()) >= 0
    assert int(intervals.max()) <= 256


@given(st.lists(st.integers(0, 500), min_size=1, max_size=8), st.integers(1, 10**6), st.integers(-(10**9), 10**9))
def test_intervals_do_not_depend_on_the_logs_unit_and_origin(gaps: list[int], scale: int, shift: int) -> None:
    times = torch.tensor([gaps]).cumsum(1)
    assert torch.equal(relative_intervals(times * scale + shift), relative_intervals(times))


def naive(attention: IntervalAttention, x: Tensor, tables: list[Tensor], intervals: Tensor) -> Tensor:
    """Eq. 6 to 8 of the paper with an array of keys and one of values for every pair of positions, head by head."""
    position_keys, position_values, interval_keys, interval_values = tables
    L, D = x.shape[1:]
    d = D // attention.heads
    query, key, value = attention.project_in.weight.split(D)
    all_keys = (x @ key.T + position_keys)[:, None] + interval_keys[intervals]  # (B, L, L, D): of j as i reads it
    all_values = (x @ value.T + position_values)[:, None] + interval_values[intervals]
    queries = x @ query.T
    heads = []
    for h in range(attention.heads):
        own = slice(h * d, (h + 1) * d)
        e = torch.einsum("bid,bijd->bij", queries[..., own], all_keys[..., own]) / math.sqrt(d)
        e = e.masked_fill(torch.arange(L)[None, :] > torch.arange(L)[:, None], -1e30)
        alpha = e.exp() / e.exp().sum(2, keepdim=True)
        heads.append(torch.einsum("bij,bijd->bid", alpha, all_values[..., own]))
    return torch.cat(heads, 2) @ attention.project_out.weight.T + attention.project_out.bias


@pytest.mark.parametrize("heads", [1, 2])
def test_attention_and_its_gradients_equal_the_sums_over_pairs(heads: int) -> None:
    torch.manual_seed(0)
    attention = IntervalAttention(AttentionOptions(hidden=8, heads=heads)).double()
    intervals = relative_intervals(torch.randint(0, 40, (3, 6)).cumsum(1))
    n_intervals = int(intervals.max()) + 1
    results = []
    for formula in (lambda *given: attention(*given[1:]), lambda a, x, *rest: naive(a, x, list(rest[:4]), rest[4])):
        torch.manual_seed(1)
        x, *tables = (
            torch.randn(shape, dtype=torch.float64, requires_grad=True)
            for shape in ((3, 6, 8), (6, 8), (6, 8), (n_intervals, 8), (n_intervals, 8))
        )
        y = formula(attention, x, *tables, intervals)
        attention.zero_grad()
        (y * torch.arange(y.numel()).view(y.shape).cos()).sum().backward()
        results.append([y, *(t.grad for t in (x, *tables, *attention.parameters()))])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)
