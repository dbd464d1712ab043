"""The commands, one after another, in this process."""

import json
import tomllib
from pathlib import Path

import polars as pl
import pytest
from command_line import EPOCHS, TINY, Finestrec

from finestrec.data.sources import read_log
from finestrec.perturbation.selectors import SELECTORS
from finestrec.runs import load_run


def test_train_leaves_a_whole_folder(finestrec: Finestrec, log_file: Path, run_folder: Path) -> None:
    names = {path.name for path in run_folder.iterdir()}
    assert names == {
        "state.json",
        "config.toml",
        "vocabulary",
        "interactions.parquet",
        "model.safetensors",
        "optimizer.safetensors",
        "lists.parquet",
        "results.json",
        "results.parquet",
        "events.log",
    }
    assert json.loads((run_folder / "state.json").read_text())["status"] == "done"
    document = json.loads((run_folder / "results.json").read_text())
    assert document["schema"] == 1
    (row,) = document["rows"]
    assert set(row["accuracy"]) == {"MRR", "Recall@10", "NDCG@10"}
    assert 0 < row["accuracy"]["MRR"] < 1
    assert row["measures"]["RBO(p=0.9)"] is None
    assert "nothing to compare" in row["notes"][0]
    assert pl.read_parquet(run_folder / "results.parquet")["accuracy.MRR"].to_list() == [row["accuracy"]["MRR"]]
    stored = pl.read_parquet(run_folder / "interactions.parquet")
    assert len(stored) == len(read_log(log_file))
    lists = pl.read_parquet(run_folder / "lists.parquet")
    assert lists.columns == ["user_id", "item_id", "rank", "score"]
    assert lists["rank"].to_list()[:11] == [*range(1, 11), 1]
    assert "epoch 3 of 3" in (run_folder / "events.log").read_text()


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(
    finestrec: Finestrec, log_file: Path, run_folder: Path, tmp_path: Path
) -> None:
    # A run's own config.toml is all that it takes.
    again = finestrec("train", log_file, "--config", run_folder / "config.toml", "--out", tmp_path / "again", "--json")
    assert again.code == 0
    other = finestrec(
        "train", log_file, "--config", run_folder / "config.toml", "--seed", 1, "--out", tmp_path / "other"
    )
    assert other.code == 0
    for name in ("model.safetensors", "lists.parquet", "config.toml"):
        assert (tmp_path / "again" / name).read_bytes() == (run_folder / name).read_bytes()
        assert (tmp_path / "other" / name).read_bytes() != (run_folder / name).read_bytes()
    assert again.document["results"]["rows"][0]["n_instances"] > 0
    assert again.document["log"]["users"] == 80


def test_resume_of_a_finished_run_and_force(finestrec: Finestrec, log_file: Path, copied_run: Path) -> None:
    train = ["train", log_file, "--model", "lrurec", *TINY, *EPOCHS, "--out", copied_run]
    before = (copied_run / "state.json").read_bytes()
    outcome = finestrec(*train, "--resume")
    assert outcome.code == 0
    assert "finished already" in outcome.err
    assert (copied_run / "state.json").read_bytes() == before
    (copied_run / "notes.txt").write_text("mine")
    assert finestrec(*train, "--seed", 4, "--force").code == 0
    assert load_run(copied_run).config.seed == 4
    assert (copied_run / "notes.txt").read_text() == "mine"


def test_without_held_out_interactions_accuracy_is_null(finestrec: Finestrec, log_file: Path, tmp_path: Path) -> None:
    outcome = finestrec(
        "train", log_file, "--model", "lstm", "--split", "none", *TINY, *EPOCHS, "--out", tmp_path / "run", "--json"
    )
    assert outcome.code == 0, outcome.err
    (row,) = outcome.document["results"]["rows"]
    assert row["accuracy"] == {"MRR": None, "Recall@10": None, "NDCG@10": None}
    assert "holds nothing out" in row["notes"][0]
    after = finestrec("stabilize", tmp_path / "run", "--out", tmp_path / "run2", "--json")
    assert after.code == 0, after.err
    assert after.document["results"]["rows"][0]["measures"]["RBO(p=0.9)"] is None


