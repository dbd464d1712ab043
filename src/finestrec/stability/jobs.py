"""The job table of an audit: what is done, what it cost, and what failed, in one file beside the checkpoints."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import polars as pl

from finestrec.data.files import write_aside
from finestrec.errors import RunFolderError
from finestrec.stability.plan import Comparison, Plan

TABLE: Final = "jobs.json"
_FORMAT: Final = 2
Status = Literal["running", "done", "failed", "skipped"]


@dataclass(frozen=True)
class Job:
    """A piece of work, as the table keeps it.

    Attributes:
        status: running stands for "was running" where no process is; a skipped one waits for a failed one.
        seconds: See `AuditRow`; None until it is done.
        peak_memory: In bytes; None until it is done.
        error: Why it failed or was skipped.
    """

    status: Status
    seconds: float | None = None
    peak_memory: int | None = None
    error: str | None = None


def table_file(folder: Path, key: str) -> Path:
    """Where the table of the instances of a comparison is kept."""
    return folder / f"{key}.parquet"


class JobTable:
    """The jobs of a folder; every change is written at once.

    Args:
        folder: Made if it does not exist.
        identity: What decides the outcome of all jobs besides their keys.
        fitters: What tells the fitters of strangers from others, by method; another run may have other methods.

    Raises:
        RunFolderError: If the folder holds jobs of another identity, or the table is damaged or missing.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], fitters: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._path = folder / TABLE
        self._identity = json.loads(json.dumps(identity))
        self._fitters = dict(fitters or {})
        folder.mkdir(parents=True, exist_ok=True)
        if not self._path.exists() and any(folder.glob("[!.]*.safetensors")):
            raise RunFolderError(f"{folder} holds checkpoints and no {TABLE} that says of what; use another folder")
        self._jobs = self._read() if self._path.exists() else {}
        for suffix in ("safetensors", "json", "parquet"):
            for leftover in folder.glob(f".*.{suffix}"):  # of a process that was killed while it wrote
                leftover.unlink(missing_ok=True)

    def __getitem__(self, key: str) -> Job:
        return self._jobs[key]

    def note(self, key: str, job: Job) -> None:
        """Note what became of a job."""
        self._jobs[key] = job
        jobs = {name: asdict(each) for name, each in self._jobs.items()}
        of_what = {"format": _FORMAT, "identity": self._identity, "fitters": self._fitters}
        write_aside(self._path, json.dumps({**of_what, "jobs": jobs}, indent=1))

    def done(self, plan: Plan) -> set[str]:
        """Keys of what need not be done again: comparisons with their values, trainings with all that they need."""
        found: set[str] = set()
        for key, work in plan.works.items():
            job = self._jobs.get(key)
            is_row = isinstance(work, Comparison)
            files = [self._row(key), table_file(self._folder, key)] if is_row else [self._folder / f"{key}.safetensors"]
            is_there = all(file.exists() for file in files)
            if job and job.status == "done" and is_there and (is_row or found.issuperset(work.needs)):
                found.add(key)
        return found

    def row(self, key: str) -> dict[str, Any]:
        """The values of a comparison that is done."""
        values: dict[str, Any] = json.loads(self._row(key).read_text())
        return values

    def keep_row(self, key: str, values: Mapping[str, Any]) -> None:
        """Keep the values of a comparison."""
        write_aside(self._row(key), json.dumps(values))

    def table(self, key: str) -> pl.DataFrame:
        """The table of the instances of a comparison that is done."""
        return pl.read_parquet(table_file(self._folder, key), glob=False)

    def _row(self, key: str) -> Path:
        return self._folder / f"{key}.json"

    def _read(self) -> dict[str, Job]:
        try:
            stored = json.loads(self._path.read_text())
            found, identity, fitters = stored["format"], stored["identity"], stored.get("fitters", {})
            jobs = {key: Job(**job) for key, job in stored["jobs"].items()} if found == _FORMAT else {}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunFolderError(
                f"{self._path} is damaged ({error}); delete {self._folder}, or use another folder"
            ) from None
        if found != _FORMAT:
            raise RunFolderError(f"{self._path} has the format {found}, expected {_FORMAT}; use another folder")
        ours = self._identity
        different = sorted(key for key in identity.keys() | ours.keys() if identity.get(key) != ours.get(key))
        if different:
            raise RunFolderError(
                f"{self._folder} holds trainings with other {', '.join(different)}"
                f" ({', '.join(f'{key}: {identity.get(key)} there, {ours.get(key)} now' for key in different)});"
                " use another folder"
            )
        self._fitters = fitters | self._fitters
        changed = [method for method, fitter in fitters.items() if self._fitters[method] != fitter]
        if changed:
            raise RunFolderError(
                f"{self._folder} holds results of other fitters of {', '.join(changed)}: what they are made of has"
                " changed since, or a file that they stand in; use another folder"
            )
        return jobs
