"""A training's epochs as messages, which a run folder keeps in its events."""

import logging
import os
import sys
import time
from dataclasses import dataclass
from typing import Any

from finestrec.training.progress import Progress

logger = logging.getLogger("finestrec")


@dataclass(frozen=True)
class _Handler:
    """What makes a handler again in another process."""

    file: str | None
    level: int
    formatter: logging.Formatter | None

    @classmethod
    def of(cls, handler: logging.Handler) -> "_Handler":
        file = handler.baseFilename if isinstance(handler, logging.FileHandler) else None
        return cls(file, handler.level, handler.formatter)

    def made(self) -> logging.Handler:
        handler: logging.Handler = logging.StreamHandler(sys.stderr)
        if self.file is not None:
            handler = logging.FileHandler(self.file, encoding="utf-8")
        handler.setLevel(self.level)
        handler.setFormatter(self.formatter)
        return handler


class EpochLog:
    """One message a finished epoch, beside a bar where there is one.

    Picklable: training on several devices runs in spawned processes, which know nothing of this one's log. There the
    messages go to the same stream and files.

    Args:
        label: Names the training.
        bar: Shown in place of the messages, which are then kept only; or None.
    """

    def __init__(self, label: str, bar: Progress | None) -> None:
        self._label = label
        self._bar = bar
        self._level = logging.INFO if bar is None else logging.DEBUG

    def __getstate__(self) -> dict[str, Any]:
        """With what the spawned process needs to log as this one does."""
        return {"own": self.__dict__, "process": os.getpid(), "handlers": [*map(_Handler.of, logger.handlers)]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Log as the process that spawned this one."""
        self.__dict__ = state["own"]
        if state["process"] != os.getpid() and not logger.handlers:
            logger.setLevel(logging.DEBUG)
            logger.propagate = False
            for each in state["handlers"]:
                logger.addHandler(each.made())

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
