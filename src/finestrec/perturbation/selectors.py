"""Which interactions a perturbation touches (METHOD, section 4).

A selector takes the training log, a count and a seed, and returns row positions, distinct and ascending.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from finestrec.data.log import InteractionLog
from finestrec.randomness import StreamName, hashed, lowest

Selector = Callable[[InteractionLog, int, int], NDArray[np.int64]]


def random_rows(
    log: InteractionLog, count: int, seed: int, *indices: int, stream: StreamName = "perturbation"
) -> NDArray[np.int64]:
    """Rows drawn uniformly without replacement.

    The draw is keyed by interaction id: two logs that differ in one interaction lose almost the same rows, so
    runs on them stay coupled. Rows without a lasting id are keyed by their position.
    """
    position = np.arange(len(log))
    keys = np.where(log.interaction_ids >= 0, log.interaction_ids, -2 - position)
    return lowest(hashed(keys, seed, stream, *indices), count)


SELECTORS: Final[dict[str, Selector]] = {"random": random_rows}
"""Every selector by the name that a perturbation SPEC uses."""
