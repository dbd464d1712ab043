"""The folder of a run: one writer at a time, resumable until it is done, and never overwritten unasked.

`state.json` says what the run is and how far it came. Everything else is written aside, synced and renamed, so a
run that is killed at any moment leaves whole files and a folder that `--resume` enters.
"""

import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal

from finestrec.config import Config, compose
from finestrec.data.files import write_aside
from finestrec.errors import FinestrecError, RunFolderError
from finestrec.runs.lock import locked
from finestrec.stability.results import TABLES

FORMAT: Final = 2
"""The layout of a run folder; readers refuse every other one."""
STATE: Final = "state.json"
CONFIG: Final = "config.toml"
EVENTS: Final = "events.log"
CHECKPOINT: Final = "checkpoint.safetensors"
SEARCH: Final = "search.json"
KEPT: Final = "kept.parquet"
"""The lists that the run before served, where the method keeps them; its metadata has the options."""
CELLS: Final = "cells"
"""The audits of an experiment."""
FRONTIER: Final = "frontier.md"
"""The page of an experiment; its pictures are in a folder beside it."""
PICTURES: Final = "pictures"
OURS: Final = (
    CONFIG,
    "vocabulary",
    "interactions.parquet",
    "model.safetensors",
    "optimizer.safetensors",
    "lists.parquet",
    KEPT,
    "results.json",
    "results.parquet",
    *(f"{name}.parquet" for name in TABLES),
    "items.parquet",
    SEARCH,
    EVENTS,
    "report.html",
    CHECKPOINT,
    "jobs",
    "comparison",
    CELLS,
    FRONTIER,
    PICTURES,
)
"""All that `--force` deletes; what else stands in the folder is left alone."""

Status = Literal["running", "done", "failed"]
logger = logging.getLogger("finestrec")


@cache
def this_version() -> str:
    """The installed version of finestrec."""
    return version("finestrec")


@dataclass(frozen=True)
class Plan:
    """What a run is to do. A run is resumed only under the plan that it was begun with.

    Attributes:
        command: The command's name.
        config: All options of a training; None for a command that trains nothing.
        inputs: What else decides the outcome, by the name that users know it by: fingerprints of logs, methods.
        open: Names of inputs that say how much there is to do, and not how. A resumed run may ask for more or less; of
            one that is a mapping, what stands under the same key has to be the same.
    """

    command: str
    config: Config | None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    open: tuple[str, ...] = ()

    def differences(self, state: "State") -> list[str]:
        """How the plan differs from the one of an earlier run, in words."""
        if state.command != self.command:
            return [f"the command: {self.command} against {state.command}"]
        found: list[str] = []
        for name in dict.fromkeys([*self._inputs, *state.inputs]):
            ours, theirs = self._inputs.get(name), state.inputs.get(name)
            if name not in self.open:
                found += [f"{name}: {ours!r} against {theirs!r}"] if ours != theirs else []
            elif isinstance(ours, dict) and isinstance(theirs, dict):
                common = [key for key in ours if key in theirs]
                found += [f"{key}: {ours[key]!r} against {theirs[key]!r}" for key in common if ours[key] != theirs[key]]
        return found + (self.config.differences(compose([state.options])) if self.config else [])

    def is_done(self, state: "State") -> bool:
        """Whether an earlier run without differences did all that is asked for."""
        return state.status == "done" and all(self._inputs.get(name) == state.inputs.get(name) for name in self.open)

    @property
    def _inputs(self) -> dict[str, Any]:
        """In JSON's terms."""
        inputs: dict[str, Any] = json.loads(json.dumps(self.inputs))
        return inputs


@dataclass(frozen=True)
class State:
    """The content of state.json.

    Attributes:
        format: Of the folder.
        status: running, done or failed; a run that was killed is still "running".
        finestrec: The version that wrote the folder.
        command: See `Plan`.
        inputs: See `Plan`.
        options: The plan's options, complete.
        created: When the run was begun.
        changed: When the status last changed.
        reason: Why the run failed.
    """

    format: int
    status: Status
    finestrec: str
    command: str
    inputs: dict[str, Any]
    options: dict[str, Any]
    created: str
    changed: str
    reason: str | None = None


