from collections.abc import Callable
from itertools import product
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import chisquare, spearmanr

from finestrec.errors import OptionError
from finestrec.randomness import StreamName, derived_seed, generator, hashed, lowest, torch_stream

NAMES = get_args(StreamName)
INDICES: list[tuple[int, ...]] = [(), (0,), (1,), (0, 0), (0, 1), (1, 0), (0, 0, 0), (7, 3, 1)]
STREAMS = list(product([0, 1, 2**40], NAMES, INDICES))
MASK = 2**64 - 1


def test_no_two_streams_are_one() -> None:
    keys = np.arange(3)
    draws: list[Callable[[int, StreamName, tuple[int, ...]], object]] = [
        lambda seed, name, indices: int(generator(seed, name, *indices).integers(2**62)),
        lambda seed, name, indices: derived_seed(seed, name, *indices),
        lambda seed, name, indices: tuple(hashed(keys, seed, name, *indices).tolist()),
    ]
    for draw in draws:
        assert len({draw(*stream) for stream in STREAMS}) == len(STREAMS)


def test_a_missing_index_is_not_index_zero() -> None:
    seeds = [derived_seed(0, "order"), derived_seed(0, "order", 0), derived_seed(0, "order", 0, 0)]
    assert len(set(seeds)) == 3


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_repeats_whatever_was_drawn_elsewhere(name: StreamName) -> None:
    expected = generator(3, name, 2, 1).random(5).tolist()
    other = generator(3, "order")
    other.random(17)
    np.random.default_rng(0).random(3)
    assert generator(3, name, 2, 1).random(5).tolist() == expected
    assert derived_seed(3, name, 2) == derived_seed(3, name, 2)


def test_neighbouring_streams_are_uncorrelated() -> None:
    keys = np.arange(4000)
    some = [hashed(keys, seed, name, epoch) for seed in (0, 1) for name in ("order", "mask") for epoch in (0, 1)]
    for one, other in product(range(len(some)), repeat=2):
        if one < other:
            assert abs(spearmanr(some[one], some[other]).statistic) < 0.06


def test_numpys_global_generator_is_left_alone() -> None:
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    generator(0, "order").random(10)
    hashed(np.arange(10), 0, "order")
    derived_seed(0, "order")
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


@given(st.integers(0, 2**70), st.sampled_from(NAMES))
@settings(deadline=None)
def test_derived_seeds_fit_torch(seed: int, name: StreamName) -> None:
    assert 0 <= derived_seed(seed, name) < 2**63
    torch.Generator().manual_seed(derived_seed(seed, name))


@pytest.mark.parametrize("draw", [generator, derived_seed, lambda *args: hashed(np.arange(2), *args)])
def test_unknown_names_and_negative_seeds_are_refused(draw: Callable[..., object]) -> None:
    with pytest.raises(OptionError, match=r"unknown random stream 'ordre'; known are \[.*'order'.*\]"):
        draw(0, "ordre")
    with pytest.raises(OptionError, match="the seed is -1; it must be 0 or more"):
        draw(-1, "order")


def test_torch_stream_refuses_unknown_names_too() -> None:
    with pytest.raises(OptionError, match="unknown random stream"), torch_stream(0, "drop"):  # type: ignore[arg-type]
        pass


# hashed


