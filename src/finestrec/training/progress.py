"""Progress of a training run on a terminal."""

from typing import Any, Protocol


class Progress(Protocol):
    """Told what the loop does; a picklable object, because distributed training reports from its own process."""

    def begin(self, epochs: int, done: int, steps: int) -> None:
        """The run starts: epochs in all, epochs done before, steps an epoch."""

    def step(self, epoch: int, loss: float) -> None:
        """One step is done, with this loss."""

    def end(self) -> None:
        """The run is over, finished or not."""


class BarProgress:
    """A bar on stderr with epoch, loss, steps a second and time left."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._bar: Any = None

    def begin(self, epochs: int, done: int, steps: int) -> None:
        """Show the bar."""
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as RichProgress

        self._epochs, self._mean = epochs, 0.0
        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[status]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task(self._label, total=epochs * steps, completed=done * steps, status="")
        self._bar.start()

    def step(self, epoch: int, loss: float) -> None:
        """Move the bar on; the loss shown is a running mean."""
        self._mean = loss if self._mean == 0.0 else 0.98 * self._mean + 0.02 * loss
        task = self._bar.tasks[0]
        status = f"epoch {epoch + 1}/{self._epochs} loss {self._mean:.4f} {task.speed or 0:.0f} steps/s"
        self._bar.update(self._task, advance=1, status=status)

    def end(self) -> None:
        """Take the bar away."""
        self._bar.stop()
