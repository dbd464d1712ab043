"""A grid that survives: one process or two, failures, deaths, and reruns that do what is missing."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from multiprocessing import util
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file
from strangers import FOLDER, Counted, Popular, Troubled, Tuned, unsendable

from finestrec.data.log import InteractionLog
from finestrec.data.splits import Split, split
from finestrec.errors import JobsFailedError, OptionError, RunFolderError
from finestrec.stability.audit import audit
from finestrec.stability.grid import JobsProgress
from finestrec.stability.results import StabilityAudit
from finestrec.stabilizers import Recipe
from finestrec.training.options import DeviceOptions

SPEC = "delete:random:0.01"


@pytest.fixture(scope="module")
def parts(chain: InteractionLog) -> Split:
    return split(chain)


@pytest.fixture
def fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where strangers' fits are counted."""
    folder = tmp_path / "fits"
    folder.mkdir()
    monkeypatch.setenv(FOLDER, str(folder))
    return folder


def values(found: StabilityAudit) -> list[dict[str, Any]]:
    return [{**row.to_json(), "seconds": None, "peak_memory": None, "options": None} for row in found.rows]


def jobs_of(folder: Path) -> dict[str, dict[str, Any]]:
    table: dict[str, dict[str, Any]] = json.loads((folder / "jobs.json").read_text())["jobs"]
    return table


def test_two_processes_leave_the_same_bytes_as_one(parts: Split, small_recipe: Recipe, tmp_path: Path) -> None:
    arguments: Any = {"perturbations": [SPEC], "regimes": ["authors-protocol"], "floors": False}
    alone = Recipe(**{**vars(small_recipe), "device": DeviceOptions(threads=1)})
    one = audit(parts, alone, **arguments, folder=tmp_path / "one")
    two = audit(parts, small_recipe, **arguments, folder=tmp_path / "two", jobs=2)
    assert values(one) == values(two)
    files = sorted(path.name for path in (tmp_path / "one").glob("*.safetensors"))
    assert len(files) == 6
    assert files == sorted(path.name for path in (tmp_path / "two").glob("*.safetensors"))
    for name in files:
        ours, theirs = (load_file(tmp_path / where / name) for where in ("one", "two"))
        assert ours.keys() == theirs.keys()
        assert all(ours[key].tobytes() == theirs[key].tobytes() for key in ours)
    for job in jobs_of(tmp_path / "two").values():
        assert job["status"] == "done"
        assert job["seconds"] > 0
        assert job["peak_memory"] > 10_000_000
    # What is finished is not begun again, by whatever number of processes.
    again = audit(parts, alone, **arguments, folder=tmp_path / "two", on_event=pytest.fail)
    assert [row.to_json() for row in again.rows] == [row.to_json() for row in two.rows]


def test_strangers_are_fitted_in_worker_processes(parts: Split, fits: Path) -> None:
    two = audit(parts, {"retrain": Counted, "tuned": Tuned}, perturbations=[SPEC], jobs=2)
    counted = sorted(path.name.rsplit(".", 2)[0] for path in fits.iterdir())
    # D twice (the floor), D', both of the other seed, and D and D' tuned.
    assert counted == sorted(
        ["Counted.D.0"] * 2 + ["Counted.edited.0", "Counted.D.1", "Counted.edited.1", "Tuned.D.0", "Tuned.edited.0"]
    )
    assert len({path.suffix for path in fits.iterdir()}) == 2
    one = audit(parts, {"retrain": Popular, "tuned": Popular}, perturbations=[SPEC])
    assert [row.measures for row in one.rows] == [row.measures for row in two.rows]
    assert [row.accuracy for row in one.rows] == [row.accuracy for row in two.rows]


