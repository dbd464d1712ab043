"""The installed command: start, exit codes, signals."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import TINY, Finestrec

from finestrec.cli.main import app

COMMAND = Path(sys.executable).with_name("finestrec")
LONG = [*TINY, "--set", "training.epochs=100", "--threads", "1", "--model", "lrurec"]
PATIENCE = 120


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from finestrec.cli.main import run; code = run(['--help']);"
        "heavy = {'torch', 'polars', 'numba', 'numpy', 'pydantic', 'lightning_fabric'} & set(sys.modules);"
        "print(heavy, file=sys.stderr); sys.exit(code or len(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in (
        "demo",
        "simulate",
        "train",
        "stabilize",
        "update",
        "audit",
        "perturb",
        "recommend",
        "compare",
        "models",
        "methods",
    ):
        assert name in done.stdout


def test_every_command_explains_itself(finestrec: Finestrec) -> None:
    for command in app.registered_commands:
        assert command.callback is not None
        outcome = finestrec(command.callback.__name__, "--help")
        assert outcome.code == 0
        assert "--json" in outcome.out
    assert finestrec("--version").out.strip()
    assert finestrec("no-such-command").code == 2


def test_an_error_of_ours_is_70(
    finestrec: Finestrec, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("finestrec.runs.load_run", broken)
    outcome = finestrec("recommend", run_folder, "--out", tmp_path / "lists.csv")
    assert outcome.code == 70
    assert "Traceback" in outcome.err
    assert "report" in outcome.err


@pytest.fixture(scope="module")
def uninterrupted(log_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the interrupted runs have to end with, made by the installed command."""
    out = tmp_path_factory.mktemp("uninterrupted") / "run"
    done = subprocess.run(
        [COMMAND, "train", log_file, *LONG, "--out", out], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return out


def interrupted(log: Path, out: Path, number: signal.Signals, wait: Callable[[Path], None]) -> tuple[int, str]:
    """Start a training, wait, send a signal."""
    process = subprocess.Popen(
        [COMMAND, "train", log, *LONG, "--out", out], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        wait(out)
        process.send_signal(number)
        _, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    return process.returncode, err


def until_first_epoch(out: Path) -> None:
    began = time.monotonic()
    while not (out / "checkpoint.safetensors").exists():
        assert time.monotonic() - began < PATIENCE
        time.sleep(0.005)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_stopped_anywhere_resumes_to_the_same_bytes(
    finestrec: Finestrec, log_file: Path, uninterrupted: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "run"

    def sometime(out: Path) -> None:
        until_first_epoch(out)
        time.sleep(random.uniform(0, 0.2))

    code, err = interrupted(log_file, out, number, sometime)
    if number is signal.SIGKILL:
        assert code == -signal.SIGKILL
    else:
        assert code == 128 + number, err
        assert number.name in err
        assert "--resume" in err
        assert "Traceback" not in err
    command = ["train", log_file, *LONG, "--out", out]
    refused = finestrec(*command)
    assert refused.code == 2
    assert "--resume" in refused.err
    resumed = finestrec(*command, "--resume")
    assert resumed.code == 0, resumed.err
    assert "epochs were done before" in resumed.err
    for name in ("model.safetensors", "lists.parquet"):
        assert (out / name).read_bytes() == (uninterrupted / name).read_bytes()
    assert not any(path.name.startswith(".") for path in out.iterdir())
    assert not (out / "checkpoint.safetensors").exists()
