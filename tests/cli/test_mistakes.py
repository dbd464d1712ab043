"""What users get wrong: exit 2, a sentence that helps, no traceback, and nothing lost."""

import json
from pathlib import Path

import polars as pl
import pytest
from command_line import EPOCHS, TINY, Finestrec, refused

from finestrec.runs.lock import locked

HEADER = "user,item,timestamp\n"
GOOD = "".join(f"u{u},i{(u + t) % 7},{t}\n" for u in range(5) for t in range(12))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["empty"]),
        (HEADER, ["no rows"]),
        ("user,thing,timestamp\nu1,i1,3\n", ["item", "'thing'"]),
        (HEADER + GOOD + "u1,i1,NaN\n", ["line 62", "timestamp", "NaN"]),
        (HEADER + GOOD + "u1,,9\n", ["line 62", "item"]),
        (HEADER + "".join(f"u{t % 30},i{t % 7},{t}\n" for t in range(90)), ["fewer than 10", "data.min_length"]),
        (HEADER + "".join(f"u1,i{t % 7},{t}\n" for t in range(30)), ["one user", "at least two users"]),
        (HEADER + "".join(f"u{u},i1,{t}\n" for u in range(5) for t in range(12)), ["one item"]),
    ],
    ids=["empty", "no rows", "column", "NaN time", "no item", "all too short", "one user", "one item"],
)
def test_a_log_that_cannot_be_used(finestrec: Finestrec, tmp_path: Path, content: str, words: list[str]) -> None:
    log = tmp_path / "log.csv"
    log.write_text(content)
    refused(finestrec("train", log, "--model", "lrurec", "--out", tmp_path / "run"), *words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "sasrek"], ["sasrek", "lrurec, lstm"]),
        ([], ["--model", "lrurec, lstm"]),
        (["--model", "lrurec", "--set", "finest.k=-1"], ["finest.k is -1", "greater than or equal to 1"]),
        (["--model", "lrurec", "--set", "finest.kk=3"], ["finest.kk", "did you mean finest.k?"]),
        (["--model", "lrurec", "--set", "finests.k=3"], ["finests", "known are seed"]),
        (["--model", "lrurec", "--set", "training.epochs"], ["training.epochs=20"]),
        (["--model", "lrurec", "--set", "training.lr=fast"], ["training.lr is 'fast'", "number"]),
        (["--model", "lrurec", "--set", "split.fraction=0.01"], ["holds out nothing", "split.fraction"]),
        (["--model", "lrurec", "--split", "first"], ["split.method is 'first'", "leave-one-out"]),
        (["--model", "lrurec", "--device", "abacus"], ["device.device is 'abacus'", "cuda"]),
        (["--model", "lrurec", "--device", "mps"], ["device.device is mps", "use cpu"]),
        (["--model", "lrurec", "--set", "device.precision=16-mixed"], ["16-mixed", "bf16-mixed"]),
        (["--model", "lrurec", "--set", "training.betas=0.9,1.5"], ["training.betas", "1.5", "less than 1"]),
        (["--model", "lrurec", "--set", "data.item=thing"], ["'thing'", "--set data.item=NAME"]),
        (["--model", "lrurec", "--threads", "0"], ["--threads", "greater than or equal to 1"]),
        (["--model", "lrurec", "--seed", "-1"], ["--seed", "greater than or equal to 0"]),
        (["--model", "lrurec", "--config", "nothing.toml"], ["nothing.toml", "No such file"]),
        (["--models", "lrurec"], ["--models"]),
    ],
    ids=lambda value: " ".join(value[-1:]) if isinstance(value, list) else None,
)
def test_an_option_that_does_not_fit(
    finestrec: Finestrec, log_file: Path, tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    refused(finestrec("train", log_file, "--out", tmp_path / "run", *arguments), *words)
    assert not (tmp_path / "run").exists()


def test_bad_toml(finestrec: Finestrec, log_file: Path, tmp_path: Path) -> None:
    (tmp_path / "options.toml").write_text("[training]\nepochs = = 3\n")
    refused(
        finestrec("train", log_file, "--out", tmp_path / "run", "--config", tmp_path / "options.toml"),
        "options.toml is not TOML",
        "line 2",
    )


def test_a_missing_log(finestrec: Finestrec, tmp_path: Path) -> None:
    refused(finestrec("train", tmp_path / "no.csv", "--model", "lrurec", "--out", tmp_path / "run"), "no.csv")
    refused(finestrec("train", tmp_path, "--model", "lrurec", "--out", tmp_path / "run"), "is a directory")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("remove:random:5", ["remove", "delete, replace, insert"]),
        ("delete:best:5", ["best", "random"]),
        ("delete:random:0", ["amount is 0"]),
        ("delete:random:few", ["'few'", "0.1%"]),
        ("delete:random:1000000", ["1,000,000", "training interactions"]),
        ("delete:random:100%", ["deletes all", "leave some"]),
        ("delete:user:100%", ["deletes all", "leave some"]),
        ("delete:casper:50%", ["are roots", "candidates=all"]),
        ("delete:casper:5:scores=best", ["best", "auto, exact, sketch"]),
        ("delete:item:1000000", ["1,000,000", "items with training interactions"]),
        ("delete:user:0:ids=nowhere.txt", ["no file nowhere.txt"]),
        ("append:cut:1000000", ["nothing before the cut", "fewer days"]),
        ("append:cut", ["append:cut:7"]),
        ("insert:random:5:item=rare", ["rare", "popular"]),
    ],
)
def test_a_perturbation_that_is_none(
    finestrec: Finestrec, log_file: Path, tmp_path: Path, spec: str, words: list[str]
) -> None:
    command = ["perturb", log_file, spec, "--out", tmp_path / "log2.csv"]
    refused(finestrec(*command), *words)
    refused(finestrec(*command, "--devices", "2"), "No such option", "--devices")
    refused(finestrec("audit", log_file, "--model", "lrurec", "--perturb", spec, "--out", tmp_path / "audit"), *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seeds", "none"], ["'none'", "3,7"]),
        (["--seeds", "0"], ["at least one seed"]),
        (["--seeds", "3,3"], ["twice"]),
        (["--seeds", "3", "--seed", "1"], ["--seed and --seeds", "3,7"]),
        (["--instances", "last"], ["'last'", "all, and first"]),
        (["--methods", "finest,hope"], ["hope", "warm_start"]),
        (["--regimes", "anchored"], ["anchored", "anchored-update"]),
        (["--split", "none"], ["holds nothing out"]),
        (["--methods", ","], ["methods are none"]),
        (["--methods", "finest,finest"], ["different ones"]),
        (["--regimes", ","], ["regimes are none"]),
        (["--perturb", "delete:random:5", "--perturb", "delete:random:5"], ["different ones"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_an_audit_of_nothing(
    finestrec: Finestrec, log_file: Path, tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    refused(finestrec("audit", log_file, "--model", "lrurec", "--out", tmp_path / "audit", *arguments), *words)
    assert list(tmp_path.iterdir()) == []


def test_folders_that_cannot_be_read(finestrec: Finestrec, copied_run: Path, tmp_path: Path) -> None:
    def recommend(*words: str, folder: Path = copied_run) -> None:
        refused(finestrec("recommend", folder, "--out", tmp_path / "lists.csv"), *words)

    recommend("no run folder", folder=tmp_path / "nowhere")
    recommend("not a run folder", folder=tmp_path)
    weights = copied_run / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:1000])
    recommend("model.safetensors", "truncated or damaged")
    weights.unlink()
    recommend("model.safetensors", "missing")
    weights.write_bytes(whole)
    log = copied_run / "interactions.parquet"
    log.write_bytes(log.read_bytes()[:-100])
    recommend("interactions.parquet", "truncated or damaged")
    state = json.loads((copied_run / "state.json").read_text())
    (copied_run / "state.json").write_text(json.dumps(state | {"status": "running"}))
    recommend("not finished", "--resume")
    (copied_run / "state.json").write_text(json.dumps(state | {"format": 99, "finestrec": "9.1"}))
    recommend("format 99", "finestrec 9.1", "format 2")
    (copied_run / "state.json").write_text("{")
    recommend("state.json is damaged")


def test_folders_that_cannot_be_entered(finestrec: Finestrec, log_file: Path, run_folder: Path, tmp_path: Path) -> None:
    train = ["train", log_file, "--model", "lrurec", *TINY, *EPOCHS, "--out"]
    before = (run_folder / "model.safetensors").read_bytes()
    refused(finestrec(*train, run_folder), "finished run", "--force")
    refused(finestrec(*train, run_folder, "--seed", "5", "--resume"), "seed: 5 against 0")
    refused(finestrec("stabilize", run_folder, "--out", run_folder), "names the run itself")
    own_log = run_folder / "interactions.parquet"
    refused(finestrec("train", own_log, "--model", "lrurec", "--out", run_folder, "--force"), "--force replaces")
    assert (run_folder / "model.safetensors").read_bytes() == before
    with locked(run_folder):
        refused(finestrec(*train, run_folder, "--force"), "another process")
    (tmp_path / "mine.txt").write_text("mine")
    refused(finestrec(*train, tmp_path, "--force"), "not a run folder")
    refused(finestrec(*train, tmp_path / "mine.txt"), "is a file")
    (tmp_path / "state.json").write_text('{"mine": true}')
    refused(finestrec(*train, tmp_path, "--force"), "not written by finestrec")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.txt", "state.json"]


def test_a_loss_that_explodes(finestrec: Finestrec, log_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    outcome = finestrec("train", log_file, "--model", "lstm", *TINY, *EPOCHS, "--set", "training.lr=1e38", "--out", out)
    assert "epoch 1, step" in outcome.err
    assert "training.lr" in outcome.err
    assert outcome.code == 2
    assert json.loads((out / "state.json").read_text())["status"] == "failed"
    refused(finestrec("recommend", out, "--out", tmp_path / "lists.csv"), "not finished", "the loss is")


def test_a_later_log_that_does_not_fit(finestrec: Finestrec, log_file: Path, run_folder: Path, tmp_path: Path) -> None:
    def stabilize(*words: str) -> None:
        refused(finestrec("stabilize", run_folder, "--log", later, "--out", tmp_path / "run2"), *words)

    later = tmp_path / "later.csv"
    lines = log_file.read_text()
    user = lines.splitlines()[1].split(",")[0]
    later.write_text(f"{lines}{user},brand-new-item,1704067200\n")
    stabilize("brand-new-item", "finestrec update")
    later.write_text(lines.splitlines()[0] + "\nsomebody,item-0001,1704067200\n")
    stabilize("nothing to train on")
    later.write_text(HEADER + "7,8,9\n7,9,10\n")
    stabilize("0 of its 2 interactions are of users of the run")
    pl.read_csv(later).write_parquet(later := tmp_path / "later.parquet")
    stabilize("integers (e.g. 7) in the new log but text")
    refused(finestrec("stabilize", run_folder, "--set", "model.hidden=8", "--out", tmp_path / "run2"), "model.hidden")
    assert not (tmp_path / "run2").exists()


def test_lists_that_cannot_be_written(finestrec: Finestrec, run_folder: Path, tmp_path: Path) -> None:
    refused(finestrec("recommend", run_folder, "--out", tmp_path / "lists.csv", "--k", "0"), "--k")
    refused(finestrec("recommend", run_folder, "--out", tmp_path / "lists.xlsx"), ".parquet, .csv or .tsv")
    refused(finestrec("recommend", run_folder, "--out", tmp_path / "no" / "lists.csv"), "no folder")
    refused(
        finestrec("recommend", run_folder, "--out", tmp_path / "lists.csv", "--users", tmp_path / "no.txt"), "no.txt"
    )
    (tmp_path / "users.txt").write_text("\n\n")
    refused(
        finestrec("recommend", run_folder, "--out", tmp_path / "l.csv", "--users", tmp_path / "users.txt"), "no users"
    )
    (tmp_path / "lists.csv").write_text("mine")
    refused(finestrec("recommend", run_folder, "--out", tmp_path / "lists.csv"), "exists", "--force")
    assert (tmp_path / "lists.csv").read_text() == "mine"


def test_an_input_is_not_overwritten_even_by_force(finestrec: Finestrec, run_folder: Path, tmp_path: Path) -> None:
    log, users, edits = tmp_path / "log.csv", tmp_path / "users.csv", tmp_path / "log2.edits.csv"
    for path in (log, users, edits):
        path.write_text("mine")
    refused(finestrec("perturb", log, "delete:random:5", "--out", log, "--force"), "what is read")
    refused(finestrec("perturb", edits, "delete:random:5", "--out", tmp_path / "log2.csv", "--force"), "what is read")
    refused(finestrec("recommend", run_folder, "--users", users, "--out", users, "--force"), "what is read")
    assert all(path.read_text() == "mine" for path in (log, users, edits))


def test_a_full_disk(finestrec: Finestrec, log_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / "run"))

    monkeypatch.setattr("finestrec.runs.tables.write_table", full)
    refused(
        finestrec("train", log_file, "--model", "lrurec", *TINY, *EPOCHS, "--out", tmp_path / "run"),
        "No space left on device",
    )


def test_simulate_refuses_sizes_that_are_none(finestrec: Finestrec, tmp_path: Path) -> None:
    refused(finestrec("simulate", "--out", tmp_path / "log.csv", "--users", "0"), "users is 0")
    refused(finestrec("simulate", "--out", tmp_path / "log.csv", "--mean-length", "2"), "min_length")
    refused(finestrec("simulate", "--out", tmp_path / "log.xls"), ".csv, .tsv or .parquet")


def test_influence_needs_a_model(finestrec: Finestrec, log_file: Path, tmp_path: Path) -> None:
    refused(finestrec("perturb", log_file, "delete:influence:3", "--out", tmp_path / "x.csv"), "finestrec audit")
    too_many = finestrec(
        "audit", log_file, "--model", "lrurec", "--perturb", "delete:influence:10000000", "--out", tmp_path
    )
    refused(too_many, "training interactions")
