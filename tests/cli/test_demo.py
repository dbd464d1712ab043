"""The demo on a log that takes seconds, and its verdict on numbers of either kind."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from command_line import Finestrec

from finestrec.runs import load_run
from finestrec.stability.findings import Finding
from finestrec.stability.results import StabilityAudit

demo: Any = import_module("finestrec.cli.demo")


def test_the_story_from_the_log_to_the_verdict(
    finestrec: Finestrec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "USERS", 80)
    monkeypatch.setattr(demo, "ITEMS", 40)
    tiny = {"training": {"epochs": 2}, "finest": {"epochs": 1, "k": 5}}
    monkeypatch.setattr(demo, "OPTIONS", {"model": {"name": "lrurec", "hidden": 8, "blocks": 1}, **tiny})
    out = tmp_path / "demo"
    first = finestrec("demo", "--out", out, "--threads", 1)
    assert first.code == 0, first.err
    for text in ("RBO(p=0.9)", "FRBO(p=0.9)@10", "Jaccard@10", "MRR", "Recall@10", "NDCG@10", "FINEST", str(out)):
        assert text in first.out
    assert "training interactions is deleted" in first.err  # one in a thousand of few
    assert load_run(out / "run").config.model.hidden == 8
    assert {"log.tsv", "run", "jobs", "results.json", "events.log"} <= {path.name for path in out.iterdir()}
    assert finestrec("demo", "--out", out, "--threads", 1).code == 2
    again = finestrec("demo", "--out", out, "--threads", 1, "--resume", "--json")
    assert again.document["verdict"] in first.out
    assert finestrec("demo", "--out", out, "--threads", 1, "--force", "--quiet").code == 0

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    # Another demo in its place, stopped before it has a run of its own, is not in the way of itself.
    with monkeypatch.context() as at_once:
        at_once.setattr("finestrec.runs.making.prepare", stopped)
        assert finestrec("demo", "--out", out, "--seed", 1, "--threads", 1, "--force", "--quiet").code == 130
    assert finestrec("demo", "--out", out, "--seed", 1, "--threads", 1, "--resume", "--quiet").code == 0
    assert load_run(out / "run").config.seed == 1


def audit_of(turnover: dict[str, float], lower: float) -> StabilityAudit:
    def finding(method: str) -> Finding:
        return Finding(
            regime="anchored-update",
            method=method,
            perturbation=demo.DELETION,
            seeds=1,
            n_users=1,
            measures={"Turnover@10": turnover[method]},
            intervals={},
            ndcg_change={"mean": lower + 0.01, "lower": lower, "upper": lower + 0.02},
            seconds=0.0,
        )

    return StabilityAudit([], [finding(method) for method in turnover])


def test_the_verdict_claims_no_more_than_the_numbers() -> None:
    good = demo.verdict(audit_of({"retrain": 0.3, "warm_start": 0.2, "finest": 0.1}, lower=0.0))
    assert "3.0 of the 10" in good
    assert "FINEST changed 1.0, and accuracy is equal" in good
    worse = demo.verdict(audit_of({"retrain": 0.3, "warm_start": 0.1, "finest": 0.1}, lower=0.0))
    assert "FINEST did no better, it changed 1.0" in worse
    costly = demo.verdict(audit_of({"retrain": 0.3, "warm_start": 0.2, "finest": 0.1}, lower=-0.05))
    assert "but accuracy is not shown to be equal" in costly
