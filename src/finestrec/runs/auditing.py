"""An audit in a run folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from finestrec.data.splits import Split
from finestrec.errors import OptionError
from finestrec.perturbation.spec import Perturbation
from finestrec.runs.tables import read_table, write_results
from finestrec.stability.arguments import check_perturbations, check_what
from finestrec.stability.audit import ENGINES, EngineName, audit
from finestrec.stability.findings import LoadTable
from finestrec.stability.jobs import table_file
from finestrec.stabilizers import Recipe

JOBS = "jobs"
"""The folder of a run in which an audit keeps what it finished."""


def check_audit(what: Mapping[str, Any], parts: Split, engine: str, recipe: Recipe) -> None:
    """Refuse before a folder is touched what would be refused in the middle of it.

    Args:
        what: perturbations, methods, regimes, seeds and instances, as `audit` takes them.
        parts: The log, split.
        engine: Where jobs run.
        recipe: What is trained.

    Raises:
        OptionError: If something is unknown, missing or named twice.
        DataError: If a perturbation cannot be done to the log.
    """
    for name in ("methods", "regimes", "perturbations", "seeds"):
        if not what[name] or len(set(what[name])) < len(what[name]):
            found = ", ".join(map(str, what[name])) or "none"
            raise OptionError(f"the {name} are {found}; expected one or more different ones")
    parsed = [Perturbation.parse(spec) for spec in what["perturbations"]]
    check_perturbations(parsed, parts, what["seeds"], what["instances"], recipe.training.max_length)
    check_what(recipe, what["methods"], what["regimes"], what["seeds"], what["instances"])
    if engine not in ENGINES:
        raise OptionError(f"unknown engine {engine!r}; known are {', '.join(ENGINES)}")
    if parts.is_train.all():
        raise OptionError("an audit compares lists on held-out interactions, and this split holds nothing out")


def audit_into(folder: Path, parts: Split, recipe: Recipe, *, engine: str, **what: Any) -> None:
    """Do what is missing of an audit, and write its results.

    Args:
        folder: Entered by the caller.
        parts: The log, split.
        recipe: What is trained.
        engine: Where jobs run.
        what: Everything else that `audit` takes.
    """
    found = audit(parts, recipe, **what, engine=cast("EngineName", engine), folder=folder / JOBS)
    write_results(folder, found.to_json(), found.tables)


def instance_tables(folder: Path) -> LoadTable:
    """What gives the table of a row's instances, of the audit in a folder."""
    return lambda row: read_table(table_file(folder / JOBS, row.comparison))
