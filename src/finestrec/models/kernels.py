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


@compiled("void(f4[:,:,::1], f4[::1], f4[:,:,::1])", fastmath={"contract"})
def recur(u: Floats, decay: Floats, h: Floats) -> None:
    """Write h_t = decay * h_{t-1} + u_t into `h`.

    Args:
        u: Inputs, shape (L, B, 2C), L >= 1; 2c and 2c + 1 are the real and the imaginary part of channel c.
        decay: Shape (2C,), in the same order.
        h: Written, shape (L, B, 2C).
    """
    h[0] = u[0]
    for t in range(1, u.shape[0]):
        for row in range(u.shape[1]):
            for c in range(u.shape[2] // 2):
                a, b = decay[2 * c], decay[2 * c + 1]
                x, y = h[t - 1, row, 2 * c], h[t - 1, row, 2 * c + 1]
                h[t, row, 2 * c] = u[t, row, 2 * c] + (a * x - b * y)
                h[t, row, 2 * c + 1] = u[t, row, 2 * c + 1] + (a * y + b * x)


@compiled("void(f4[:,:,::1], f4[:,:,::1], f4[::1], f4[:,:,::1], f4[::1])", fastmath={"contract"})
def recur_backwards(grad: Floats, h: Floats, decay: Floats, grad_u: Floats, grad_decay: Floats) -> None:
    """The gradients of `recur`: the same recurrence against time, with the conjugate decay.

    Args:
        grad: Gradient of the states, shape (L, B, 2C), L >= 1.
        h: The states.
        decay: Shape (2C,).
        grad_u: Written, shape (L, B, 2C).
        grad_decay: Written, shape (2C,): the sum over t and rows of grad_u_t * conjugate of h_{t-1}.
    """
    last = grad.shape[0] - 1
    of_row = np.empty_like(grad_decay)
    grad_decay[:] = 0
    for row in range(grad.shape[1]):
        grad_u[last, row] = grad[last, row]
        of_row[:] = 0
        for t in range(last - 1, -1, -1):
            for c in range(grad.shape[2] // 2):
                a, b = decay[2 * c], decay[2 * c + 1]
                x, y = grad_u[t + 1, row, 2 * c], grad_u[t + 1, row, 2 * c + 1]
                p, q = h[t, row, 2 * c], h[t, row, 2 * c + 1]
                grad_u[t, row, 2 * c] = grad[t, row, 2 * c] + (a * x + b * y)
                grad_u[t, row, 2 * c + 1] = grad[t, row, 2 * c + 1] + (a * y - b * x)
                of_row[2 * c] += x * p + y * q
                of_row[2 * c + 1] += y * p - x * q
        grad_decay += of_row


@compiled("void(f4[::1], u8, u2, f4, f4[::1])")
def drop(x: Floats, seed: int, dropped: int, scale: float, y: Floats) -> None:
    """Write `x` into `y` with some elements zero and the rest scaled, by the mask of a seed.

    Args:
        x: Shape (n,).
        seed: 64 bits that name the mask. Element j is dropped where the j-th 16 bits of SplitMix64 (Steele, Lea,
            Flood, OOPSLA 2014) from that seed, lowest bits first, are below `dropped`.
        dropped: 0..65535.
        scale: Factor of what is kept.
        y: Written, shape (n,).
    """
    words = np.empty(_BLOCK // 4, dtype=np.uint64)
    lanes = words.view(np.uint16)
    for begin in range(0, len(x), _BLOCK):
        for i in range(_BLOCK // 4):
            z = seed + np.uint64(begin // 4 + i + 1) * np.uint64(0x9E3779B97F4A7C15)
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            words[i] = z ^ (z >> np.uint64(31))
        of_x, of_y = x[begin : begin + _BLOCK], y[begin : begin + _BLOCK]
        for j in range(len(of_x)):
            of_y[j] = of_x[j] * scale if lanes[j] >= dropped else np.float32(0)