def test_perturb_then_stabilize_twice(finestrec: Finestrec, log_file: Path, run_folder: Path, tmp_path: Path) -> None:
    perturbed = finestrec("perturb", log_file, "delete:random:5", "--out", tmp_path / "log2.tsv", "--json")
    assert perturbed.code == 0, perturbed.err
    assert perturbed.document["edited"] == 5
    edits = pl.read_csv(tmp_path / "log2.edits.tsv", separator="\t")
    assert len(edits) == 5
    assert len(read_log(tmp_path / "log2.tsv")) == len(read_log(log_file)) - 5

    first = finestrec(
        "stabilize", run_folder, "--log", tmp_path / "log2.tsv", "--out", tmp_path / "night1", "--json", "--quiet"
    )
    assert first.code == 0, first.err
    assert first.err == ""
    assert first.document["log"]["gone"] == 5
    (row,) = first.document["results"]["rows"]
    assert row["regime"] == "anchored-update"
    assert row["method"] == "annealed"
    assert 0.5 < row["measures"]["Jaccard@10"] <= 1
    before = json.loads((run_folder / "results.json").read_text())["rows"][0]["accuracy"]
    assert row["reference_accuracy"] == before
    # The next night starts from that one, and brings the five back with their old ids.
    second = finestrec(
        "stabilize", tmp_path / "night1", "--log", log_file, "--method", "warm_start", "--out", tmp_path / "night2"
    )
    assert second.code == 0, second.err
    assert "warm start" in second.out
    night1, night2 = load_run(tmp_path / "night1"), load_run(tmp_path / "night2")
    assert night1.log.interaction_ids.max() == len(read_log(log_file)) - 1
    assert night2.trained.log.fingerprint != night1.trained.log.fingerprint
    assert len(night2.test) == len(load_run(run_folder).test)


def test_an_erased_user_leaves_the_comparison(
    finestrec: Finestrec, log_file: Path, run_folder: Path, tmp_path: Path
) -> None:
    header, *lines = log_file.read_text().splitlines()
    erased = lines[0].split(",")[0]
    later = tmp_path / "later.csv"
    later.write_text("\n".join([header, *(line for line in lines if not line.startswith(f"{erased},"))]) + "\n")
    outcome = finestrec("stabilize", run_folder, "--log", later, "--out", tmp_path / "out", "--json")
    assert outcome.code == 0
    test = load_run(run_folder).test
    of_erased = int((test.log.vocabulary.users.gather(test.users) == erased).sum())
    assert of_erased > 0
    assert outcome.document["results"]["rows"][0]["n_instances"] == len(test) - of_erased


@pytest.mark.parametrize("spec", ["insert:casper:3:item=popular", "replace:latest:4"])
def test_perturb_touches_training_rows_of_long_users_only(finestrec: Finestrec, tmp_path: Path, spec: str) -> None:
    log = tmp_path / "log.csv"
    rows = [f"{u},i{(u + t) % 7},{t}" for u in range(6) for t in range(12 if u else 4)]
    log.write_text("user,item,timestamp\n" + "\n".join(rows) + "\n")
    outcome = finestrec("perturb", log, spec, "--out", tmp_path / "log2.csv", "--seed", 3)
    assert outcome.code == 0, outcome.err
    before, after = (pl.read_csv(path).rows() for path in (log, tmp_path / "log2.csv"))
    assert len(after) == len(before) + (3 if "insert" in spec else 0)

    def held_out(table: list[tuple[object, ...]]) -> set[tuple[object, ...]]:
        return {row for row in table if row[0] == 0 or row[2] == 11}

    assert held_out(after) == held_out(before)


