import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from finestrec.errors import OptionError
from finestrec.training.losses import bce_loss, gbce_loss, negatives, sampled_softmax_loss, softmax_loss

S_PLUS, S_MINUS = [0.5, -1.0], [[0.2, 1.5, -2.0], [0.0, 3.0, 1.0]]
POSITIVE, NEGATIVE = torch.tensor(S_PLUS, dtype=torch.float64), torch.tensor(S_MINUS, dtype=torch.float64)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_softmax_by_hand() -> None:
    scores = torch.tensor([[math.log(1.0), math.log(2.0), math.log(5.0)], [0.0, 0.0, 0.0]])
    expected = -math.log(5 / 8) - math.log(1 / 3)
    assert softmax_loss(scores, torch.tensor([2, 0])).item() == pytest.approx(expected)


def test_binary_cross_entropy_by_hand() -> None:
    expected = -sum(math.log(sigmoid(s)) for s in S_PLUS)
    expected -= sum(math.log(1 - sigmoid(s)) for row in S_MINUS for s in row)
    assert bce_loss(POSITIVE, NEGATIVE).item() == pytest.approx(expected)


@pytest.mark.parametrize("calibration", [0.0, 0.5, 1.0])
def test_generalised_binary_cross_entropy_by_hand(calibration: float) -> None:
    """The power inside the logarithm, as the paper writes it."""
    alpha = 3 / 9
    beta = alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)
    expected = -sum(math.log(sigmoid(s) ** beta) for s in S_PLUS)
    expected -= sum(math.log(1 - sigmoid(s)) for row in S_MINUS for s in row)
    assert gbce_loss(POSITIVE, NEGATIVE, 10, calibration).item() == pytest.approx(expected / 4)


def test_uncalibrated_gbce_is_bce_over_the_number_of_terms() -> None:
    assert gbce_loss(POSITIVE, NEGATIVE, 10, 0.0).item() == pytest.approx(bce_loss(POSITIVE, NEGATIVE).item() / 4)


def test_gbce_with_every_item_sampled_is_bce_whatever_the_calibration() -> None:
    everything = torch.randn(5, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    positive = everything[:, 0]
    assert gbce_loss(positive, everything, 10, 1.0).item() == pytest.approx(bce_loss(positive, everything).item() / 10)


def test_sampled_softmax_over_every_other_item_is_softmax() -> None:
    scores = torch.randn(4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    targets = torch.tensor([0, 5, 2, 2])
    others = torch.stack([row[torch.arange(6) != target] for row, target in zip(scores, targets, strict=True)])
    positive = scores.gather(1, targets[:, None]).squeeze(1)
    full = softmax_loss(scores, targets).item()
    assert sampled_softmax_loss(positive, others, 6).item() == pytest.approx(full)


def test_losses_of_no_positions_are_zero() -> None:
    none, nothing = torch.empty(0), torch.empty(0, 3)
    assert softmax_loss(nothing, torch.empty(0, dtype=torch.long)) == 0
    assert bce_loss(none, nothing) == gbce_loss(none, nothing, 9, 0.5) == sampled_softmax_loss(none, nothing, 9) == 0


def drawn(ids: list[int], n_items: int = 7, count: int = 4, epoch: int = 0, seed: int = 0) -> NDArray[np.int64]:
    targets = np.abs(np.asarray(ids)) % n_items
    return negatives(np.asarray(ids), targets, n_items, count, seed, epoch)


@given(st.lists(st.integers(0, 10**9), unique=True, max_size=20), st.integers(2, 30), st.integers(1, 5))
def test_negatives_are_items_other_than_the_target(ids: list[int], n_items: int, count: int) -> None:
    items = drawn(ids, n_items, count)
    assert items.shape == (len(ids), count)
    assert ((items >= 0) & (items < n_items)).all()
    assert (items != (np.asarray(ids, dtype=np.int64) % n_items)[:, None]).all()


def test_negatives_are_uniform_over_the_other_items() -> None:
    items = negatives(np.arange(30_000), np.full(30_000, 3), 6, 2, 1, 0)
    counts = np.bincount(items.ravel(), minlength=6)
    assert counts[3] == 0
    # Five items share 60,000 draws; the standard deviation of a count is 98.
    assert (np.abs(np.delete(counts, 3) - 12_000) < 500).all()


def test_a_removed_instance_changes_the_negatives_of_no_other() -> None:
    whole, less = drawn([4, 8, 15, 16, 23]), drawn([4, 8, 16, 23])
    assert whole[[0, 1, 3, 4]].tolist() == less.tolist()


def test_negatives_differ_by_epoch_seed_and_new_interaction() -> None:
    base = drawn(list(range(50)))
    assert (base != drawn(list(range(50)), epoch=1)).any()
    assert (base != drawn(list(range(50)), seed=1)).any()
    new = drawn([-1, -1], count=20)
    assert new[0].tolist() != new[1].tolist()


def test_a_catalogue_of_one_item_has_no_negatives() -> None:
    with pytest.raises(OptionError, match="none to sample"):
        negatives(np.array([1]), np.array([0]), 1, 1, 0, 0)
