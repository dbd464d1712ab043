"""The summary of a finished folder, whatever made it."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from finestrec.errors import RunFolderError
from finestrec.report.of_audit import audit_summary
from finestrec.report.of_comparison import comparison_summary
from finestrec.report.of_run import run_summary
from finestrec.report.summary import Summary
from finestrec.runs.auditing import instance_tables
from finestrec.runs.comparing import COMPARISON, read_comparison
from finestrec.runs.folder import CELLS, FRONTIER, require_done
from finestrec.runs.tables import LISTS, read_results, read_table
from finestrec.stability.results import TABLES, StabilityAudit
from finestrec.stability.search import Found


def folder_summary(folder: Path, wanted: Sequence[str] = ()) -> Summary:
    """Read a folder that `audit`, `compare`, `stabilize` or `update` made.

    Args:
        folder: Finished.
        wanted: Raw ids of users to show, as text.

    Raises:
        RunFolderError: If it is something else, not finished, or a file of it is missing or damaged.
        DataError: If a wanted user is not there.
    """
    state = require_done(folder)
    facts = (("made by", f"finestrec {state.finestrec}, {state.command}, {state.changed}"),)
    if state.command == "audit":
        tables = {name: read_table(folder / f"{name}.parquet") for name in TABLES}
        found = StabilityAudit.from_json(read_results(folder), tables)
        return audit_summary(found, instance_tables(folder), facts, wanted)
    if state.command == "compare":
        prints = tuple((name, str(value)) for name, value in state.inputs.items() if name.startswith("fingerprint of"))
        return comparison_summary(read_comparison(folder), _lists(folder), (*facts, *prints), wanted)
    if state.command in {"stabilize", "update"}:
        inner = folder / COMPARISON
        results = read_results(folder)
        row, search = results["rows"][0], results.get("search")
        searched = (("strength", Found.from_json(search).sentence()),) if search else ()
        served = read_comparison(inner)
        return run_summary(state.command, row, served, _lists(inner), (*facts, *searched), wanted)  # type: ignore[arg-type]
    if state.command == "experiment":
        raise RunFolderError(
            f"{folder} holds an experiment, whose page is {folder / FRONTIER}; a report is of one of its audits, the"
            f" folders in {folder / CELLS}"
        )
    raise RunFolderError(
        f"{folder} was made by `finestrec {state.command}`, which compares nothing; a report is of an audit, a"
        " comparison, or a run of `finestrec stabilize` or `finestrec update`"
    )


def _lists(folder: Path) -> pl.LazyFrame:
    """Not read as a whole: a page shows a few users of perhaps millions."""
    file = folder / LISTS
    if not file.is_file():
        raise RunFolderError(f"{file} is missing; make the run again")
    return pl.scan_parquet(file)
