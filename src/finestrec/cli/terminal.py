"""What a command shows: messages on stderr, results on stdout, or one JSON document there."""

import json
import logging
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType

    from finestrec.stability.grid import JobsProgress
    from finestrec.training.progress import Progress

WIDTH_OF_FILES = 120
"""Columns of a table that goes to a file or a pipe."""
logger = logging.getLogger("finestrec")


class Terminal:
    """The two streams of a command.

    Args:
        json: Results go to stderr, and stdout gets one document.
        quiet: No messages and no progress.
    """

    def __init__(self, *, json: bool = False, quiet: bool = False) -> None:
        self._json = json
        self._quiet = quiet
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        close()
        handler = logging.StreamHandler(sys.stderr)
        handler.setLevel(logging.WARNING if quiet else logging.INFO)
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)

    def say(self, text: str) -> None:
        """A message for people; it is also kept in the events of a run folder that is being written."""
        logger.info(text)

    def warn(self, text: str) -> None:
        """A message that `--quiet` does not silence."""
        logger.warning(text)

    def show(self, *results: "RenderableType") -> None:
        """A result: text or a table."""
        from rich.console import Console

        stream = sys.stderr if self._json else sys.stdout
        if self._json and self._quiet:
            return
        console = Console(file=stream, width=None if stream.isatty() else WIDTH_OF_FILES, highlight=False)
        for result in results:
            console.print(result, soft_wrap=isinstance(result, str))

    def document(self, content: Mapping[str, Any]) -> None:
        """The one document of `--json`."""
        if self._json:
            json.dump(content, sys.stdout, indent=2, allow_nan=False, default=str)
            sys.stdout.write("\n")
            sys.stdout.flush()

    def progress(self, label: str) -> "Progress":
        """A display of one training's progress: a bar on a terminal, else a line an epoch."""
        from finestrec.cli.epochs import EpochLog
        from finestrec.training.progress import BarProgress

        return EpochLog(label, BarProgress(label) if self._has_bars else None)

    def jobs(self) -> "JobsProgress":
        """A display of many trainings' progress, on a terminal."""
        from finestrec.cli.jobs import JobBars
        from finestrec.stability.grid import JobsProgress

        return JobBars() if self._has_bars else JobsProgress()

    def tell(self, text: str) -> None:
        """A message about a job, which bars show already."""
        logger.log(logging.DEBUG if self._has_bars else logging.INFO, text)

    @property
    def _has_bars(self) -> bool:
        return sys.stderr.isatty() and not self._quiet


def close() -> None:
    """Take away the handlers of earlier commands in the same process."""
    for handler in [*logger.handlers]:
        if type(handler) is logging.StreamHandler:
            logger.removeHandler(handler)
