"""`finestrec report` on every kind of folder, and budgets of `update`."""

import hashlib
import json
from pathlib import Path

import polars as pl
import pytest
from command_line import EPOCHS, TINY, Finestrec

TITLES = {"audit": "Audit of lrurec", "update": "annealed of lrurec", "compare": "Comparison of lists"}


@pytest.fixture
def tuesday(finestrec: Finestrec, log_file: Path, run_folder: Path, tmp_path: Path) -> Path:
    assert finestrec("update", run_folder, log_file, "--out", tmp_path / "tuesday").code == 0
    return tmp_path / "tuesday"


def test_a_report_of_an_update(finestrec: Finestrec, tuesday: Path) -> None:
    outcome = finestrec("report", tuesday, "--json")
    assert outcome.code == 0, outcome.err
    page = (tuesday / "report.html").read_text()
    assert "annealed of lrurec" in page
    summary = outcome.document["summary"]
    served, models = summary["chapters"]
    assert served["users"]
    row = json.loads((tuesday / "results.json").read_text())["rows"][0]
    assert models["results"][0]["measures"]["Jaccard@10"]["mean"] == row["measures"]["Jaccard@10"]
    ndcg = models["results"][0]["accuracy"]["NDCG@10"]
    assert ndcg == {"mean": row["accuracy"]["NDCG@10"], **row["intervals"]["NDCG@10"]}
    assert ndcg["lower"] < ndcg["mean"] < ndcg["upper"]
    lists = json.loads((tuesday / "comparison" / "results.json").read_text())["rows"][0]
    assert served["results"][0]["measures"]["Jaccard@10"]["mean"] == lists["measures"]["Jaccard@10"]
    # Written again, elsewhere, with a user of one's own.
    user = served["users"][-1]["user"]
    again = finestrec("report", tuesday, "--out", tuesday.parent / "page.html", "--user", user, "--json")
    assert again.document["summary"]["chapters"][0]["users"][0]["user"] == user


def test_a_report_of_an_audit_shows_lists_before_and_after_each_method(
    finestrec: Finestrec, log_file: Path, tmp_path: Path
) -> None:
    command = ["audit", log_file, "--model", "lrurec", *TINY, *EPOCHS, "--out", tmp_path / "audit"]
    assert finestrec(*command).code == 0
    outcome = finestrec("report", tmp_path / "audit", "--json")
    assert outcome.code == 0, outcome.err
    summary = outcome.document["summary"]
    assert [chapter["title"] for chapter in summary["chapters"]] == [
        "anchored-update: delete:random:0.001",
        "authors-protocol: delete:random:0.001",
    ]
    first = summary["chapters"][0]
    assert [each["label"] for each in first["users"][0]["lists"]] == ["before", "retrain", "warm start", "finest"]
    assert {"floor: the same run twice", "floor: another seed alone", "finest"} <= {
        r["label"] for r in first["results"]
    }
    rows = json.loads((tmp_path / "audit" / "results.json").read_text())["rows"]
    (row,) = [r for r in rows if (r["regime"], r["method"]) == ("anchored-update", "finest") and r["perturbation"]]
    (result,) = [r for r in first["results"] if r["label"] == "finest"]
    assert result["measures"]["Jaccard@10"]["mean"] == pytest.approx(row["measures"]["Jaccard@10"])
    n_users = row["n_users"]
    assert all(sum(each["counts"]) == n_users for each in first["distributions"])
    assert summary["verdict"][0].startswith("Deleting 1 of ")


