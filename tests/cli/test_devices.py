"""Training on several devices, as a user sees it: the processes that train are not the one that was started."""

import subprocess
import sys
from pathlib import Path

import pytest
from command_line import EPOCHS, TINY

COMMAND = Path(sys.executable).with_name("finestrec")


def test_epochs_are_told_once_and_kept(log_file: Path, tmp_path: Path) -> None:
    command = [COMMAND, "train", log_file, "--model", "lrurec", "--out", tmp_path / "run", *TINY, *EPOCHS]
    ran = subprocess.run([*command, "--devices", "2"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    for epoch in (1, 2, 3):
        line = f"epoch {epoch} of 3, loss"
        assert ran.stderr.count(line) == 1, ran.stderr
        assert (tmp_path / "run/events.log").read_text().count(line) == 1


@pytest.mark.parametrize("more", [["--devices", "2"], ["--set", "device.precision=bf16-mixed"]])
def test_quiet_is_quiet_whatever_runs_beneath(more: list[str], log_file: Path, tmp_path: Path) -> None:
    """Fabric has something to say of both, in processes of its own."""
    command = [COMMAND, "train", log_file, "--model", "lrurec", "--out", tmp_path / "run", *TINY, *EPOCHS, "--quiet"]
    ran = subprocess.run([*command, *more], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