def test_audit_says_its_verdict_first_and_slices_by_columns_of_users(
    finestrec: Finestrec, log_file: Path, tmp_path: Path
) -> None:
    users = read_log(log_file).vocabulary.users
    table = pl.DataFrame({"user_id": users, "plan": ["free" if i % 3 else "paid" for i in range(len(users))]})
    table.write_csv(tmp_path / "users.csv")
    command = ["audit", log_file, "--model", "lrurec", *TINY, *EPOCHS, "--methods", "retrain,warm_start"]
    command += ["--regimes", "anchored-update", "--perturb", "delete:random:3", "--users", tmp_path / "users.csv"]
    outcome = finestrec(*command, "--out", tmp_path / "audit")
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("Deleting 3 of 1,031 interactions changed ")
    assert outcome.out.index("With warm start") < outcome.out.index("Jaccard@10")
    slices = pl.read_parquet(tmp_path / "audit" / "slices.parquet")
    plan = slices.filter((pl.col("slice") == "plan") & (pl.col("method") == "warm_start"))
    assert set(plan["group"]) == {"free", "paid"}
    assert {"activity", "recency", "popularity", "touch"} <= set(slices["slice"])
    rows = json.loads((tmp_path / "audit" / "results.json").read_text())["rows"]
    per_user = pl.read_parquet(tmp_path / "audit" / "users.parquet")
    for row in rows:
        mine = per_user.filter(pl.col("comparison") == row["comparison"])
        assert mine["instances"].sum() == row["n_instances"]
        assert len(mine) == row["n_users"]
        instances = pl.read_parquet(tmp_path / "audit" / "jobs" / f"{row['comparison']}.parquet")
        assert instances["Jaccard@10"].mean() == pytest.approx(row["measures"]["Jaccard@10"])
    flat = pl.read_parquet(tmp_path / "audit" / "results.parquet")
    assert flat["intervals.Jaccard@10.lower"].to_list() == [row["intervals"]["Jaccard@10"]["lower"] for row in rows]
    changed = pl.read_parquet(tmp_path / "audit" / "changed_users.parquet")
    assert set(changed["user_id"]) <= set(users)
    assert {"entered", "left"} <= set(pl.read_parquet(tmp_path / "audit" / "moved_items.parquet").columns)

    again = finestrec(*command, "--out", tmp_path / "audit", "--resume")
    assert again.out == outcome.out
    table[1:].write_csv(tmp_path / "users.csv")
    assert "fingerprint of --users" in finestrec(*command, "--out", tmp_path / "audit", "--resume").err
    table.head(1).drop("plan").write_csv(tmp_path / "users.csv")
    refused = finestrec(*command, "--out", tmp_path / "other")
    assert (refused.code, "has user ids and no other column" in refused.err) == (2, True)
    assert not (tmp_path / "other").exists()


LOG = [(f"u{u}", f"i{(3 * u + t) % 7}", 86_400 * t + u) for u in range(6) for t in range(12 if u else 4)]


def written(path: Path) -> Path:
    path.write_text("user,item,timestamp\n" + "\n".join(f"{u},{i},{t}" for u, i, t in LOG) + "\n")
    return path


def test_perturb_erases_listed_users_and_items_altogether(finestrec: Finestrec, tmp_path: Path) -> None:
    log = written(tmp_path / "log.csv")
    for column, name, unit in ((0, "u3", "user"), (1, "i2", "item")):
        (tmp_path / "ids.csv").write_text(f"{unit}_id\n{name}\n")
        spec = f"delete:{unit}:0:ids={tmp_path / 'ids.csv'}"
        outcome = finestrec("perturb", log, spec, "--out", tmp_path / "log2.csv", "--force", "--json")
        assert outcome.code == 0, outcome.err
        expected = sorted(row for row in LOG if row[column] != name)
        assert sorted(pl.read_csv(tmp_path / "log2.csv").rows()) == expected
        edits = pl.read_csv(tmp_path / "log2.edits.csv")
        assert outcome.document["edited"] == len(edits) == len(LOG) - len(expected)
        assert set(edits[["user_id", "old_item_id"][column]]) == {name}
    (tmp_path / "ids.csv").write_text("user_id\nu3\nu0\n")  # u0 is too short to be trained on
    command = ["perturb", log, f"delete:user:0:ids={tmp_path / 'ids.csv'}", "--out", tmp_path / "log3.csv"]
    outcome = finestrec(*command)
    assert outcome.code == 0, outcome.err
    assert sorted(pl.read_csv(tmp_path / "log3.csv").rows()) == sorted(row for row in LOG if row[0] not in {"u0", "u3"})
    # Of twelve interactions one is held out; u0's four are neither trained on nor held out.
    assert "11 interactions deleted, of 55 training interactions, and 5 held-out or unused ones" in outcome.err
    (tmp_path / "ids.csv").write_text("user_id\nu3\nnobody\n")
    refused = finestrec(*command, "--force")
    assert refused.code == 2
    assert "1 of 2 users have no interactions that could be edited ('nobody')" in refused.err
    assert len(pl.read_csv(tmp_path / "log3.csv")) == len(LOG) - 16


