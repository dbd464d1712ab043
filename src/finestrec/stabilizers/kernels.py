"""Compiled loops of the stabilizers; importing this module imports numba, so functions import it when they run."""

import numpy as np
from numpy.typing import NDArray

from finestrec.compiled import compiled


@compiled("void(f4[:,::1], i8[:,::1], i8[:,::1], f8, i8[:,::1])")
def merge(
    scores: NDArray[np.float32],
    best: NDArray[np.int64],
    yesterday: NDArray[np.int64],
    tau: float,
    merged: NDArray[np.int64],
) -> None:
    """See `finestrec.stabilizers.hysteresis.merged_lists`.

    Args:
        scores: Shape (n, N).
        best: Shape (n, k).
        yesterday: Shape (n, d), d <= k; -1 is no item.
        tau: 0 or more.
        merged: Written, shape (n, k).
    """
    depth = yesterday.shape[1]
    placed = np.zeros(scores.shape[1], dtype=np.bool_)
    for row in range(best.shape[0]):
        challenger, first = 0, 0
        for place in range(best.shape[1]):
            while placed[best[row, challenger]]:
                challenger += 1
            chosen = best[row, challenger]
            if place < depth:
                limit = scores[row, chosen] - tau
                while first < depth and (yesterday[row, first] < 0 or placed[yesterday[row, first]]):
                    first += 1
                for number in range(first, depth):
                    item = yesterday[row, number]
                    if item >= 0 and not placed[item] and scores[row, item] >= limit:
                        chosen = item
                        break
            merged[row, place] = chosen
            placed[chosen] = True
        placed[merged[row]] = False
