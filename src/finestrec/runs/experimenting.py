"""An experiment in a run folder: its audits, one folder each, and what is tabulated of them."""

import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from finestrec.data.files import write_aside
from finestrec.errors import FinestrecError, JobsFailedError
from finestrec.report.of_experiment import experiment_page
from finestrec.runs.auditing import audit_into, instance_tables
from finestrec.runs.experiment import Cell, Experiment
from finestrec.runs.folder import CELLS, CONFIG, FRONTIER, PICTURES, RunFolder, entered
from finestrec.runs.tables import read_results, read_table, write_results
from finestrec.stability.grid import JobsProgress, OnEvent
from finestrec.stability.results import TABLES, StabilityAudit
from finestrec.stability.rows import SCHEMA
from finestrec.stability.tradeoffs import Tradeoffs


@dataclass
class Experimenter:
    """Does what is missing of an experiment.

    Attributes:
        experiment: What is asked for.
        folder: Entered by the caller.
        cells: Its audits.
        jobs: How many jobs at a time, as `audit` takes it.
        engine: Where they run.
        on_event: Told in words what is done.
        progress: Told how far the jobs of an audit are.
    """

    experiment: Experiment
    folder: RunFolder
    cells: Sequence[Cell]
    jobs: int | None
    engine: str
    on_event: OnEvent
    progress: JobsProgress
    _failures: dict[str, str] = field(default_factory=dict)
    _tracebacks: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Audit every cell, whatever becomes of the others, and tabulate all that are finished.

        Raises:
            JobsFailedError: If a cell failed, after all others are done and tabulated.
            RuntimeError: The same, if one failed in a way that nobody foresaw.
        """
        write_aside(self.folder.path / CONFIG, self.experiment.to_toml())
        for number, cell in enumerate(self.cells, 1):
            self.on_event(f"{cell.name}: audit {number} of {len(self.cells)}")
            try:
                self._audit(cell)
            except (FinestrecError, OSError) as error:
                self._failed(cell, str(error))
            except Exception as error:  # noqa: BLE001 - whatever it is, the other audits go on
                self._failed(cell, repr(error))
                self._tracebacks.append(traceback.format_exc())
        self._tabulate()
        if self._failures:
            parts = "; ".join(f"{name}: {reason}" for name, reason in self._failures.items())
            text = f"{len(self._failures)} of {len(self.cells)} audits failed ({parts})"
            if self._tracebacks:
                raise RuntimeError("\n".join([text, *self._tracebacks]))
            raise JobsFailedError(text)

    def _audit(self, cell: Cell) -> None:
        path = self._path(cell)
        with entered(path, cell.plan, resume=True) as folder:
            if not folder.finished:
                audit_into(
                    path,
                    cell.parts,
                    cell.config.recipe,
                    **cell.what,
                    data=cell.data,
                    jobs=self.jobs,
                    engine=self.engine,
                    on_event=self.on_event,
                    progress=self.progress,
                )

    def _failed(self, cell: Cell, reason: str) -> None:
        self._failures[cell.name] = reason
        self.on_event(f"{cell.name} failed: {reason}")

    def _tabulate(self) -> None:
        rows: list[dict[str, Any]] = []
        found = []
        for cell in self.cells:
            if cell.name in self._failures:
                continue
            path = self._path(cell)
            tables = {name: read_table(path / f"{name}.parquet") for name in TABLES}
            audit = StabilityAudit.from_json(read_results(path), tables)
            rows += [row.to_json() for row in audit.rows]
            baseline = self.experiment.options.baseline
            found.append(Tradeoffs.of(audit, instance_tables(path), cell.config.recipe, baseline))
        if not found:
            return
        page, pictures = experiment_page(self.experiment.options.title, found, self._failures)
        place = self.folder.path / PICTURES
        place.mkdir(exist_ok=True)
        for old in place.glob("*.svg"):
            if old.stem not in pictures:
                old.unlink()
        for name, picture in pictures.items():
            write_aside(place / f"{name}.svg", picture)
        write_aside(self.folder.path / FRONTIER, page)
        document = {"schema": SCHEMA, "title": self.experiment.options.title, "rows": rows}
        cells = [asdict(each) for each in found]
        write_results(self.folder.path, {**document, "cells": cells, "failed": self._failures})

    def _path(self, cell: Cell) -> Path:
        path = self.folder.path / CELLS / cell.name
        path.parent.mkdir(exist_ok=True)
        return path


def read_tradeoffs(folder: Path) -> list[Tradeoffs]:
    """What an experiment found, from its results.json.

    Raises:
        RunFolderError: If that is missing or damaged.
    """
    return [Tradeoffs.from_json(cell) for cell in read_results(folder)["cells"]]