def mix(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def unmix(z: int) -> int:
    """The inverse of `mix`; a right shift by s is undone by repeating it, a product by the inverse modulo 2^64."""
    z = z ^ (z >> 31) ^ (z >> 62)
    z = (z * pow(0x94D049BB133111EB, -1, 2**64)) & MASK
    z = z ^ (z >> 27) ^ (z >> 54)
    z = (z * pow(0xBF58476D1CE4E5B9, -1, 2**64)) & MASK
    return z ^ (z >> 30) ^ (z >> 60)


def splitmix(state: int, key: int) -> int:
    """The output number `key` of SplitMix64 from a state, counted from 1."""
    return mix((state + key * 0x9E3779B97F4A7C15) & MASK)


def test_hashed_is_splitmix64_from_the_streams_own_state() -> None:
    # The first outputs of the reference implementation for the state 1234567.
    assert [splitmix(1234567, n) for n in (1, 2, 3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]
    state = unmix(int(hashed(np.array([0]), 5, "order", 1)[0]))
    keys = np.array([1, 2, 3, 17, 2**40, -1, -2])
    assert hashed(keys, 5, "order", 1).tolist() == [splitmix(state, int(key)) for key in keys]


@settings(deadline=None)
@given(st.lists(st.integers(-(2**62), 2**62), unique=True, min_size=1), st.data())
def test_hashed_does_not_depend_on_the_other_keys(keys: list[int], data: st.DataObject) -> None:
    whole = dict(zip(keys, hashed(np.array(keys), 1, "perturbation", 4).tolist(), strict=True))
    some = data.draw(st.permutations(keys))[: data.draw(st.integers(0, len(keys)))]
    assert hashed(np.array(some, dtype=np.int64), 1, "perturbation", 4).tolist() == [whole[key] for key in some]
    assert len(set(whole.values())) == len(keys)


def test_hashed_leaves_its_keys_alone() -> None:
    keys = np.arange(5)
    keys.flags.writeable = False
    first = hashed(keys, 0, "order")
    assert keys.tolist() == [0, 1, 2, 3, 4]
    assert first.dtype == np.uint64


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_hashed_is_uniform_in_its_high_and_low_bits(step: int) -> None:
    values = hashed(np.arange(16_000) * step, 2, "sample")
    for bits in (values & np.uint64(15), values >> np.uint64(60)):
        assert chisquare(np.bincount(bits.astype(np.int64), minlength=16)).pvalue > 1e-4


@settings(deadline=None)
@given(st.lists(st.integers(0, MASK), unique=True), st.data())
def test_lowest_agrees_with_sorting(values: list[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(0, len(values)))
    expected = sorted(sorted(range(len(values)), key=values.__getitem__)[:count])
    found = lowest(np.array(values, dtype=np.uint64), count)
    assert found.tolist() == expected
    assert found.dtype == np.int64


@pytest.mark.parametrize("count", [-1, 4])
def test_lowest_refuses_counts_out_of_range(count: int) -> None:
    values: NDArray[np.uint64] = np.arange(3, dtype=np.uint64)
    with pytest.raises(OptionError, match=f"{count} were asked for, but there are 3"):
        lowest(values, count)


# torch


def test_torch_stream_draws_by_name_and_restores_the_global_state() -> None:
    torch.manual_seed(11)
    expected = torch.rand(4).tolist()
    torch.manual_seed(11)
    draws = []
    for stream in [("dropout", 0, 1), ("dropout", 0, 2), ("init", 0, 1), ("dropout", 0, 1)]:
        before = torch.random.get_rng_state()
        with torch_stream(0, *stream):
            draws.append(tuple(torch.rand(3).tolist()))
            torch.rand(100)
        assert torch.equal(torch.random.get_rng_state(), before)
    assert draws[0] == draws[3]
    assert len(set(draws)) == 3
    assert torch.rand(4).tolist() == expected


def test_torch_stream_restores_the_global_state_after_an_error() -> None:
    before = torch.random.get_rng_state()
    with pytest.raises(RuntimeError, match="must match"), torch_stream(0, "init"):
        _ = torch.rand(3) + torch.rand(2)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_torch_streams_nest() -> None:
    with torch_stream(1, "init"):
        expected = torch.rand(2).tolist()
    with torch_stream(1, "init"):
        first = torch.rand(1).tolist()
        with torch_stream(1, "dropout", 0):
            torch.rand(9)
        assert first + torch.rand(1).tolist() == pytest.approx(expected)


def test_torch_stream_takes_the_host_as_device() -> None:
    with torch_stream(1, "init"):
        expected = torch.rand(2).tolist()
    with torch_stream(1, "init", device=torch.device("cpu")):
        assert torch.rand(2).tolist() == expected
