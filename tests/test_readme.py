"""The README's blocks of Python, as a user would paste them, on a small log."""

import re
from pathlib import Path

import polars as pl
import pytest

from chains import markov_log

README = Path(__file__).parents[1] / "README.md"


def test_the_blocks_of_python_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL))
    frame = markov_log(120, 30, 12, seed=0).to_frame().select("user_id", "item_id", "timestamp")
    frame.write_csv(tmp_path / "clicks.csv")
    monkeypatch.chdir(tmp_path)
    quick = re.sub(r'"epochs": \d+', '"epochs": 1', code).replace("[0, 1, 2]", "[0, 1]")
    exec(compile(quick, "README.md", "exec"), {})
    assert capsys.readouterr().out.count("items with everything else equal") == 3
    audited = pl.read_parquet("audit.parquet")
    assert set(audited["method"]) == {"retrain", "warm_start", "finest", "same_seed", "other_seed"}
