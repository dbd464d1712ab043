"""The compiled recurrence of LRURec, forward and backward, over float32 arrays on a CPU.

Torch makes a pass over memory for every operation of every step. Here it is one pass, and threads share its rows in a
way that results do not depend on. Multiplications and additions may be contracted, which rounds once instead of twice;
nothing is reordered.

Importing this module imports numba and compiles, so functions import it when they run.
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from finestrec.compiled import threaded

Floats = NDArray[np.float32]


@threaded("void(f4[:,:,::1], f4[::1], f4[::1], f4[:,:,::1])", fastmath={"contract"})
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
    for row in prange(u.shape[1]):
        for c in range(2 * C):
            h[0, row, c] = u[0, row, c] + bias[c]
        for t in range(1, u.shape[0]):
            x, y = h[t - 1, row, :C], h[t - 1, row, C:]
            real, imaginary = h[t, row, :C], h[t, row, C:]
            for c in range(C):
                real[c] = u[t, row, c] + bias[c] + (a[c] * x[c] - b[c] * y[c])
                imaginary[c] = u[t, row, C + c] + bias[C + c] + (a[c] * y[c] + b[c] * x[c])


@threaded("void(f4[:,:,::1], f4[:,:,::1], f4[::1], f4[:,:,::1], f4[::1], f4[::1])", fastmath={"contract"})
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
    rows = grad.shape[1]
    of_bias, of_decay = np.zeros((rows, 2 * C), dtype=np.float32), np.zeros((rows, 2 * C), dtype=np.float32)
    for row in prange(rows):
        grad_u[last, row] = grad[last, row]
        of_bias[row] = grad[last, row]
        of_real, of_imaginary = of_bias[row, :C], of_bias[row, C:]
        of_a, of_b = of_decay[row, :C], of_decay[row, C:]
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
    grad_bias[:] = 0
    grad_decay[:] = 0
    for row in range(rows):
        grad_bias += of_bias[row]
        grad_decay += of_decay[row]