def test_perturb_writes_both_logs_of_a_night(finestrec: Finestrec, tmp_path: Path) -> None:
    log = written(tmp_path / "log.csv")
    outcome = finestrec("perturb", log, "append:cut:3", "--out", tmp_path / "log2.csv", "--json")
    assert outcome.code == 0, outcome.err
    after, base = (pl.read_csv(tmp_path / name) for name in ("log2.csv", "log2.base.csv"))
    assert sorted(after.rows()) == sorted(LOG)
    # Of each user with 12 interactions the first 11 are training; the last of them is user 5's, on day 10.
    cut = 7 * 86_400 + 5
    new = [row for row in LOG if row[0] != "u0" and cut < row[2] < 11 * 86_400]
    assert sorted(base.rows()) == sorted(set(LOG) - set(new))
    edits = pl.read_csv(tmp_path / "log2.edits.csv")
    assert sorted(edits["user_id", "new_item_id", "timestamp"].rows()) == sorted(new)
    assert set(edits["kind"]) == {"append"}
    assert outcome.document["base"] == str(tmp_path / "log2.base.csv")
    too_long = finestrec("perturb", log, "append:cut:30", "--out", tmp_path / "log3.csv")
    assert too_long.code == 2
    assert "use fewer days" in too_long.err


def test_the_longest_input_bounds_cascades(finestrec: Finestrec, tmp_path: Path) -> None:
    log = written(tmp_path / "log.csv")

    def edits(max_length: int) -> list[tuple[object, ...]]:
        command = ["perturb", log, "delete:casper:2:candidates=all", "--set", f"training.max_length={max_length}"]
        outcome = finestrec(*command, "--out", tmp_path / "log2.csv", "--force")
        assert outcome.code == 0, outcome.err
        return pl.read_csv(tmp_path / "log2.edits.csv")["user_id", "timestamp"].rows()

    assert min(time for _, time in edits(50)) < 86_400
    assert min(time for _, time in edits(2)) > 8 * 86_400


def test_help_names_every_selector(finestrec: Finestrec) -> None:
    for command, missing in (("perturb", {"influence"}), ("audit", set())):
        shown = finestrec(command, "--help").out
        assert {name for name in [*SELECTORS, "append:cut:DAYS"] if name not in shown} == missing


def test_an_audit_of_first_instances_has_one_a_user(finestrec: Finestrec, log_file: Path, tmp_path: Path) -> None:
    command = ["audit", log_file, "--model", "lrurec", *TINY, *EPOCHS, "--methods", "retrain", "--perturb"]
    command += ["delete:random:3", "--regimes", "anchored-update", "--instances", "first", "--out", tmp_path / "audit"]
    outcome = finestrec(*command, "--json")
    assert outcome.code == 0, outcome.err
    for row in outcome.document["results"]["rows"]:
        assert row["instances"] == "first"
        assert row["n_instances"] == row["n_users"] > 10


def test_audit_is_resumable_and_its_rows_are_complete(finestrec: Finestrec, log_file: Path, tmp_path: Path) -> None:
    command = ["audit", log_file, "--model", "lrurec", *TINY, *EPOCHS, "--methods", "retrain,finest"]
    command += ["--perturb", "delete:random:3", "--regimes", "anchored-update", "--seeds", "2"]
    outcome = finestrec(*command, "--out", tmp_path / "audit", "--json")
    assert outcome.code == 0, outcome.err
    rows = outcome.document["results"]["rows"]
    assert {row["regime"] for row in rows} == {"anchored-update", "floor"}
    assert {row["method"] for row in rows} == {"retrain", "finest", "same_seed", "other_seed"}
    assert {row["perturbation"] for row in rows} == {None, "delete:random:3"}
    same = next(row for row in rows if row["method"] == "same_seed")
    assert same["measures"]["AverageOverlap@all"] == 1
    assert (tmp_path / "audit" / "jobs").is_dir()
    # As if it had been killed at the end: all trainings are found again.
    state = json.loads((tmp_path / "audit" / "state.json").read_text())
    (tmp_path / "audit" / "state.json").write_text(json.dumps(state | {"status": "running"}))
    (tmp_path / "audit" / "results.json").unlink()
    again = finestrec(*command, "--out", tmp_path / "audit", "--resume", "--json")
    assert again.code == 0, again.err
    assert again.document["results"] == outcome.document["results"]
    more = finestrec(*command[:-1], "3", "--out", tmp_path / "audit", "--resume")
    assert more.code == 2
    assert "seeds" in more.err
    refused = finestrec("recommend", tmp_path / "audit", "--out", tmp_path / "lists.csv")
    assert "holds no model" in refused.err