def test_a_report_of_a_comparison_with_its_gate(
    finestrec: Finestrec, run_folder: Path, tuesday: Path, tmp_path: Path
) -> None:
    lists = [run_folder / "lists.parquet", tuesday / "lists.parquet"]
    compared = finestrec("compare", *lists, "--out", tmp_path / "compared", "--fail-if", "Jaccard@10 > 0")
    assert compared.code == 1
    outcome = finestrec("report", tmp_path / "compared", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.document["summary"]["passed"] is False
    facts = dict(outcome.document["summary"]["facts"])
    for name, file in zip(("OLD", "NEW"), lists, strict=True):
        assert facts[f"fingerprint of {name}"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert "The gate failed" in (tmp_path / "compared" / "report.html").read_text()


def test_folders_that_compare_nothing_are_refused(finestrec: Finestrec, run_folder: Path, tmp_path: Path) -> None:
    refused = finestrec("report", run_folder)
    assert (refused.code, "compares nothing" in refused.err) == (2, True)
    assert not (run_folder / "report.html").exists()
    assert finestrec("report", tmp_path / "nowhere").code == 2
    (tmp_path / "clicks.csv").touch()
    no_folder = finestrec("report", tmp_path / "clicks.csv")
    assert (no_folder.code, "there is no run folder" in no_folder.err) == (2, True)


def test_mistakes_about_a_report(finestrec: Finestrec, tuesday: Path) -> None:
    unknown = finestrec("report", tuesday, "--user", "nobody")
    assert (unknown.code, "no lists of user nobody were compared" in unknown.err) == (2, True)
    nowhere = finestrec("report", tuesday, "--out", tuesday / "no" / "page.html")
    assert (nowhere.code, "cannot be written" in nowhere.err) == (2, True)
    (tuesday / "comparison" / "lists.parquet").unlink()
    damaged = finestrec("report", tuesday)
    assert (damaged.code, "lists.parquet" in damaged.err) == (2, True)


def test_a_budget_is_met_or_the_exit_code_says_that_it_is_not(
    finestrec: Finestrec, log_file: Path, run_folder: Path, tmp_path: Path
) -> None:
    command = ["update", run_folder, log_file, "--out", tmp_path / "out", "--json", "--method", "finest:weight=3"]
    met = finestrec(*command, "--budget", "Jaccard@10 >= 0.01")
    assert (met.code, met.document["within_budget"]) == (0, True)
    assert "the budget is met" in met.err
    missed = finestrec(*command, "--resume", "--budget", "Jaccard@10 >= 0.01", "--budget", "Jaccard@10 > 1")
    assert (missed.code, missed.document["within_budget"]) == (1, False)
    assert "the budget is not met: Jaccard@10 is" in missed.err
    for budget, words in (
        ("Jacard >= 1", "the budget 'Jacard >= 1' asks for Jacard"),
        ("Jaccard@10", "cannot read the budget 'Jaccard@10'; expected what has to hold"),
        ("Jaccard@10@slice:country=DE >= 0.5", "is of a slice"),
        ("excess(Jaccard@10) <= 0.1", "is of an excess"),
    ):
        wrong = finestrec("update", run_folder, log_file, "--out", tmp_path / "other", "--budget", budget)
        assert wrong.code == 2
        assert words in wrong.err
        assert not (tmp_path / "other").exists()


def test_a_strength_is_searched_for_a_budget(
    finestrec: Finestrec, log_file: Path, run_folder: Path, tmp_path: Path
) -> None:
    command = ["update", run_folder, log_file, "--out", tmp_path / "out", "--json", "--budget", "Jaccard@10 >= 0.01"]
    done = finestrec(*command)
    assert (done.code, done.document["within_budget"]) == (0, True)
    found = done.document["results"]["search"]
    # Plain fine-tuning holds so little, so no strength is spent.
    assert (found["method"], found["met"], len(found["probes"])) == ("annealed:alpha=0", True, 1)
    assert done.document["results"]["rows"][0]["method"] == "annealed:alpha=0"
    assert "found annealed:alpha=0 in 1 probes" in done.err
    assert finestrec(*command, "--resume").document == done.document
    page = finestrec("report", tmp_path / "out", "--json")
    assert "found annealed:alpha=0" in dict(page.document["summary"]["facts"])["strength"]
    other = finestrec(*command, "--resume", "--max-accuracy-loss", "1%")
    assert (other.code, "--max-accuracy-loss" in other.err) == (2, True)
    missed = finestrec(
        "stabilize", run_folder, "--out", tmp_path / "no", "--budget", "Jaccard@10 > 1", "--set", "finest.epochs=1"
    )
    assert missed.code == 1
    assert "no strength within reach holds the budget" in missed.out
    assert len(json.loads((tmp_path / "no" / "search.json").read_text())) == 6


def test_the_budget_that_is_searched_for_is_the_one_that_is_held(
    finestrec: Finestrec, log_file: Path, run_folder: Path, tmp_path: Path
) -> None:
    plain = finestrec("update", run_folder, log_file, "--out", tmp_path / "plain", "--json", "--method", "gaps:alpha=0")
    before = plain.document["comparison"]["rows"][0]["measures"]["Jaccard@10"]
    wanted = ["--budget", f"Jaccard@10 >= {before + 0.3 * (1 - before)}", "--max-accuracy-loss", "90%"]
    done = finestrec("update", run_folder, log_file, "--out", tmp_path / "held", "--json", "--method", "gaps", *wanted)
    assert (done.code, done.document["within_budget"]) == (0, True), done.err
    search = done.document["results"]["search"]
    assert 0 < search["strength"] < 1
    assert search["accuracy_loss"] is not None
    (found,) = [probe for probe in search["probes"] if probe["strength"] == search["strength"]]
    # What is served is what was probed.
    assert found["budget"]["Jaccard@10"] == done.document["comparison"]["rows"][0]["measures"]["Jaccard@10"]
    assert all(probe["holds"] == (probe["strength"] >= search["strength"]) for probe in search["probes"])
    assert not list((tmp_path / "held").glob("checkpoint*"))
    # The other way round: the most stable that loses little, on validation interactions.
    strong = finestrec(
        "update", run_folder, log_file, "--out", tmp_path / "strong", "--json", "--method", "gaps", *wanted[2:]
    )
    assert strong.code == 0
    assert strong.document["results"]["search"]["strength"] > search["strength"]
    assert strong.document["results"]["search"]["accuracy_loss"] <= 0.9


def test_a_lead_is_found_that_keeps_yesterdays_lists(
    finestrec: Finestrec, log_file: Path, run_folder: Path, tmp_path: Path
) -> None:
    command = ["update", run_folder, log_file, "--json", "--set", "seed=1"]
    plain = finestrec(*command, "--method", "retrain", "--out", tmp_path / "plain")
    before = plain.document["comparison"]["rows"][0]["measures"]["Jaccard@10"]
    budget = ["--budget", f"Jaccard@10 >= {(before + 1) / 2}"]
    done = finestrec(*command, "--method", "hysteresis", "--out", tmp_path / "out", *budget)
    assert (done.code, done.document["within_budget"]) == (0, True), done.err
    search = done.document["results"]["search"]
    assert search["strength"] > 0
    assert search["probes"][0]["budget"]["Jaccard@10"] == pytest.approx(before)
    # Nothing was trained twice: the probes share the training of the run.
    assert (tmp_path / "out/model.safetensors").read_bytes() == (tmp_path / "plain/model.safetensors").read_bytes()
    # What is recommended later is what was served.
    assert finestrec("recommend", tmp_path / "out", "--out", tmp_path / "lists.parquet").code == 0
    again = pl.read_parquet(tmp_path / "lists.parquet")
    assert again.equals(pl.read_parquet(tmp_path / "out/lists.parquet"))
    assert not again.equals(pl.read_parquet(tmp_path / "plain/lists.parquet"))
    assert finestrec(*command, "--method", "hysteresis", "--out", tmp_path / "out", *budget, "--resume").code == 0
    assert finestrec("report", tmp_path / "out").code == 0
    # Without them it would serve other lists.
    (tmp_path / "out/kept.parquet").unlink()
    lost = finestrec("recommend", tmp_path / "out", "--out", tmp_path / "others.parquet")
    assert (lost.code, "kept.parquet is missing; make the run again" in lost.err) == (2, True)


def test_mistakes_about_limits(finestrec: Finestrec, run_folder: Path, tmp_path: Path) -> None:
    command = ["stabilize", run_folder, "--out", tmp_path / "out"]
    for text in ("much", "-1%", "100%"):
        wrong = finestrec(*command, "--max-accuracy-loss", text)
        assert (wrong.code, "expected a share of NDCG@10 such as 1%" in wrong.err) == (2, True)
    open_ended = finestrec(*command, "--method", "warm_start", "--max-accuracy-loss", "1%")
    assert (open_ended.code, "has no strength to search for" in open_ended.err) == (2, True)
    served = finestrec(*command, "--method", "blending:alpha=0.3")
    assert (served.code, "hysteresis needs no more than the lists that were served" in served.err) == (2, True)
    unknown = finestrec(*command, "--method", "finest:wait=3")
    assert (unknown.code, "did you mean weight?" in unknown.err) == (2, True)
    for method, setting in (("finest", "weight=7"), ("annealed", "alpha=0.5")):
        option, value = setting.split("=")
        twice = finestrec(*command, "--method", method, "--set", f"finest.{setting}", "--budget", "Jaccard@10 >= 0.5")
        assert (twice.code, f"finest.{option} is set to {value} and would be searched too" in twice.err) == (2, True)
        assert f"--method {method}:{setting}" in twice.err
    unread = finestrec(*command, "--method", "rbo", "--set", "finest.alpha=0.9", "--set", "finest.epochs=1")
    assert (unread.code, "finest.alpha is set, but the method 'rbo' does not read it" in unread.err) == (2, True)
    preset = finestrec(*command, "--method", "gaps", "--set", "finest.preset=authors")
    assert (preset.code, "finest.preset is set, but the method 'gaps' does not read it" in preset.err) == (2, True)
    both = finestrec(*command, "--method", "finest:weight=10", "--set", "finest.weight=3")
    assert (both.code, "names another value; leave one out" in both.err) == (2, True)
    none = finestrec(*command, "--method", "hysteresis", "--set", "finest.epochs=1")
    assert (none.code, "(it reads none of [finest])" in none.err) == (2, True)
    assert not (tmp_path / "out").exists()
