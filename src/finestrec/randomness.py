"""Named random streams (METHOD, "Noise").

Every random decision draws from an independent generator that is derived from (seed, name, indices), never
from the position of the decision in a running stream. Two runs that differ in one interaction therefore share
initial weights, user order, dropout masks and simulated edits: they are *coupled*. A run that is resumed in
its tenth epoch draws what the uninterrupted run would have drawn.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from finestrec.errors import OptionError

if TYPE_CHECKING:
    import torch

StreamName = Literal[
    "init", "order", "dropout", "negatives", "mask", "simulation", "perturbation", "simulator", "sample"
]
_NAMES = frozenset(get_args(StreamName))


def _sequence(seed: int, name: str, indices: tuple[int, ...]) -> np.random.SeedSequence:
    if name not in _NAMES:
        raise OptionError(f"unknown random stream {name!r}; known are {sorted(_NAMES)}")
    if seed < 0:
        raise OptionError(f"the seed is {seed}; it must be 0 or more")
    # As a spawn key and not as entropy: NumPy pads entropy with zeros, which would make (name) and (name, 0) one.
    return np.random.SeedSequence(seed, spawn_key=(zlib.crc32(name.encode()), *indices))


def generator(seed: int, name: StreamName, *indices: int) -> np.random.Generator:
    """The NumPy generator of one named stream.

    Args:
        seed: The run's seed, 0 or more.
        name: What the stream is for.
        indices: Non-negative integers that tell draws apart, e.g. the epoch and the step.
    """
    return np.random.default_rng(_sequence(seed, name, indices))


def derived_seed(seed: int, name: StreamName, *indices: int) -> int:
    """A 63-bit seed for a generator of another library (torch), from the same naming."""
    state = _sequence(seed, name, indices).generate_state(1, np.uint64)
    return int(state[0]) >> 1


def hashed(keys: NDArray[np.int64], seed: int, name: StreamName, *indices: int) -> NDArray[np.uint64]:
    """One pseudo-random 64-bit number per key that does not depend on which other keys are present.

    Ordering keys by it is a uniform shuffle, and its lowest n are a uniform sample without replacement, in
    which the removal of one key moves no other: this is what couples runs on almost equal logs.

    Args:
        keys: Distinct integers, shape (n,).
        seed: The run's seed.
        name: The stream's name.
        indices: As in `generator`.

    Returns:
        The finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014) over the keyed values, shape (n,).
    """
    offset = _sequence(seed, name, indices).generate_state(1, np.uint64)[0]
    # In place from here on: the simulation hashes whole logs every epoch.
    z = keys.astype(np.uint64)
    z *= np.uint64(0x9E3779B97F4A7C15)
    z += offset
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


def lowest(values: NDArray[np.uint64], count: int) -> NDArray[np.int64]:
    """Positions of the `count` lowest values, in ascending order of position.

    Raises:
        OptionError: If `count` is negative or more than there are values.
    """
    if not 0 <= count <= len(values):
        raise OptionError(f"{count} were asked for, but there are {len(values)}; ask for fewer")
    if count == 0:
        return np.empty(0, dtype=np.int64)
    return np.sort(np.argpartition(values, count - 1)[:count])


@contextmanager
def torch_stream(seed: int, name: StreamName, *indices: int, device: "torch.device | None" = None) -> Iterator[None]:
    """Run a block under torch's global generators, seeded from a named stream and restored afterwards.

    Dropout and weight initialisation have no generator argument, so this is the one place where a global
    generator is touched.
    """
    import torch

    devices = [device] if device is not None and device.type != "cpu" else []
    kind = device.type if devices and device is not None else "cuda"
    with torch.random.fork_rng(devices=devices, device_type=kind):
        own = derived_seed(seed, name, *indices)
        if devices:
            torch.manual_seed(own)
        else:  # the same numbers, without the stack trace that `manual_seed` keeps for a CUDA that may come later
            torch.default_generator.manual_seed(own)
        yield
