"""Compiled passes over float32 arrays: dropout and what stands beside it between two matrix products, on a CPU.

Torch makes a pass over memory for every operation, and draws random numbers one by one. Here each is one pass, and
threads share it in a way that results do not depend on. Multiplications and additions may be contracted, which rounds
once instead of twice; nothing is reordered.

Importing this module imports numba and compiles, so functions import it when they run.
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from finestrec.compiled import compiled, threaded

Floats = NDArray[np.float32]

_BLOCK = 1024
"""Elements whose random numbers are drawn at once: they stay in the processor's first cache."""


@compiled("void(u8, i8, u8[::1])")
def _draw(seed: int, begin: int, words: NDArray[np.uint64]) -> None:
    """Numbers of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014) from a seed, the one after the first `begin` and on."""
    for i in range(len(words)):
        z = seed + np.uint64(begin + i + 1) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        words[i] = z ^ (z >> np.uint64(31))


@threaded("void(f4[::1], u8, u2, f4, f4[::1])")
def drop(x: Floats, seed: int, dropped: int, scale: float, y: Floats) -> None:
    """Write `x` into `y` with some elements zero and the rest scaled, by the mask of a seed.

    Args:
        x: Shape (n,).
        seed: 64 bits that name the mask. Element j is dropped where the j-th 16 bits of SplitMix64 from that seed,
            lowest bits first, are below `dropped`.
        dropped: 0..65535.
        scale: Factor of what is kept.
        y: Written, shape (n,).
    """
    for block in prange((len(x) + _BLOCK - 1) // _BLOCK):
        begin = block * _BLOCK
        words = np.empty(_BLOCK // 4, dtype=np.uint64)
        lanes = words.view(np.uint16)
        _draw(seed, begin // 4, words)
        of_x, of_y = x[begin : begin + _BLOCK], y[begin : begin + _BLOCK]
        for j in range(len(of_x)):
            of_y[j] = of_x[j] * scale if lanes[j] >= dropped else np.float32(0)


@threaded("void(f4[:,::1], f4[::1], u8, u2, f4, f4[:,::1])", fastmath={"contract"}, error_model="numpy")
def gelu_and_drop(x: Floats, bias: Floats, seed: int, dropped: int, scale: float, slope: Floats) -> None:
    """Overwrite `x` with dropout(gelu(x + bias)), and write its derivative into `slope`.

    gelu(v) = v * P(v), and its derivative P(v) + v * p(v), with p and P the density and the distribution of the
    standard normal. The tail P(-|v|) is exp(-v^2 / 2) times a polynomial in t = 1 / (1 + 0.3275911 |v| / sqrt(2)), to
    8e-8 (Abramowitz, Stegun, 7.1.26); the exponential is 2^n * 2^f, f within half of 0, and the latter a series.

    Args:
        x: Shape (n, W), W a multiple of 4.
        bias: Shape (W,).
        seed: Names the mask, as in `drop`; elements are numbered in row-major order.
        dropped: Likewise.
        scale: Likewise.
        slope: Written, shape (n, W): what a gradient of the result is multiplied by.
    """
    for row in prange(x.shape[0]):
        words = np.empty(x.shape[1] // 4, dtype=np.uint64)
        lanes = words.view(np.uint16)
        _draw(seed, row * len(words), words)
        of_x, of_slope = x[row], slope[row]
        for c in range(x.shape[1]):
            factor = scale if lanes[c] >= dropped else np.float32(0)
            v = of_x[c] + bias[c]
            power = max(v * v * np.float32(-0.5 / np.log(2)), np.float32(-100))
            n = np.int32(power - np.float32(0.5))
            f = (power - np.float32(n)) * np.float32(np.log(2))
            series = np.float32(1 / 24) + f * (np.float32(1 / 120) + f * np.float32(1 / 720))
            series = np.float32(1) + f * (np.float32(1) + f * (np.float32(0.5) + f * (np.float32(1 / 6) + f * series)))
            bell = series * np.int32((n + 127) << 23).view(np.float32)
            t = np.float32(1) / (np.float32(1) + np.float32(0.3275911 / np.sqrt(2)) * abs(v))
            tail = np.float32(1.421413741) + t * (np.float32(-1.453152027) + t * np.float32(1.061405429))
            tail = t * (np.float32(0.254829592) + t * (np.float32(-0.284496736) + t * tail))
            tail = np.float32(0.5) * bell * tail
            below = tail if v < 0 else np.float32(1) - tail
            of_x[c] = v * below * factor
            of_slope[c] = (below + v * bell * np.float32(1 / np.sqrt(2 * np.pi))) * factor
