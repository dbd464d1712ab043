"""Dropout: its masks against SplitMix64 as published, and its statistics."""

import numpy as np
import pytest
import torch
from torch import Tensor

from finestrec.models.base import Dropout
from finestrec.models.masks import LEVELS, MaskOfSeed

SPLITMIX = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
"""The first numbers from seed 1234567, the usual test vector of the generator."""


def kept(count: int, seed: int, dropped: int, kind: torch.dtype = torch.float32) -> Tensor:
    return MaskOfSeed.apply(torch.ones(count, dtype=kind), seed, dropped) > 0


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("dropped", [1, 13107, 32768, 64880])
def test_masks_are_those_of_the_generator(kind: torch.dtype, dropped: int) -> None:
    lanes = [word >> 16 * lane & 0xFFFF for word in SPLITMIX for lane in range(4)][:19]
    assert kept(19, 1234567, dropped, kind).tolist() == [lane >= dropped for lane in lanes]


@pytest.mark.parametrize("seed", [0, 1, 2**62 + 12345, 2**63 - 1])
def test_the_compiled_mask_equals_torchs_beyond_a_block(seed: int) -> None:
    x = torch.randn(41, 101)
    ours = MaskOfSeed.apply(x, seed, 20000)
    torch.testing.assert_close(ours, MaskOfSeed.apply(x.double(), seed, 20000).float())
    assert torch.equal(MaskOfSeed.apply(x.T, seed, 20000), MaskOfSeed.apply(x.T.contiguous(), seed, 20000))
    assert torch.equal(ours, MaskOfSeed.apply(x, seed, 20000))


def test_masks_are_fair_and_neighbours_and_masks_are_uncorrelated() -> None:
    """Correlations of n fair coins have a standard deviation of 1 / sqrt(n): five of them are allowed."""
    n, p = 1 << 20, 0.3
    torch.manual_seed(0)
    dropout, ones = Dropout(p), torch.ones(n)
    masks = [(dropout(ones) > 0).numpy().astype(float) - (1 - dropout.dropped / LEVELS) for _ in range(3)]
    masks += [kept(n, seed, dropout.dropped).numpy() - (1 - dropout.dropped / LEVELS) for seed in (0, 1, 2)]
    variance = p * (1 - p)
    for mask in masks:
        assert abs(mask.mean()) < 5 * np.sqrt(variance / n)
        assert mask.var() == pytest.approx(variance, rel=0.005)
        for lag in (*range(1, 17), 128, 512, 1024, 4096):
            assert abs((mask[lag:] * mask[:-lag]).mean()) < 5 * variance / np.sqrt(n)
        for lane in range(4):
            assert abs(mask[lane::4].mean()) < 5 * np.sqrt(variance / (n / 4))
    for i, first in enumerate(masks):
        for second in masks[:i]:
            for lag in range(6):
                assert abs((first[: n - lag] * second[lag:]).mean()) < 5 * variance / np.sqrt(n)
    kernel = np.abs(np.fft.rfft(masks[0])) ** 2 / (n * variance)  # exponential with mean 1 for white noise
    assert kernel.max() < np.log(n) + 12


def test_kept_elements_are_scaled_so_that_the_mean_stays() -> None:
    x = torch.randn(1000, dtype=torch.float32)
    y = MaskOfSeed.apply(x, 7, 13107)
    assert set((y / x).round(decimals=4).tolist()) == {0.0, 1.25}
    of_kept = y[y != 0] / x[y != 0]
    torch.testing.assert_close(of_kept, torch.full_like(of_kept, 65536 / (65536 - 13107)), rtol=1e-6, atol=0)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
def test_the_gradient_is_the_mask(kind: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.ones(50, 8, requires_grad=True, dtype=kind)
    y = Dropout(0.3)(x)
    weights = torch.randn(50, 8, dtype=kind)
    (y * weights).sum().backward()
    assert x.grad is not None
    assert y.dtype == kind
    torch.testing.assert_close(x.grad, y.detach() * weights)


def test_the_global_generator_decides() -> None:
    x, dropout = torch.ones(1000), Dropout(0.5)
    torch.manual_seed(3)
    first, second = dropout(x), dropout(x)
    torch.manual_seed(3)
    assert torch.equal(dropout(x), first)
    assert not torch.equal(first, second)


def test_inputs_are_left_alone_and_may_be_empty() -> None:
    x = torch.ones(100)
    Dropout(0.5)(x)
    assert torch.equal(x, torch.ones(100))
    assert Dropout(0.5)(torch.ones(0, 4)).shape == (0, 4)


def test_dropout_does_nothing_in_evaluation_or_at_zero() -> None:
    x = torch.randn(5)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x
