"""Compiled passes over float32 arrays: element-wise work between two matrix products, on a CPU.

Torch makes a pass over memory for every operation of a recurrence, and draws random numbers one by one. Here each is
one pass on one thread, so results do not depend on the number of threads. Multiplications and additions may be
contracted, which rounds once instead of twice; nothing is reordered.

Importing this module imports numba and compiles, so functions import it when they run.
"""

import numpy as np
from numpy.typing import NDArray

from finestrec.compiled import compiled

Floats = NDArray[np.float32]

_BLOCK = 1024
"""Elements whose random numbers are drawn at once: they stay in the processor's first cache."""


@compiled("void(f4[:,:,::1], f4[::1], f4[::1], f4[:,:,::1])", fastmath={"contract"})
def recur(u: Floats, bias: Floats, decay: Floats, h: Floats) -> None:
    """Write h_t = decay * h_{t-1} + u_t + bias into `h`.

    Real and imaginary parts are C apart, so that neighbours in memory are neighbouring channels and the processor's
    vectors hold one part of many.

    Args:
        u: Inputs, shape (L, B, 2C), L >= 1; c and C + c are the real and the imaginary part of channel c.
        bias: Shape (2C,), in the same order.
        decay: Likewise.
        h: Written, shape (L, B, 2C).
    """
    C = u.shape[2] // 2
    a, b = decay[:C], decay[C:]
    for row in range(u.shape[1]):
        for c in range(2 * C):
            h[0, row, c] = u[0, row, c] + bias[c]
        for t in range(1, u.shape[0]):
            x, y = h[t - 1, row, :C], h[t - 1, row, C:]
            real, imaginary = h[t, row, :C], h[t, row, C:]
            for c in range(C):
                real[c] = u[t, row, c] + bias[c] + (a[c] * x[c] - b[c] * y[c])
                imaginary[c] = u[t, row, C + c] + bias[C + c] + (a[c] * y[c] + b[c] * x[c])


@compiled("void(f4[:,:,::1], f4[:,:,::1], f4[::1], f4[:,:,::1], f4[::1], f4[::1])", fastmath={"contract"})
def recur_backwards(
    grad: Floats, h: Floats, decay: Floats, grad_u: Floats, grad_bias: Floats, grad_decay: Floats
) -> None:
    """The gradients of `recur`: the same recurrence against time, with the conjugate decay.

    Args:
        grad: Gradient of the states, shape (L, B, 2C), L >= 1.
        h: The states.
        decay: Shape (2C,).
        grad_u: Written, shape (L, B, 2C).
        grad_bias: Written, shape (2C,): the sum over t and rows of grad_u.
        grad_decay: Written, shape (2C,): the sum over t and rows of grad_u_t * conjugate of h_{t-1}.
    """
    C, last = grad.shape[2] // 2, grad.shape[0] - 1
    a, b = decay[:C], decay[C:]
    of_a, of_b = np.empty(C, dtype=np.float32), np.empty(C, dtype=np.float32)
    of_real, of_imaginary = np.empty(C, dtype=np.float32), np.empty(C, dtype=np.float32)
    grad_bias[:] = 0
    grad_decay[:] = 0
    for row in range(grad.shape[1]):
        grad_u[last, row] = grad[last, row]
        of_real[:], of_imaginary[:] = grad[last, row, :C], grad[last, row, C:]
        of_a[:], of_b[:] = 0, 0
        for t in range(last - 1, -1, -1):
            x, y = grad_u[t + 1, row, :C], grad_u[t + 1, row, C:]
            p, q = h[t, row, :C], h[t, row, C:]
            real, imaginary = grad_u[t, row, :C], grad_u[t, row, C:]
            for c in range(C):
                v = grad[t, row, c] + (a[c] * x[c] + b[c] * y[c])
                w = grad[t, row, C + c] + (a[c] * y[c] - b[c] * x[c])
                of_a[c] += x[c] * p[c] + y[c] * q[c]
                of_b[c] += y[c] * p[c] - x[c] * q[c]
                of_real[c] += v
                of_imaginary[c] += w
                real[c], imaginary[c] = v, w
        grad_bias[:C] += of_real
        grad_bias[C:] += of_imaginary
        grad_decay[:C] += of_a
        grad_decay[C:] += of_b


@compiled("void(u8, i8, u8[::1])")
def _draw(seed: int, begin: int, words: NDArray[np.uint64]) -> None:
    """Numbers of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014) from a seed, the one after the first `begin` and on."""
    for i in range(len(words)):
        z = seed + np.uint64(begin + i + 1) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        words[i] = z ^ (z >> np.uint64(31))


@compiled("void(f4[::1], u8, u2, f4, f4[::1])")
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
    words = np.empty(_BLOCK // 4, dtype=np.uint64)
    lanes = words.view(np.uint16)
    for begin in range(0, len(x), _BLOCK):
        _draw(seed, begin // 4, words)
        of_x, of_y = x[begin : begin + _BLOCK], y[begin : begin + _BLOCK]
        for j in range(len(of_x)):
            of_y[j] = of_x[j] * scale if lanes[j] >= dropped else np.float32(0)


@compiled("void(f4[:,::1], f4[::1], u8, u2, f4, f4[:,::1])", fastmath={"contract"}, error_model="numpy")
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
    words = np.empty(x.shape[1] // 4, dtype=np.uint64)
    lanes = words.view(np.uint16)
    for row in range(x.shape[0]):
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
