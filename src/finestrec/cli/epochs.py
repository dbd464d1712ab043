"""A training's epochs as messages, which a run folder keeps in its events."""

import logging
import time

from finestrec.training.progress import Progress

logger = logging.getLogger("finestrec")


class EpochLog:
    """One message a finished epoch, beside a bar where there is one; picklable.

    Args:
        label: Names the training.
        bar: Shown in place of the messages, which are then kept only; or None.
    """

    def __init__(self, label: str, bar: Progress | None) -> None:
        self._label = label
        self._bar = bar
        self._level = logging.INFO if bar is None else logging.DEBUG

    def begin(self, epochs: int, done: int, steps: int) -> None:
        """Start, or go on after some epochs."""
        if done:
            logger.info("%s: %d of %d epochs were done before", self._label, done, epochs)
        self._epochs, self._steps = epochs, steps
        self._restart()
        if self._bar is not None:
            self._bar.begin(epochs, done, steps)

    def step(self, epoch: int, loss: float) -> None:
        """Count the step; say so when it was the last of its epoch."""
        if self._bar is not None:
            self._bar.step(epoch, loss)
        self._sum += loss
        self._done += 1
        if self._done == self._steps:
            seconds = time.perf_counter() - self._began
            mean = self._sum / self._steps
            text = "%s: epoch %d of %d, loss %.4f, %.1f s"
            logger.log(self._level, text, self._label, epoch + 1, self._epochs, mean, seconds)
            self._restart()

    def end(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.end()

    def _restart(self) -> None:
        self._sum, self._done, self._began = 0.0, 0, time.perf_counter()