def read_state(path: Path) -> State:
    """The state of a folder.

    Raises:
        RunFolderError: If it is no run folder, its state is damaged, or it is of another format.
    """
    file = path / STATE
    if not path.is_dir():
        raise RunFolderError(f"there is no run folder {path}; `finestrec train` makes one")
    if not file.is_file():
        raise RunFolderError(
            f"{path} is not a run folder: it has no {STATE}; name a folder that `finestrec train` made"
        )
    try:
        values = json.loads(file.read_text())
        found = values["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(f"{file} is damaged ({error}); make the run again with --force") from None
    if found != FORMAT:
        raise RunFolderError(
            f"{path} is a run folder of format {found}, written by finestrec {values.get('finestrec', '?')}; this"
            f" finestrec ({this_version()}) reads format {FORMAT}: use that version, or make the run again"
        )
    try:
        return State(**values)
    except TypeError as error:
        raise RunFolderError(f"{file} is damaged ({error}); make the run again with --force") from None


def require_done(path: Path) -> State:
    """The state of a folder that is finished.

    Raises:
        RunFolderError: If it is not.
    """
    state = read_state(path)
    if state.status != "done":
        why = f" ({state.reason})" if state.reason else ""
        raise RunFolderError(
            f"{path} is not finished: `finestrec {state.command}` is {state.status}{why}; finish it with the same"
            " command and --resume"
        )
    return state


@dataclass
class RunFolder:
    """A folder that this process writes.

    Attributes:
        path: Where.
        plan: What is done in it.
        created: When the run was begun.
        finished: Whether an earlier process did it all; then there is nothing to do.
    """

    path: Path
    plan: Plan
    created: str
    finished: bool = False

    @property
    def config(self) -> Config:
        """All options of a training."""
        assert self.plan.config is not None  # asked for by commands that train
        return self.plan.config

    @property
    def checkpoint(self) -> Path:
        """Where the state of the training is kept after every epoch."""
        return self.path / CHECKPOINT

    def mark(self, status: Status, reason: str | None = None) -> None:
        """Write the state."""
        state = State(
            format=FORMAT,
            status=status,
            finestrec=this_version(),
            command=self.plan.command,
            inputs=dict(self.plan.inputs),
            options=self.plan.config.to_layer() if self.plan.config else {},
            created=self.created,
            changed=_now(),
            reason=reason,
        )
        write_aside(self.path / STATE, json.dumps(asdict(state), indent=2) + "\n")


@contextmanager
def entered(path: Path, plan: Plan, *, resume: bool = False, force: bool = False) -> Iterator[RunFolder]:
    """Enter a folder to write a run; leaving it marks the run as done, or as failed.

    A run that is interrupted (a signal, which is no `Exception`) stays "running", with a note on how to resume.

    Args:
        path: Made if it does not exist.
        plan: What is to be done.
        resume: Go on with an unfinished run of the same plan; start one if there is none.
        force: Replace an earlier run, of which only files of ours are deleted.

    Raises:
        RunFolderError: If the folder holds something else, another run, or another process.
    """
    if path.exists() and not path.is_dir():
        raise RunFolderError(f"{path} is a file; choose another folder with --out")
    path.mkdir(parents=True, exist_ok=True)
    with locked(path):
        folder = _prepared(path, plan, resume, force)
        if folder.finished:
            yield folder
            return
        with _events(path / EVENTS):
            try:
                yield folder
            except Exception as error:
                with suppress(OSError):  # what cannot be written may be why it failed
                    folder.mark("failed", str(error) if isinstance(error, FinestrecError) else repr(error))
                raise
            except BaseException as error:
                error.add_note(f"What is finished is saved in {path}; go on with the same command and --resume.")
                raise
        folder.checkpoint.unlink(missing_ok=True)
        folder.mark("done")


def _prepared(path: Path, plan: Plan, resume: bool, force: bool) -> RunFolder:
    created = _now()
    if (path / STATE).exists():
        if force and not resume:
            _clear(path)
        else:
            state = read_state(path)
            _check_resumable(path, state, plan, resume)
            if plan.is_done(state):
                return RunFolder(path, plan, state.created, finished=True)
            _sweep(path)
            folder = RunFolder(path, plan, state.created)
            return _begun(folder)
    elif any(not entry.name.startswith(".") for entry in path.iterdir()):
        raise RunFolderError(
            f"{path} is not empty and not a run folder (it has no {STATE}); choose another folder with --out."
            " --force replaces earlier runs only"
        )
    folder = RunFolder(path, plan, created)
    return _begun(folder)


def _begun(folder: RunFolder) -> RunFolder:
    folder.mark("running")
    if folder.plan.config:
        write_aside(folder.path / CONFIG, folder.plan.config.to_toml())
    return folder


def _check_resumable(path: Path, state: State, plan: Plan, resume: bool) -> None:
    kind = "a finished run" if state.status == "done" else f"an unfinished run ({state.status})"
    if not resume:
        way = "" if state.status == "done" else "go on with it by --resume, "
        raise RunFolderError(
            f"{path} holds {kind} of `finestrec {state.command}`; {way}replace it by --force, or choose another"
            " folder with --out"
        )
    differences = plan.differences(state)
    if differences:
        raise RunFolderError(
            f"{path} holds {kind} that was begun differently, so it cannot be resumed: {'; '.join(differences)}."
            " Repeat its command, or choose another folder with --out"
        )


def _clear(path: Path) -> None:
    """Delete an earlier run; its state goes last, so that a kill leaves a folder that is still known as ours."""
    state = path / STATE
    try:
        values = json.loads(state.read_text())
        values["format"], values["finestrec"]
    except (OSError, ValueError, KeyError, TypeError):
        raise RunFolderError(
            f"{state} was not written by finestrec, so nothing in {path} is deleted; choose another folder with --out"
        ) from None
    write_aside(state, json.dumps({**values, "status": "failed", "reason": "it was being replaced"}))
    _sweep(path)
    for name in OURS:
        entry = path / name
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)
    for part in path.glob(Path(CHECKPOINT).stem + ".*" + Path(CHECKPOINT).suffix):  # of a training made of several
        part.unlink()
    state.unlink()


def _sweep(path: Path) -> None:
    """Delete what a killed process was writing aside."""
    for name in (STATE, *OURS):
        for leftover in path.glob(f".{name}.*"):
            leftover.unlink(missing_ok=True)


@contextmanager
def _events(path: Path) -> Iterator[None]:
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
