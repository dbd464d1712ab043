"""The jobs of an audit on a terminal: a line for all of them with the time left, and a line for each that runs."""

from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from finestrec.stability.grid import JobsProgress


class JobBars(JobsProgress):
    """Bars on stderr, measured in epochs."""

    def begin(self, epochs: Mapping[str, float], done: int) -> None:
        """Show the line for all."""
        self._epochs = epochs
        self._left = dict(epochs)
        self._n_done, self._n_jobs = done, done + len(epochs)
        self._running: dict[str, TaskID] = {}
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[status]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._all = self._bars.add_task("audit", total=sum(epochs.values()), status="")
        self._show_all()
        self._bars.start()

    def start(self, key: str) -> None:
        """Show its line."""
        self._running[key] = self._bars.add_task(key, total=self._epochs[key], status="")

    def move(self, key: str, left: float) -> None:
        """Move its line on, and that for all."""
        self._left[key] = left
        done = self._epochs[key] - left
        self._bars.update(self._running[key], completed=done, status=f"{done:.1f} of {self._epochs[key]:.0f} epochs")
        self._show_all()

    def finish(self, key: str) -> None:
        """Take its line away."""
        self._left[key] = 0.0
        self._n_done += 1
        if key in self._running:
            self._bars.remove_task(self._running.pop(key))
        self._show_all()

    def end(self) -> None:
        """Take all lines away."""
        self._bars.stop()

    def _show_all(self) -> None:
        done = sum(self._epochs.values()) - sum(self._left.values())
        self._bars.update(self._all, completed=done, status=f"{self._n_done} of {self._n_jobs} jobs")
