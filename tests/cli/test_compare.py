"""`finestrec compare`: files, exit codes, pages, the run folder."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import polars as pl
import pytest
from command_line import Finestrec, refused

COMMAND = Path(sys.executable).with_name("finestrec")
OLD = "user_id,item_id,rank\nu1,a,1\nu1,b,2\nu2,c,1\nu2,a,2\nu3,a,1\n"
NEW = "user_id,item_id,score\nu1,a,2\nu1,c,1\nu2,c,4\nu2,a,3\nu4,a,1\n"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with lists and what is known beside them."""
    for name, content in {
        "old.csv": OLD,
        "new.csv": NEW,
        "truth.tsv": "user_id\titem_id\nu1\tb\nu2\tc\nu9\tc\n",
        "users.csv": "user_id,plan\nu1,free\nu2,paid\n",
        "items.txt": "item_id\na\nc\n",
        "audit.json": json.dumps(
            {
                "rows": [
                    {"regime": "floor", "method": "other_seed", "measures": {"Jaccard@2": 0.9, "FRBO(p=0.9)@2": None}}
                ]
            }
        ),
        "gate.toml": 'fail_if = ["Jaccard@2 < 0.1"]\n',
    }.items():
        (tmp_path / name).write_text(content)
    return tmp_path


def test_the_installed_command(files: Path) -> None:
    everything = ["--k", "2", "--truth", "truth.tsv", "--users", "users.csv", "--catalogue", "items.txt"]
    gate = ["--gate", "gate.toml", "--baseline", "audit.json", "--fail-if", "excess(Jaccard@2) > 0.2"]
    gate += ["--fail-if", "lower(change(NDCG@2))@slice:plan=free < -0.01"]
    pages = ["--markdown", "page.md", "--junit", "page.xml", "--out", "run", "--json"]
    done = subprocess.run(
        [COMMAND, "compare", "old.csv", "new.csv", *everything, *gate, *pages],
        cwd=files,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    assert document["passed"] is False
    row = document["comparison"]["rows"][0]
    assert row["measures"]["Jaccard@2"] == pytest.approx((1 / 3 + 1) / 2)
    assert row["measures"]["NegativeFlips@2"] == 0.5
    assert row["measures"]["RetiredTurnover@2"] == 0.25
    assert document["comparison"]["users"]["only_old_examples"] == ["u3"]
    assert document["comparison"]["users"]["truth_without_lists"] == 1
    verdicts = document["comparison"]["gate"]
    assert [verdict["failed"] for verdict in verdicts] == [False, True, True]
    assert verdicts[1]["value"] == pytest.approx(0.9 - 2 / 3)
    assert verdicts[1]["worst"][0] == {"user_id": "u1", "value": pytest.approx(1 / 3)}
    for word in ("FAILED: excess(Jaccard@2) > 0.2", "off by 0.03", "'u1'", "Users without a list in OLD: 1 ('u4')"):
        assert word in done.stderr
    assert "**failed**" in (files / "page.md").read_text()
    [suite] = ElementTree.parse(files / "page.xml").getroot()
    assert suite.get("failures") == "2"
    run = files / "run"
    assert json.loads((run / "state.json").read_text())["status"] == "done"
    assert json.loads((run / "results.json").read_text()) == document["comparison"]
    assert pl.read_parquet(run / "results.parquet")["value"].to_list() == [None, "free", "paid"]
    assert pl.read_parquet(run / "users.parquet")["side"].to_list() == ["both", "both", "old", "new"]
    assert pl.read_parquet(run / "items.parquet").filter(item_id="b")["left"].item() == 1
    assert pl.read_parquet(run / "lists.parquet").row(0) == ("u1", ["a", "b"], ["a", "c"])


def test_a_gate_that_holds(finestrec: Finestrec, files: Path) -> None:
    lists = [files / "old.csv", files / "new.csv", "--k", "2", "--k", "1"]
    outcome = finestrec("compare", *lists, "--fail-if", "Jaccard@1 < 0.9", "--fail-if", "LostUsers > 0.5")
    assert outcome.code == 0, outcome.err
    assert "ok: LostUsers > 0.5 does not hold" in outcome.out
    assert "Gate passed: 2 checks. 25.0% of the items in a user's first 2 changed" in outcome.out
    assert "TopOut@1" in outcome.out
    assert finestrec("compare", *lists, "--json", "--quiet").document["passed"] is True


def test_comparing_does_not_load_what_trains(files: Path) -> None:
    program = (
        "import sys; from finestrec.cli.main import run; code = run(sys.argv[1:]);"
        "sys.exit(code or len({'torch', 'lightning_fabric'} & set(sys.modules)))"
    )
    command = [
        sys.executable,
        "-c",
        program,
        "compare",
        files / "old.csv",
        files / "new.csv",
        "--gate",
        files / "gate.toml",
    ]
    done = subprocess.run([*command, "--k", "2"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_finished_comparison_is_shown_again_and_not_replaced_unasked(finestrec: Finestrec, files: Path) -> None:
    command = ["compare", files / "old.csv", files / "new.csv", "--k", "2", "--fail-if", "Jaccard@2 < 0.7"]
    command += ["--users", files / "users.csv", "--out", files / "run"]
    first = finestrec(*command)
    assert first.code == 1
    refused(finestrec(*command), "finished run", "--force")
    before = (files / "run" / "results.json").read_bytes()
    again = finestrec(*command, "--resume")
    assert again.code == 1
    assert "finished already" in again.err
    assert again.out == first.out
    refused(finestrec(*command, "--resume", "--k", "1"), "begun differently", "k: [2, 1] against [2]")
    (files / "new.csv").write_text(NEW.replace("u4", "u5"))
    refused(finestrec(*command, "--resume"), "begun differently", "fingerprint of NEW")
    assert finestrec(*command, "--force").code == 1
    assert (files / "run" / "results.json").read_bytes() != before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["NEW new.csv is empty"]),
        ("user_id,item_id,rank\n", ["NEW new.csv", "no rows"]),
        ("u1,a,1\nu1,b,2\n", ["NEW new.csv", "no column looks like the user", "line of names"]),
        ("user_id,item_id\nu1,a\n", ["neither ranks nor scores"]),
        ("user_id,rank\nu1,1\n", ["no column looks like the item"]),
        ("user_id,item_id,rank\nu1,a,1\nu1,a,2\n", ["item 'a' is more than once in the list of user 'u1'"]),
        ("user_id,item_id,rank\nu1,a,1\nu1,b,1\n", ["'a' and 'b' have the same rank 1 in the list of user 'u1'"]),
        ("user_id,item_id,rank\nu1,a,1\nu1,b,\n", ["data row 2 (line 3)", "'rank'", "is not a rank"]),
        ("user_id,item_id,rank\nu1,a,first\n", ["line 2", "'first' is not a number"]),
        ("user_id,item_id,score\nu1,a,NaN\n", ["line 2", "'NaN' is not a number"]),
        ("user_id,item_id,rank\nu1,a,1\n,b,1\n", ["line 3", "'user_id'", "is not an id"]),
        ("user_id,item_id,rank\nu1,a,1,7\n", ["line 2: more fields"]),
        ("user_id,item_id,rank\nu7,a,1\n", ["no user in common"]),
        ("PAR1", ["is a Parquet file"]),
    ],
)
def test_lists_that_cannot_be_used(finestrec: Finestrec, files: Path, content: str, words: list[str]) -> None:
    (files / "new.csv").write_text(content)
    out = files / "run"
    refused(finestrec("compare", files / "old.csv", files / "new.csv", "--k", "2"), *words)
    refused(finestrec("compare", files / "old.csv", files / "new.csv", "--k", "2", "--out", out), *words)
    assert json.loads((out / "state.json").read_text())["status"] == "failed"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--k", "0"], ["k is 0"]),
        (["--k", "2", "--k", "2"], ["different numbers"]),
        (["--fail-if", "Jaccard@2"], ["cannot read the gate", "MEASURE OP NUMBER"]),
        (["--fail-if", "Jaccard@20 < 1"], ["does not measure", "--k"]),
        (["--fail-if", "NDCG@10 < 1"], ["does not measure", "--truth"]),
        (["--fail-if", "Jaccard@10@slice:plan=free < 1"], ["no slices by 'plan'", "--users"]),
        (["--fail-if", "excess(Jaccard@10) > 0"], ["needs --baseline"]),
        (["--gate", "no.toml"], ["no.toml", "No such file"]),
        (["--gate", "old.csv"], ["not TOML"]),
        (["--baseline", "no.json"], ["no.json", "No such file"]),
        (["--baseline", "old.csv"], ["old.csv is not JSON"]),
        (["--baseline", "."], ["not a run folder"]),
        (["--truth", "no.csv"], ["no file no.csv"]),
        (["--truth", "items.txt"], ["truth items.txt", "looks like the user"]),
        (["--users", "."], ["is a directory"]),
        (["--catalogue", "users.csv"], ["looks like the item"]),
        (["--markdown", "old.csv", "--force"], ["is what is read"]),
        (["--junit", "no/page.xml"], ["no folder no"]),
        (["--out", ".", "--force"], ["which --force replaces"]),
        (["--out", "."], ["not empty"]),
        (["--seed", "-1"], ["--seed"]),
    ],
    ids=" ".join,
)  # fmt: skip
def test_options_that_do_not_fit(
    finestrec: Finestrec, files: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: list[str]
) -> None:
    monkeypatch.chdir(files)
    before = sorted(path.name for path in files.iterdir())
    refused(finestrec("compare", "old.csv", "new.csv", *arguments), *words)
    assert [name for name in sorted(path.name for path in files.iterdir()) if not name.startswith(".")] == before
    assert (files / "old.csv").read_text() == OLD


def test_a_missing_side(finestrec: Finestrec, files: Path) -> None:
    refused(finestrec("compare", files / "no.csv", files / "new.csv"), "there is no file", "no.csv")
    refused(finestrec("compare", files / "old.csv", files / "old.xlsx"), "no file")
    (files / "old.xlsx").write_text("x")
    refused(finestrec("compare", files / "old.csv", files / "old.xlsx"), ".xlsx", ".parquet")
    (files / "bad.parquet").write_bytes(b"PAR1 nothing")
    refused(finestrec("compare", files / "bad.parquet", files / "new.csv"), "OLD bad.parquet cannot be read as Parquet")