@pytest.mark.parametrize(
    ("word", "error", "reason"),
    [
        ("refuses", JobsFailedError, "the edited log is not to its taste"),
        ("breaks", RuntimeError, "ZeroDivisionError: a bug"),
        ("dies", JobsFailedError, "its worker process died: it was ended by SIGKILL"),
    ],
)
def test_a_job_that_fails_is_reported_and_the_rest_goes_on(
    parts: Split, fits: Path, word: str, error: type[Exception], reason: str
) -> None:
    trouble, folder = fits.parent / "trouble", fits.parent / "jobs"
    trouble.write_text(word)
    arguments: Any = {"perturbations": [SPEC], "folder": folder, "floors": False, "jobs": 2 if word == "dies" else 1}
    recipe: Any = {"retrain": Counted, "troubled": Troubled}
    with pytest.raises(error, match=reason) as caught:
        audit(parts, recipe, **arguments)
    bad = "troubled.delete-random-0.01.seed0"
    assert f"1 of 8 jobs failed ({bad}: {reason}" in str(caught.value)
    assert f"row.anchored-update.troubled.retrain.D.seed0--{bad}" in str(caught.value)
    assert ("Traceback" in str(caught.value)) == (word == "breaks")
    status = {key: job["status"] for key, job in jobs_of(folder).items()}
    assert status.pop(bad) == "failed"
    assert status.pop(f"row.anchored-update.troubled.retrain.D.seed0--{bad}") == "skipped"
    assert set(status.values()) == {"done"}
    assert len(status) == 6

    trouble.unlink()
    before = {path.name for path in fits.iterdir()}
    rows = audit(parts, recipe, **arguments).rows
    # Fitters' results are not kept, so the incumbent is fitted again, and nothing else but what had failed.
    again = sorted(path.name.rsplit(".", 2)[0] for path in fits.iterdir() if path.name not in before)
    assert again == ["Counted.D.0", "Troubled.edited.0"]
    assert len(rows) == 4


def test_failed_trainings_of_ours_are_named_and_those_that_need_them_skipped(
    parts: Split, small_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finestrec.stabilizers import Retrain

    whole, events = Retrain.fit, list[str]()

    def broken(self: Retrain, log: InteractionLog, *arguments: Any, **named: Any) -> Any:
        if log.origin is not None:
            raise OSError(28, "No space left on device")
        return whole(self, log, *arguments, **named)

    arguments: Any = {"perturbations": [SPEC], "regimes": ["authors-protocol"], "floors": False, "folder": tmp_path}
    with monkeypatch.context() as patch:
        patch.setattr(Retrain, "fit", broken)
        with pytest.raises(JobsFailedError, match="No space left on device") as caught:
            audit(parts, small_recipe, **arguments)
    assert "continue.delete-random-0.01.seed0" in str(caught.value).split("skipped")[1]
    audit(parts, small_recipe, **arguments, on_event=events.append)
    trained = [text.removeprefix("training ") for text in events if text.startswith("training")]
    log = "delete-random-0.01.seed0"
    assert trained == [f"retrain.{log}", f"continue.{log}", f"finest.{log}.follow"]


def test_what_a_fitter_returns_has_to_be_sendable(parts: Split) -> None:
    with pytest.raises(JobsFailedError, match=r"cannot be sent to another process .*use jobs=1"):
        audit(parts, {"retrain": unsendable}, perturbations=[SPEC], floors=False, jobs=2)


@pytest.mark.parametrize("factory", [Popular(), lambda: None, "Popular"], ids=["object", "lambda", "word"])
def test_fitters_of_worker_processes_are_made_by_what_a_module_names(parts: Split, factory: Any) -> None:
    with pytest.raises(OptionError, match=r"the fitter of 'retrain' cannot be made .*top level of a module"):
        audit(parts, {"retrain": factory}, perturbations=[SPEC], jobs=2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"jobs": 0}, "jobs is 0"),
        ({"engine": "rays"}, "unknown engine 'rays'; known are local, ray"),
        ({"engine": "ray"}, "folder that all machines"),
    ],
)
def test_places_that_cannot_be_are_refused(
    change: dict[str, Any], message: str, parts: Split, small_recipe: Recipe
) -> None:
    with pytest.raises(OptionError, match=message):
        audit(parts, small_recipe, **change)
    shared = Recipe(**{**vars(small_recipe), "device": DeviceOptions(devices=2)})
    with pytest.raises(OptionError, match="either devices or jobs"):
        audit(parts, shared, jobs=2)


@pytest.mark.parametrize("name", ["finestrec", "torch", "threads"])
def test_trainings_of_another_version_or_thread_count_are_refused(parts: Split, fits: Path, name: str) -> None:
    arguments: Any = {"perturbations": [SPEC], "floors": False, "folder": fits.parent / "jobs"}
    audit(parts, {"retrain": Popular()}, **arguments)
    table = json.loads((fits.parent / "jobs" / "jobs.json").read_text())
    table["identity"][name] = "of old"
    (fits.parent / "jobs" / "jobs.json").write_text(json.dumps(table))
    with pytest.raises(RunFolderError, match=f"trainings with other {name} .*of old there"):
        audit(parts, {"retrain": Popular()}, **arguments)


