"""A small log, a run that was trained on it, and the command line in this process."""

import shutil
from pathlib import Path

import pytest
from command_line import EPOCHS, TINY, Finestrec, Outcome

from finestrec.cli.main import run
from finestrec.data.simulator import SimulatorOptions, simulate
from finestrec.data.sources import write_log


@pytest.fixture
def finestrec(capsys: pytest.CaptureFixture[str]) -> Finestrec:
    def call(*arguments: str | Path) -> Outcome:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Outcome(code, out, err)

    return call


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with log.csv and the run folder `run`."""
    folder = tmp_path_factory.mktemp("made")
    write_log(simulate(SimulatorOptions(users=80, items=40, mean_length=14), seed=0), folder / "log.csv")
    assert (
        run(["train", str(folder / "log.csv"), "--model", "lrurec", "--out", str(folder / "run"), *TINY, *EPOCHS]) == 0
    )
    return folder


@pytest.fixture(scope="session")
def log_file(made: Path) -> Path:
    return made / "log.csv"


@pytest.fixture(scope="session")
def run_folder(made: Path) -> Path:
    """For reading only."""
    return made / "run"


@pytest.fixture
def copied_run(run_folder: Path, tmp_path: Path) -> Path:
    """For damaging."""
    return Path(shutil.copytree(run_folder, tmp_path / "copied"))
