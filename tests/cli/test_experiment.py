"""The installed experiment: a grid of audits that is interrupted, resumed, extended and tabulated."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from command_line import Finestrec, refused

from finestrec.runs.experiment import Experiment
from finestrec.stability.sweeps import scheme

COMMAND = Path(sys.executable).with_name("finestrec")
FILES = Path(__file__).parents[2] / "experiments"
PATIENCE = 240
SMALL = """
logs = ["clicks.csv"]
models = ["lrurec", "lstm"]
methods = ["retrain", "warm_start", "finest:weight=1|10", "blending:alpha=0.5"]
perturbations = ["delete:random:0.01|0.02"]
regimes = ["anchored-update", "unanchored"]

[model]
hidden = 8

[training]
epochs = 2

[finest]
epochs = 1
k = 5
"""


def results(out: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((out / "results.json").read_text())
    return document


def rows(out: Path) -> list[dict[str, Any]]:
    return [{**row, "seconds": None, "peak_memory": None} for row in results(out)["rows"]]


def trained(err: str) -> list[str]:
    return [line.split()[1] for line in err.splitlines() if line.startswith("training ")]


@pytest.fixture
def written(log_file: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes the small experiment, with some text replaced, beside its log."""
    shutil.copy(log_file, tmp_path / "clicks.csv")

    def write(*changes: tuple[str, str]) -> Path:
        text = SMALL
        for before, after in changes:
            assert before in text
            text = text.replace(before, after)
        (tmp_path / "grid.toml").write_text(text)
        return tmp_path / "grid.toml"

    return write


