"""Run folders: their state, their tables, and the finished run in memory."""

from finestrec.runs.comparing import read_comparison, write_comparison
from finestrec.runs.folder import Plan, RunFolder, entered, read_state, require_done
from finestrec.runs.run import Run, load_run
from finestrec.runs.tables import StoredLog, read_results, write_results

__all__ = [
    "Plan",
    "Run",
    "RunFolder",
    "StoredLog",
    "entered",
    "load_run",
    "read_comparison",
    "read_results",
    "read_state",
    "require_done",
    "write_comparison",
    "write_results",
]
