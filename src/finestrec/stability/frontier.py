"""The plane of accuracy and overlap: what is on its front, and the area that a method dominates.

A point is (accuracy, overlap), both the higher the better. Written here and not taken from a library, because in two
dimensions both are a few lines, and an interval of a hypervolume needs it for thousands of resamples at once.
"""

import numpy as np
from numpy.typing import NDArray


def on_front(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points no other dominates: none is as good in both and better in one.

    Args:
        points: Shape (n, 2).

    Returns:
        Shape (n,). Equal points are on the front together.

    >>> import numpy as np
    >>> on_front(np.array([[1.0, 0.5], [0.9, 0.7], [0.9, 0.6]])).tolist()
    [True, True, False]
    """
    as_good = (points[:, None] >= points).all(axis=2)
    better = (points[:, None] > points).any(axis=2)
    return np.asarray(~(as_good & better).any(axis=0))


def hypervolume(points: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """The area between a reference point and all that some points dominate (Zitzler and Thiele 1998, as S metric).

    Args:
        points: Shape (..., n, 2).
        reference: Shape (..., 2); a point that is not better in both adds nothing.

    Returns:
        Shape (...).

    >>> import numpy as np
    >>> float(hypervolume(np.array([[3.0, 1.0], [1.0, 2.0], [1.0, 1.0]]), np.zeros(2)))
    4.0
    """
    gains = np.maximum(points - reference[..., None, :], 0)
    order = np.argsort(-gains[..., 0], axis=-1)
    width, height = (np.take_along_axis(gains[..., axis], order, -1) for axis in (0, 1))
    # From the right: between a point and the next one to the left, the area is as high as the highest so far.
    steps = width - np.concatenate([width[..., 1:], np.zeros_like(width[..., :1])], axis=-1)
    area: NDArray[np.float64] = (steps * np.maximum.accumulate(height, axis=-1)).sum(axis=-1)
    return area