def test_a_damaged_or_missing_table_is_refused(parts: Split, small_recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "jobs.json").write_text('{"format": 1}')
    with pytest.raises(RunFolderError, match="damaged"):
        audit(parts, small_recipe, folder=tmp_path)
    (tmp_path / "jobs.json").unlink()
    (tmp_path / "retrain.D.seed0.safetensors").touch()
    with pytest.raises(RunFolderError, match=r"no jobs\.json that says of what"):
        audit(parts, small_recipe, folder=tmp_path)


def test_what_a_killed_process_was_writing_is_swept(parts: Split, tmp_path: Path) -> None:
    for name in (".jobs.json.x1.json", ".retrain.D.seed0.safetensors.x2.safetensors", ".row.a.json.x3.json"):
        (tmp_path / name).touch()
    (tmp_path / ".theirs").touch()
    audit(parts, {"retrain": Popular()}, perturbations=[SPEC], floors=False, folder=tmp_path)
    assert [path.name for path in tmp_path.glob(".*")] == [".theirs"]


class Told(JobsProgress):
    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def begin(self, epochs: Any, done: int) -> None:
        self.told.append(("begin", dict(epochs), done))

    def start(self, key: str) -> None:
        self.told.append(("start", key))

    def move(self, key: str, left: float) -> None:
        self.told.append(("move", key, left))

    def finish(self, key: str) -> None:
        self.told.append(("finish", key))

    def end(self) -> None:
        self.told.append(("end",))


@pytest.mark.parametrize("jobs", [1, 2])
def test_progress_is_told_of_every_job_and_of_epochs(parts: Split, small_recipe: Recipe, jobs: int) -> None:
    progress = Told()
    audit(
        parts,
        small_recipe,
        perturbations=[SPEC],
        methods=["warm_start"],
        regimes=["anchored-update"],
        floors=False,
        jobs=jobs,
        progress=progress,
    )
    _, epochs, done = progress.told[0]
    assert done == 0
    assert progress.told[-1] == ("end",)
    trainings = {key: size for key, size in epochs.items() if not key.startswith("row.")}
    assert trainings == {
        "retrain.D.seed0": 3,
        "warm_start.D.seed0": 2,
        "warm_start.delete-random-0.01.seed0": 2,
    }
    for key in epochs:
        begun, ended = progress.told.index(("start", key)), progress.told.index(("finish", key))
        left = [each[2] for each in progress.told[begun:ended] if each[0] == "move" and each[1] == key]
        assert left == sorted(left, reverse=True)
        assert all(0 <= value <= epochs[key] + 1e-9 for value in left)
        if jobs == 1 and key in trainings:
            assert left[0] == epochs[key]
            assert left[-1] == pytest.approx(0, abs=1e-9)


def test_a_worker_that_is_started_hears_what_for_before_its_parent_ends(
    parts: Split,
    small_recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    spawn = util.spawnv_passfds
    workers: list[int] = []

    def spawn_and_end(path: Any, arguments: list[Any], fds: Any) -> int:
        pid = spawn(path, arguments, fds)
        if "--multiprocessing-fork" in arguments:  # a worker, which has not been told yet what it is for
            workers.append(pid)
            signal.raise_signal(signal.SIGTERM)
        return pid

    def stop(*_: object) -> None:
        raise SystemExit(143)

    monkeypatch.setattr(util, "spawnv_passfds", spawn_and_end)
    handler = signal.signal(signal.SIGTERM, stop)
    try:
        with pytest.raises(SystemExit):
            audit(parts, small_recipe, perturbations=[SPEC], folder=tmp_path, jobs=2)
        assert signal.getsignal(signal.SIGTERM) is stop
    finally:
        signal.signal(signal.SIGTERM, handler)
    [worker] = workers
    with suppress(ChildProcessError):  # it was waited for
        os.waitpid(worker, 0)
    assert "Traceback" not in capfd.readouterr().err


def test_a_script_without_a_guard_is_told_so(tmp_path: Path) -> None:
    """Its workers import it, begin an audit of their own and die; the log is more than fits into a pipe."""
    script = tmp_path / "script.py"
    script.write_text(
        """
import finestrec as fr
from finestrec.data.simulator import SimulatorOptions

parts = fr.split(fr.simulate(SimulatorOptions(users=200, items=30), seed=0))
recipe = fr.Recipe.of("lstm", model_options={"hidden": 8}, training={"epochs": 1}, finest={"epochs": 1})
fr.audit(parts, recipe, jobs=2, floors=False)
"""
    )
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1
    assert 'has to do so under `if __name__ == "__main__":`, since each worker imports it' in ended.stderr
