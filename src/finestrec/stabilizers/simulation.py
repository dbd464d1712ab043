"""FINEST's simulator, for every strategy that trains on edited copies of the log."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finestrec.data.log import InteractionLog
from finestrec.data.sequences import Windows, windows
from finestrec.perturbation.edits import EditKind, SubstituteRule, edit, substitutes
from finestrec.perturbation.selectors import random_rows
from finestrec.randomness import generator
from finestrec.training.objectives import NextItem
from finestrec.training.options import TrainingOptions

Select = Callable[[int], NDArray[np.int64]]
"""From a count, so many rows of a log, distinct and ascending."""


@dataclass(frozen=True)
class Simulation:
    """How an edited copy of a log is made (METHOD, section 3, step 2).

    Attributes:
        rho: Share of the interactions to edit, at least one of them; 0 edits nothing.
        kinds: Kinds of edit, of which one is drawn.
        substitute: The item of replaced and inserted interactions.
        select: Which ones; by default drawn, by interaction id.
    """

    rho: float
    kinds: Sequence[EditKind]
    substitute: SubstituteRule
    select: Select | None = None

    def __call__(self, log: InteractionLog, seed: int, *indices: int) -> InteractionLog:
        """An edited copy of a log, or the log itself where nothing is edited.

        Args:
            log: The training log.
            seed: The run's seed, of the stream "simulation".
            indices: Tell copies apart: the epoch, and more.
        """
        if self.rho == 0:
            return log
        kind = self.kinds[int(generator(seed, "simulation", *indices).integers(len(self.kinds)))]
        count = max(1, int(self.rho * len(log)))
        rows = self.select(count) if self.select else random_rows(log, count, seed, *indices, stream="simulation")
        items = substitutes(log, self.substitute, rows, seed, *indices, stream="simulation")
        return edit(log, kind, rows, items).log


class OnEdits(NextItem):
    """The next-item loss on a newly edited log every epoch."""

    def __init__(self, log: InteractionLog, training: TrainingOptions, seed: int, simulation: Simulation) -> None:
        super().__init__(log, training, seed)
        self._log, self._simulation = log, simulation
        self._edited: tuple[int, Windows] | None = None

    def windows(self, epoch: int) -> Windows:
        """The windows of the epoch's edited log."""
        super().windows(epoch)
        if self._edited is None or self._edited[0] != epoch:
            self._edited = epoch, self.edited(epoch)
        return self._edited[1]

    def edited(self, *indices: int) -> Windows:
        """The windows of an edited copy of the log; edits change neither their number nor their order."""
        log = self._simulation(self._log, self._seed, *indices)
        return windows(log, self._options.max_length, self._options.window)