def test_simulate_models_and_methods(finestrec: Finestrec, tmp_path: Path) -> None:
    def simulated(name: str, *more: object) -> Path:
        size = ["--users", 30, "--items", 20, "--mean-length", 12]
        outcome = finestrec("simulate", "--out", tmp_path / name, *size, *more, "--json")
        assert outcome.code == 0, outcome.err
        assert outcome.document["log"]["users"] == 30
        return tmp_path / name

    first, second, third = simulated("a.csv"), simulated("b.csv"), simulated("c.csv", "--seed", 1)
    assert first.read_bytes() == second.read_bytes() != third.read_bytes()
    named = {model["name"] for model in finestrec("models", "--json").document["models"]}
    assert {"lrurec", "lstm"} <= named
    methods = {each["name"]: each for each in finestrec("methods", "--json").document["methods"]}
    assert methods["finest"]["strength"] == "weight"
    assert methods["hysteresis"]["options"]["tau"] == 1.0
    assert methods["retrain"]["summary"].startswith("Cold retraining")
    shown = finestrec("methods").out
    assert "[finest]" in shown
    assert "alpha=0.3, weight=3.0" in shown


def test_update_grows_and_is_resumable(finestrec: Finestrec, log_file: Path, run_folder: Path, tmp_path: Path) -> None:
    lines = log_file.read_text().splitlines()
    user, _, time = lines[-1].split(",")
    later = tmp_path / "tuesday.csv"
    later.write_text("\n".join([*lines, f"{user},brand-new,{int(time) + 1}"]) + "\n")
    first = finestrec("update", run_folder, later, "--out", tmp_path / "tuesday", "--json")
    assert first.code == 0, first.err
    assert first.document["log"]["new_items"] == 1
    assert "new items: 1" in first.err
    again = finestrec("update", run_folder, later, "--out", tmp_path / "tuesday", "--json", "--resume")
    assert again.document["results"] == first.document["results"]
    lists = tmp_path / "lists.csv"
    assert finestrec("recommend", tmp_path / "tuesday", "--k", "100", "--out", lists).code == 0
    assert "brand-new" in lists.read_text()
    # Another log is another log, also where it differs in nothing that is trained on.
    newest = later.read_text().splitlines()
    held_out = f"{user},{lines[1].split(',')[1]},{int(time) + 1}"
    for name, changed in (("held-out", [*newest[:-1], held_out]), ("short", [*newest, "shy,brand-new,1"])):
        (tmp_path / f"{name}.csv").write_text("\n".join(changed) + "\n")
        other = finestrec("update", run_folder, tmp_path / f"{name}.csv", "--out", tmp_path / "tuesday", "--resume")
        assert (other.code, "fingerprint of the log" in other.err) == (2, True)
    wednesday = finestrec(
        "update", tmp_path / "tuesday", later, "--method", "warm_start", "--out", tmp_path / "wednesday"
    )
    assert wednesday.code == 0, wednesday.err
    assert "have no list any more" not in wednesday.out
    # The new rows alone are no log of a run.
    user = [line.split(",")[0] for line in lines[1:]]
    few = [line for line, of in zip(lines[1:], user, strict=True) if of in sorted(set(user))[:4]]
    (tmp_path / "few.csv").write_text("\n".join([lines[0], *few]) + "\n")
    lost = finestrec(
        "update", run_folder, tmp_path / "few.csv", "--method", "warm_start", "--out", tmp_path / "lost", "--quiet"
    )
    assert lost.code == 0, lost.err
    sentence = f"{len(set(user)) - 4} of {len(set(user))} users have no list any more."
    assert sentence in lost.out
    page = finestrec("report", tmp_path / "lost", "--json")
    assert sentence in page.document["summary"]["verdict"]
    assert sentence in (tmp_path / "lost" / "report.html").read_text()
    assert "interactions that the run was trained on are not in the log: it has to be the whole one" in lost.out


def test_a_preset_stands_above_the_options_of_the_run(finestrec: Finestrec, run_folder: Path, tmp_path: Path) -> None:
    preset = ["--set", "finest.preset=authors", "--set", "finest.k=3"]
    outcome = finestrec("stabilize", run_folder, *preset, "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    options = tomllib.loads((tmp_path / "out" / "config.toml").read_text())["finest"]
    assert (options["weight"], options["average"], options["epochs"], options["k"]) == (3.2, "user", 2, 3)
