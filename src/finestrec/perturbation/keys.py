"""What random draws over rows are keyed by."""

import numpy as np
from numpy.typing import NDArray

from finestrec.data.log import InteractionLog
from finestrec.randomness import StreamName, hashed


def hashed_rows(
    log: InteractionLog, rows: NDArray[np.int64], seed: int, stream: StreamName, *indices: int
) -> NDArray[np.uint64]:
    """One pseudo-random number for each of some rows, by interaction id; by position where there is none.

    Args:
        log: The log.
        rows: Row positions, distinct, shape (n,).
        seed: The run's seed.
        stream: The stream's name.
        indices: Tell draws apart, as in `finestrec.randomness.hashed`.

    Returns:
        Shape (n,); a row's number does not depend on which other rows there are.
    """
    ids = log.interaction_ids[rows]
    return hashed(np.where(ids >= 0, ids, -2 - rows), seed, stream, *indices)
