"""The installed audit in several processes: signals, children, resuming, and what a failed job comes to."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from command_line import TINY, Finestrec

COMMAND = Path(sys.executable).with_name("finestrec")
LONG = [*TINY, "--model", "lrurec", "--set", "training.epochs=15", "--perturb", "delete:random:3"]
LONG += ["--methods", "retrain,finest", "--regimes", "anchored-update"]
PATIENCE = 240


def rows(out: Path) -> list[dict[str, Any]]:
    found = json.loads((out / "results.json").read_text())["rows"]
    return [{**row, "seconds": None, "peak_memory": None} for row in found]


def is_gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def in_the_middle(out: Path) -> bool:
    """Two trainings have begun, and one is finished."""
    table = out / "jobs" / "jobs.json"
    if not table.exists():
        return False
    jobs = json.loads(table.read_text())["jobs"].values()
    return sum(job["status"] == "done" for job in jobs) >= 1 and any(job["status"] == "running" for job in jobs)


@pytest.fixture(scope="module")
def alone(log_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the interrupted audits have to end with, made in one process with one thread."""
    out = tmp_path_factory.mktemp("alone") / "one"
    command = [COMMAND, "audit", log_file, *LONG, "--out", out, "--threads", "1", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_leaves_no_child_and_resumes_to_the_same_rows(
    finestrec: Finestrec, log_file: Path, alone: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "two"
    arguments = ["audit", log_file, *LONG, "--out", out]
    process = subprocess.Popen(
        [COMMAND, *arguments, "--jobs", "2"], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        began = time.monotonic()
        while not in_the_middle(out):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() - began < PATIENCE
            time.sleep(0.01)
        if number is signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does, to every process
        else:
            process.send_signal(number)
        _, err = process.communicate(timeout=PATIENCE)
        began = time.monotonic()
        while not is_gone(process.pid):
            assert time.monotonic() - began < PATIENCE
            time.sleep(0.01)
    finally:
        if not is_gone(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == (-number if number is signal.SIGKILL else 128 + number)
    if number is not signal.SIGKILL:
        assert "--resume" in err
    assert "Traceback" not in err
    before = json.loads((out / "jobs" / "jobs.json").read_text())["jobs"]
    finished = {key for key, job in before.items() if job["status"] == "done"}
    assert finished

    resumed = finestrec(*arguments, "--resume", "--threads", "1")
    assert resumed.code == 0, resumed.err
    begun = {line.split()[1] for line in resumed.err.splitlines() if line.startswith("training ")}
    assert begun.isdisjoint(finished)
    assert begun
    assert rows(out) == rows(alone)
    assert not [path.name for path in (out / "jobs").iterdir() if path.name.startswith(".")]


def test_a_failed_job_is_the_users_mistake_and_resume_repeats_it(
    finestrec: Finestrec, log_file: Path, tmp_path: Path
) -> None:
    command = ["audit", log_file, *LONG, "--set", "training.epochs=2", "--out", tmp_path / "out"]
    diverging = ["--set", "finest.lr=1e30", "--set", "training.clip_norm=none", "--threads", "1"]
    outcome = finestrec(*command, *diverging)
    assert outcome.code == 2
    assert "jobs failed (finest.D.seed0: the loss is" in outcome.err
    assert "Traceback" not in outcome.err
    again = finestrec(*command, *diverging, "--resume")
    assert again.code == 2
    begun = {line.split()[1] for line in again.err.splitlines() if line.startswith("training ")}
    assert begun == {"finest.D.seed0", "finest.delete-random-3.seed0"}


def test_an_unknown_engine_is_refused_before_a_folder_is_made(
    finestrec: Finestrec, log_file: Path, tmp_path: Path
) -> None:
    outcome = finestrec("audit", log_file, "--model", "lrurec", "--engine", "rays", "--out", tmp_path / "out")
    assert outcome.code == 2
    assert "unknown engine 'rays'; known are local, ray" in outcome.err
    assert not (tmp_path / "out").exists()
