"""The how-to pages, as a user would follow them."""

import re
from pathlib import Path

import polars as pl
import pytest
import yaml

from finestrec.cli.main import run
from finestrec.stability.gate import check_names, parse_check, read_gate

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "nightly-gate.md"


def blocks(kind: str) -> list[str]:
    found: list[str] = re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    return found


@pytest.fixture
def lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """yesterday.parquet and today.parquet in the working folder, and held-out interactions."""
    monkeypatch.chdir(tmp_path)
    for name, moved in (("yesterday", 0), ("today", 1)):
        items = [[(user + rank + moved) % 40 for rank in range(10)] for user in range(30)]
        pl.DataFrame({"user_id": range(30), "items": items}).write_parquet(f"{name}.parquet")
    pl.DataFrame({"user_id": range(30), "item_id": [user + 2 for user in range(30)]}).write_parquet("truth.parquet")


@pytest.mark.usefixtures("lists")
def test_the_nightly_gate(tmp_path: Path) -> None:
    [command, *_] = blocks("")
    arguments = re.findall(r"'[^']*'|\S+", command)
    assert arguments[0] == "finestrec"
    assert run([argument.strip("'") for argument in arguments[1:]]) == 1
    [toml] = blocks("toml")
    (tmp_path / "gate.toml").write_text(toml)
    assert len(read_gate(tmp_path / "gate.toml")) == 3
    [workflow] = blocks("yaml")
    steps = [step["run"].split() for step in yaml.safe_load(workflow)["jobs"]["churn"]["steps"] if "run" in step]
    [nightly] = [step for step in steps if step[:2] == ["finestrec", "compare"]]
    assert run(nightly[1:]) == 1
    assert all((tmp_path / name).exists() for name in ("summary.md", "churn.xml", "comparison/lists.parquet"))
    [code] = blocks("python")
    exec(compile(code, PAGE.name, "exec"), {})


def test_every_expression_of_the_page_can_be_read() -> None:
    text = PAGE.read_text()
    expressions = re.findall(r"^\| `([^`]*[<>] [^`]*)`", text, flags=re.MULTILINE)
    assert len(expressions) == 6
    names = ["FRBO(p=0.9)@10", "Jaccard@10", "change(NDCG@10)", "NegativeFlips@10"]
    check_names([parse_check(expression) for expression in expressions], names, {"Jaccard@10": 0.9})