@pytest.fixture(scope="module")
def done(log_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small experiment, made by the installed command without a stop; for reading only."""
    folder = tmp_path_factory.mktemp("done")
    shutil.copy(log_file, folder / "clicks.csv")
    (folder / "grid.toml").write_text(SMALL)
    command = [COMMAND, "experiment", folder / "grid.toml", "--out", folder / "out", "--quiet"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "lrurec on clicks, anchored-update: delete:random:0.01" in ran.stdout
    return folder / "out"


def test_the_folder_is_a_run_folder_with_every_audits_rows(done: Path) -> None:
    assert json.loads((done / "state.json").read_text())["status"] == "done"
    document = results(done)
    assert document["failed"] == {}
    assert [(cell["data"], cell["model"]) for cell in document["cells"]] == [("clicks", "lrurec"), ("clicks", "lstm")]
    parts = [results(done / "cells" / name)["rows"] for name in ("clicks-lrurec", "clicks-lstm")]
    assert document["rows"] == [*parts[0], *parts[1]]
    # A policy is served beside its incumbent, which the unanchored regime has none of; nothing is audited on D alone.
    assert len(parts[0]) == 2 * (5 + 4)
    assert all(row["perturbation"] and row["options"]["device"]["threads"] == 1 for row in document["rows"])
    frame = pl.read_parquet(done / "results.parquet")
    assert frame["accuracy.NDCG@10"].to_list() == [row["accuracy"]["NDCG@10"] for row in document["rows"]]


def test_the_copy_of_the_file_says_the_same_from_anywhere(done: Path) -> None:
    copied, original = (Experiment.read(file) for file in (done / "config.toml", done.parent / "grid.toml"))
    assert copied.what == original.what
    assert copied.options.logs == (done.parent.resolve() / "clicks.csv",)
    assert [copied.config(model) for model in ("lrurec", "lstm")] == [
        original.config(model) for model in ("lrurec", "lstm")
    ]


def test_the_page_shows_the_rows(done: Path) -> None:
    page = (done / "frontier.md").read_text()
    sections = re.split(r"^##+ ", page, flags=re.MULTILINE)
    for row in results(done)["rows"]:
        [own] = [
            text
            for number, text in enumerate(sections)
            if text.startswith(f"{row['regime']}, `{row['perturbation']}`")
            and next(s for s in sections[number::-1] if " on clicks" in s).startswith(row["model"])
        ]
        lines = [line.split(" | ") for line in own.splitlines() if line.startswith(f"| `{row['method']}` |")]
        overlaps = [row["measures"][name] for name in ("FRBO(p=0.9)@10", "Jaccard@10", "RBO(p=0.9)")]
        # One seed, so that the means of the table are those of the row.
        assert [cell.split(" [")[0] for cell in lines[0][1:5]] == [
            f"{value:.4f}" for value in (row["accuracy"]["NDCG@10"], *overlaps)
        ]
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", page)
    assert pictures
    assert len(set(pictures)) == len(pictures)
    assert {done / name for name in pictures} == set((done / "pictures").iterdir())
    assert all((done / name).read_text().startswith("<svg") for name in pictures)
    for cell in results(done)["cells"]:
        for panel in cell["panels"]:
            assert set(panel["hypervolumes"]) == {scheme(line["method"]) for line in panel["lines"]}
            assert [sweep["option"] for sweep in panel["sweeps"]] == ["weight"]
        assert [sweep["option"] for sweep in cell["sweeps"]] == ["amount"]


def test_an_audit_of_it_has_a_report_and_it_says_where(finestrec: Finestrec, done: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert finestrec("report", done / "cells" / "clicks-lstm", "--out", page).code == 0
    assert "Audit of lstm on clicks" in page.read_text()
    refused(finestrec("report", done), "holds an experiment", "frontier.md", "cells")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_what_is_killed_is_resumed_to_the_same_rows(
    finestrec: Finestrec, done: Path, written: Callable[..., Path], tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "out"
    arguments = ["experiment", written(), "--out", out]
    process = subprocess.Popen([COMMAND, *arguments], stderr=subprocess.PIPE, text=True, start_new_session=True)
    table = out / "cells" / "clicks-lstm" / "jobs" / "jobs.json"
    try:
        began = time.monotonic()
        while not table.exists() or '"done"' not in table.read_text():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() - began < PATIENCE
            time.sleep(0.005)
        process.send_signal(number)
        _, err = process.communicate(timeout=PATIENCE)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == (-number if number is signal.SIGKILL else 128 + number)
    if number is signal.SIGINT:
        assert err.splitlines()[-1].endswith(
            f"What is finished is saved in {out}; go on with the same command and --resume."
        )
    refused(finestrec(*arguments), "unfinished", "--resume")
    finished = {key for key, job in json.loads(table.read_text())["jobs"].items() if job["status"] == "done"}
    first = out / "cells" / "clicks-lrurec" / "results.json"
    before = first.stat().st_mtime_ns

    resumed = finestrec(*arguments, "--resume")
    assert resumed.code == 0, resumed.err
    assert finished.isdisjoint(trained(resumed.err))
    assert first.stat().st_mtime_ns == before
    assert rows(out) == rows(done)
    again = finestrec(*arguments, "--resume", "--json")
    assert "finished already" in again.err
    assert again.document["results"]["cells"] == results(out)["cells"]


def test_what_is_listed_may_change_and_only_the_rest_is_trained(
    finestrec: Finestrec, done: Path, written: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(done, out)
    less = [('"lrurec", "lstm"', '"lrurec"'), ("0.01|0.02", "0.01"), (', "blending:alpha=0.5"', "")]
    file = written(*less, ("weight=1|10", "weight=1|3"))
    shown = finestrec("experiment", file, "--out", out, "--resume")
    assert shown.code == 0, shown.err
    new = "finest-weight=3"
    assert set(trained(shown.err)) == {f"{new}.delete-random-0.01.seed0{kind}" for kind in ("", ".own")} | {
        f"{new}.D.seed0"
    }
    assert {(row["model"], row["perturbation"]) for row in rows(out)} == {("lrurec", "delete:random:0.01")}
    assert len(rows(out)) == 2 * 4
    assert "weight=3" in (out / "frontier.md").read_text()
    assert not list((out / "pictures").glob("*lstm*"))
    # Nothing of what was finished is lost.
    back = finestrec("experiment", written(), "--out", out, "--resume")
    assert (back.code, trained(back.err)) == (0, [])
    assert rows(out) == rows(done)


def test_other_options_or_another_log_are_refused(
    finestrec: Finestrec, done: Path, written: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(done, out)
    before = (out / "state.json").read_bytes()
    file = written(("epochs = 2", "epochs = 3"))
    words = ["begun differently", "training.epochs of lrurec: 3 against 2", "training.epochs of lstm: 3 against 2"]
    refused(finestrec("experiment", file, "--out", out, "--resume"), *words)
    more = written(("[model]", 'instances = "first"\n[model]'))
    refused(finestrec("experiment", more, "--out", out, "--resume"), "instances: 'first' against 'all'")
    with (tmp_path / "clicks.csv").open("a") as log:
        log.write("u999,i1,5\n")
    refused(finestrec("experiment", written(), "--out", out, "--resume"), "fingerprint of clicks:")
    assert (out / "state.json").read_bytes() == before


def test_a_failing_audit_is_told_and_the_others_go_on(
    finestrec: Finestrec, written: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    blocked = out / "cells" / "clicks-lrurec"
    begun = finestrec("experiment", written(("0.01|0.02", "0.01"), ('"lrurec", "lstm"', '"lstm"')), "--out", out)
    assert begun.code == 0, begun.err
    blocked.mkdir()
    (blocked / "mine.txt").write_text("notes")
    file = written(("0.01|0.02", "0.01"))
    outcome = finestrec("experiment", file, "--out", out, "--resume")
    refused(outcome, "1 of 2 audits failed (clicks-lrurec: ", "is not empty and not a run folder")
    assert json.loads((out / "state.json").read_text())["status"] == "failed"
    assert {row["model"] for row in rows(out)} == {"lstm"}
    assert list(results(out)["failed"]) == ["clicks-lrurec"]
    assert "**clicks\\-lrurec failed**" in (out / "frontier.md").read_text()
    (blocked / "mine.txt").unlink()
    resumed = finestrec("experiment", file, "--out", out, "--resume")
    assert resumed.code == 0, resumed.err
    assert {row["model"] for row in rows(out)} == {"lstm", "lrurec"}


def test_if_all_fail_there_is_no_page(finestrec: Finestrec, written: Callable[..., Path], tmp_path: Path) -> None:
    file = written(("[training]", '[training]\nclip_norm = "none"\nlr = 1e30'), ("0.01|0.02", "0.01"))
    refused(finestrec("experiment", file, "--out", tmp_path / "out"), "2 of 2 audits failed", "the loss is")
    assert not (tmp_path / "out" / "frontier.md").exists()


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("epochs = 2", "epochs = two", ["grid.toml is not TOML"]),
        ("models =", "model_names =", ["unknown option model_names"]),
        ("models =", "modles =", ["unknown option modles (did you mean models?)"]),
        ("[finest]", "[finets]", ["unknown option finets (did you mean"]),
        ("epochs = 2", "epoch = 2", ["unknown option training.epoch (did you mean training.epochs?)"]),
        ("hidden = 8", 'hidden = 8\nname = "lstm"', ["model.name is set"]),
        ('"clicks.csv"', '"clocks.csv"', ["there is no file", "clocks.csv"]),
        ('"clicks.csv"', '"clicks.csv", "../clicks.tsv"', ["logs are clicks, clicks; expected different names"]),
        ('"lstm"', '"lstn"', ["lstn", "lrurec, lstm"]),
        ('"lstm"', '"lrurec"', ["models are lrurec, lrurec"]),
        ('["lrurec", "lstm"]', "[]", ["models is"]),
        ('"retrain", ', "", ["methods lacks retrain"]),
        ("[model]", 'baseline = "finest"\n[model]', ["baseline is 'finest'", "none of retrain"]),
        ("weight=1|10", "weight=1|1", ["methods are retrain", "different ones"]),
        ("weight=1|10", "weight=1|heavy", ["finest:weight=heavy", "weight is 'heavy'"]),
        ("delete:random:0.01|0.02", "delete:random:0.01|1.5", ["the amount 1.5 is outside"]),
        ('"unanchored"', '"anchored"', ["unknown regime 'anchored'"]),
        ("[model]", "seeds = 0\n[model]", ["the seeds are none"]),
        ("[model]", "seeds = [1, 1]\n[model]", ["the seeds are 1, 1"]),
        ("[model]", "seeds = [-1]\n[model]", ["seeds is -1", "greater than or equal to 0"]),
        ("[model]", "seeds = true\n[model]", ["seeds is True"]),
        ("epochs = 2", "epochs = 2\npatience = 1", ["in the regime unanchored", "training.patience=1"]),
        ("weight=1|10", "teacher=batch:average=user", ["use finest.average=instance"]),
        ("[model]", "seed = 1\n[model]", ["unknown option seed (did you mean seeds?)"]),
        ("[model]", "[model_options.sasrec]\n[model]", ["model_options.sasrec is of no model"]),
        ("[model]\nhidden = 8", "model = 8", ["model is a section of options"]),
        ("[training]", '[split]\nmethod = "none"\n[training]', ["holds nothing out"]),
    ],
)
def test_a_file_that_cannot_be_used(
    finestrec: Finestrec, written: Callable[..., Path], tmp_path: Path, before: str, after: str, words: list[str]
) -> None:
    refused(finestrec("experiment", written((before, after)), "--out", tmp_path / "out"), *words)
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_not_there(finestrec: Finestrec, tmp_path: Path) -> None:
    refused(finestrec("experiment", tmp_path / "no.toml", "--out", tmp_path / "out"), "no.toml", "No such file")


def test_a_baseline_that_is_named_later_is_tabulated_and_trains_nothing(
    finestrec: Finestrec, done: Path, written: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(done, out)
    assert "Against" not in (out / "frontier.md").read_text()
    again = finestrec("experiment", written(("[model]", 'baseline = "retrain"\n[model]')), "--out", out, "--resume")
    assert again.code == 0, again.err
    assert "training" not in again.err
    assert "Against `retrain`, paired" in (out / "frontier.md").read_text()
    first = results(out)["cells"][0]["panels"][0]["lines"]
    assert first[0]["against"] is None
    assert first[1]["against"].keys() == {"FRBO(p=0.9)@10", "NDCG@10"}


def test_force_does_not_delete_its_own_file(finestrec: Finestrec, done: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(done, out)
    refused(finestrec("experiment", out / "config.toml", "--out", out, "--force"), "which --force replaces")


@pytest.mark.parametrize("file", sorted(FILES.glob("*.toml")), ids=lambda file: file.name)
def test_the_experiments_of_the_source_can_be_read(file: Path) -> None:
    asked = Experiment.read(file)
    assert "retrain" in asked.what["methods"]
    assert tomllib.loads(asked.to_toml())["title"]
