"""Run folders: what is read back is what was written, and who may enter."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from finestrec.config import Config, compose
from finestrec.data.log import InteractionLog
from finestrec.data.sequences import windows
from finestrec.errors import DataError, RunFolderError, TrainingError
from finestrec.runs import Plan, Run, StoredLog, entered, load_run, read_state, require_done
from finestrec.runs.making import Maker, prepare
from finestrec.runs.night import growing_night, next_night


def a_log(rows: list[tuple[str, str, int]]) -> InteractionLog:
    return InteractionLog.from_frame(pl.DataFrame(rows, schema=["user", "item", "timestamp"], orient="row"))


ROWS = [(f"u{u}", f"i{(u + t) % 5}", 10 * t) for u in range(4) for t in range(12 if u else 3)]


@pytest.fixture
def config() -> Config:
    return compose(
        [
            {
                "model": {"name": "lrurec", "hidden": 8, "blocks": 1},
                "training": {"epochs": 1, "max_length": 4},
                "finest": {"epochs": 1, "k": 2},
                "split": {"fraction": 0.2},
                "device": {"threads": 1},
            }
        ]
    )


@pytest.fixture
def trained(config: Config, tmp_path: Path) -> Run:
    """u1 to u3: ten training interactions (times 0 to 90) and two test ones (100, 110); u0 is too short."""
    return a_run(tmp_path / "run", a_log(ROWS), config)


def a_run(path: Path, log: InteractionLog, config: Config) -> Run:
    with entered(path, Plan("train", config)) as folder:
        return Maker(folder).train(prepare(log, config))


def test_a_run_is_read_back(trained: Run) -> None:
    loaded = load_run(trained.path)
    assert loaded.config == trained.config
    for name in ("log", "split.log", "trained.log"):
        ours, theirs = trained, loaded
        for part in name.split("."):
            ours, theirs = getattr(ours, part), getattr(theirs, part)
        assert ours.fingerprint == theirs.fingerprint, name
    np.testing.assert_array_equal(loaded.test.ids, trained.test.ids)
    np.testing.assert_array_equal(loaded.split.n_train, trained.split.n_train)
    ours, theirs = (run.trained.rank(run.test, 5) for run in (trained, loaded))
    np.testing.assert_array_equal(ours.items, theirs.items)
    assert loaded.trained.state.epochs_done == 1
    assert loaded.trained.state.moments.keys() == trained.trained.state.moments.keys()
    assert loaded.weights_fingerprint == trained.weights_fingerprint


def test_the_file_says_what_each_interaction_was_for(trained: Run) -> None:
    stored = pl.read_parquet(trained.path / "interactions.parquet")
    parts = dict(stored.group_by("part").len().iter_rows())
    assert parts == {"train": 30, "test": 6, None: 3}
    assert stored["interaction_id"].sort().to_list() == list(range(39))


@pytest.mark.parametrize("unit", [1, 1000])
def test_ids_and_times_keep_their_types(config: Config, tmp_path: Path, unit: int) -> None:
    rows = [(u, 100 + (u + t) % 5, (1_700_000_000 + t) * unit) for u in range(3) for t in range(12)]
    log = InteractionLog.from_frame(pl.DataFrame(rows, schema=["user", "item", "timestamp"], orient="row"))
    prepare(log, config).write(tmp_path)
    stored = StoredLog.read(tmp_path)
    assert stored.whole.fingerprint == log.fingerprint
    assert stored.whole.time_unit == ("s" if unit == 1 else "ms")


def test_a_later_log_keeps_out_what_would_leak(trained: Run) -> None:
    later = a_log(
        [
            *(row for row in ROWS if row[:1] + row[2:] != ("u1", 50)),
            ("u1", "i0", 95),  # before the first test interaction
            ("u1", "i1", 100),  # at its time, but after it
            ("u2", "i2", 500),
            ("u9", "i0", 5),  # a new user
        ]
    )
    night = next_night(trained, later)
    assert night.summary() == {
        "training_interactions": 30,
        "new": 1,
        "gone": 1,
        "held_back": 2,
        "other_users": 2,  # u0 is one: it was too short
        "new_users": 0,
        "new_items": 0,
        "retired_items": 0,
    }
    assert not np.isin(night.train.interaction_ids, trained.stored.test_ids).any()
    assert night.train.origin is trained.trained.log
    # Batches are dealt as they were: a window each, as long as it was.
    ours, theirs = windows(night.train, 4), trained.trained.windows
    np.testing.assert_array_equal(ours.dealt_lengths, theirs.dealt_lengths)
    # What is in both logs has its old id.
    kept = np.isin(trained.trained.log.interaction_ids, night.train.interaction_ids)
    assert kept.sum() == 29


def test_windows_of_the_whole_history_on_a_later_log(trained: Run, config: Config) -> None:
    later = next_night(trained, a_log([*ROWS, ("u1", "i0", 95), ("u2", "i1", 45)])).train
    cut = windows(later, 4, "all")
    assert len(cut.start) == len(windows(trained.trained.log, 4, "all").start)
    assert (cut.end - cut.start <= 5).all()
    assert cut.instances().ids.max() >= 39


def test_without_a_split_all_of_a_later_log_trains(config: Config, tmp_path: Path) -> None:
    run = a_run(tmp_path / "run", a_log(ROWS), compose([config.to_layer(), {"split": {"method": "none"}}]))
    night = next_night(run, a_log([*ROWS, ("u2", "i2", 500)]))
    assert night.new == 1
    assert night.held_back == 0
    assert night.train.interaction_ids.max() == 39


def test_a_night_is_the_next_incumbent(trained: Run, config: Config, tmp_path: Path) -> None:
    first = next_night(trained, a_log([*ROWS, ("u1", "i0", 95), ("u3", "i0", 700)]))
    with entered(tmp_path / "night", Plan("stabilize", config)) as folder:
        made = Maker(folder).stabilize(trained, first, "finest")
    loaded = load_run(tmp_path / "night")
    assert loaded.trained.log.fingerprint == made.trained.log.fingerprint
    np.testing.assert_array_equal(np.sort(loaded.stored.test_ids), np.sort(trained.stored.test_ids))
    assert len(loaded.test) == 6
    # What was held back stays so, and what was gone comes back as what it was.
    second = next_night(loaded, a_log([*ROWS, ("u1", "i0", 95), ("u3", "i0", 700)]))
    assert (second.new, second.gone, second.held_back) == (0, 0, 1)
    np.testing.assert_array_equal(second.train.interaction_ids, first.train.interaction_ids)


def test_users_and_items_grow_at_the_end(trained: Run) -> None:
    """u0 of three interactions is too short; u9, whose ids sort between, comes last with the new items."""
    new_rows = [("u11", f"i{t % 5}b" if t < 2 else "i1", 200 + t) for t in range(10)]
    night = growing_night(trained, a_log([*ROWS, ("u1", "h9", 120), *new_rows]))
    vocabulary = night.stored.split.log.vocabulary
    old = trained.split.log.vocabulary
    assert vocabulary.users.to_list() == [*old.users, "u11"]
    assert vocabulary.items.to_list() == [*old.items, "h9", "i0b", "i1b"]
    assert (night.new_users, night.new_items, night.other_users, len(night.retired)) == (1, 3, 1, 0)
    # u1 has thirteen interactions now, of which floor(0.2 * 13) are held out: one test interaction became training.
    held_out = night.stored.split.log.to_frame().filter(~pl.Series(night.stored.split.is_train))
    assert held_out.filter(user_id="u1")["timestamp"].to_list() == [110, 120]
    assert held_out.filter(user_id="u2")["timestamp"].to_list() == [100, 110]
    assert held_out.filter(user_id="u11")["timestamp"].to_list() == [208, 209]
    assert (night.new, night.gone, night.held_back) == (1 + 8, 0, 0)


def test_ids_last_while_the_log_grows(trained: Run) -> None:
    night = growing_night(trained, a_log([("u1", "new", 5), *ROWS]))
    before, after = (frame.sort("interaction_id") for frame in (trained.log.to_frame(), night.stored.whole.to_frame()))
    assert after.head(len(before)).equals(before)
    assert after["interaction_id"][-1] == len(before)


def test_what_was_trained_on_is_never_tested(trained: Run) -> None:
    """With its last six rows erased, u1's split rule alone would hold out rows that the incumbent was trained on."""
    kept = [row for row in ROWS if row[0] != "u1" or row[2] < 60]
    night = growing_night(trained, a_log(kept))
    assert not np.isin(night.stored.test_ids, trained.trained.log.interaction_ids).any()
    log = night.stored.split.log
    assert night.stored.split.n_train[log.vocabulary.users.to_list().index("u1")] == 6


def test_a_vanished_item_keeps_its_index_and_is_not_listed(trained: Run, config: Config, tmp_path: Path) -> None:
    night = growing_night(trained, a_log([row for row in ROWS if row[1] != "i2"]))
    assert night.retired.to_list() == ["i2"]
    assert night.stored.split.log.vocabulary.items.to_list() == trained.split.log.vocabulary.items.to_list()
    with entered(tmp_path / "next", Plan("update", config)) as folder:
        run = Maker(folder).update(trained, night, "finest")
    assert run.retired is not None
    lists = pl.read_parquet(run.path / "lists.parquet")
    assert set(lists["item_id"]) == {"i0", "i1", "i3", "i4"}
    assert "i2" in pl.read_parquet(trained.path / "lists.parquet")["item_id"]
    assert load_run(run.path).trained.model.n_items == 5


@pytest.mark.parametrize("method", ["finest", "hysteresis"])
def test_a_retired_item_stands_in_no_list_that_is_measured(
    trained: Run, config: Config, tmp_path: Path, method: str
) -> None:
    night = next_night(trained, a_log([row for row in ROWS if row[1] != "i2"]))
    with entered(tmp_path / "next", Plan("stabilize", config)) as folder:
        run = Maker(folder).stabilize(trained, night, method)
    row = json.loads((run.path / "results.json").read_text())["rows"][0]
    targets = trained.split.log.vocabulary.items.gather(trained.test.targets)
    assert row["n_instances"] == (targets != "i2").sum() == 4
    # All of five items against the four that are left, in whatever order.
    assert row["measures"]["Jaccard@10"] == pytest.approx(4 / 5)
    assert row["measures"]["AverageOverlap@all"] is None


@pytest.mark.parametrize("method", ["finest", "warm_start", "retrain", "hysteresis"])
def test_a_grown_run_is_the_next_incumbent(trained: Run, config: Config, tmp_path: Path, method: str) -> None:
    rows = list(ROWS)
    run = trained
    for night_number, item in enumerate(["a", "j"]):
        rows += [("u1", item, 200 + night_number), ("u2", item, 200 + night_number)]
        with entered(tmp_path / f"night{night_number}", Plan("update", config)) as folder:
            run = Maker(folder).update(run, growing_night(run, a_log(rows)), method)
        run = load_run(run.path)
    assert run.split.log.vocabulary.items.to_list() == ["i0", "i1", "i2", "i3", "i4", "a", "j"]
    assert len(pl.read_parquet(run.path / "lists.parquet")) == 4 * 7  # u0 is served too
    row = json.loads((run.path / "results.json").read_text())["rows"][0]
    assert row["measures"]["Jaccard@10"] > 0
    assert row["accuracy"]["MRR"] > 0 < row["reference_accuracy"]["MRR"]


def test_new_items_are_in_none_of_the_incumbents_lists(trained: Run, config: Config, tmp_path: Path) -> None:
    later = a_log([*ROWS, *(("u1", "new", 200 + t) for t in range(30))])
    with entered(tmp_path / "next", Plan("update", config)) as folder:
        run = Maker(folder).update(trained, growing_night(trained, later), "retrain")
    row = json.loads((run.path / "results.json").read_text())["rows"][0]
    # Five of six items each, so that no list is that of the other even if all the order were kept.
    assert row["measures"]["AverageOverlap@all"] is None
    assert "does not rank all" in row["notes"][0]
    assert row["measures"]["Jaccard@10"] == pytest.approx(5 / 6)


def test_hysteresis_keeps_the_lists_that_were_served(trained: Run, config: Config, tmp_path: Path) -> None:
    served = pl.read_parquet(trained.path / "lists.parquet")
    # i2 is gone, u0 has not come back, and there is somebody new.
    rows = [row for row in ROWS if row[1] != "i2" and row[0] != "u0"]
    later = a_log([*rows, *(("u9", f"i{t % 2}", 200 + t) for t in range(12))])
    runs = {}
    for method in ("retrain", "hysteresis:tau=1e9", "hysteresis:tau=0"):
        with entered(tmp_path / method, Plan("update", config)) as folder:
            runs[method] = Maker(folder).update(trained, growing_night(trained, later), method)
    plain, kept, same = ({"lists": pl.read_parquet(run.path / "lists.parquet"), "run": run} for run in runs.values())
    assert same["lists"].equals(plain["lists"])
    expected = served.filter(pl.col("item_id") != "i2", pl.col("user_id") != "u0")
    of_old = kept["lists"].filter(pl.col("user_id") != "u9")
    assert of_old.select("user_id", "item_id").equals(expected.select("user_id", "item_id"))
    of_new = [side["lists"].filter(pl.col("user_id") == "u9") for side in (plain, kept)]
    assert of_new[0].equals(of_new[1])
    # Scores are today's.
    both = of_old.join(plain["lists"], on=["user_id", "item_id"], suffix="_today")
    assert len(both) == len(of_old)
    assert both["score"].equals(both["score_today"], check_names=False)
    # The run is read back with what it keeps, and is itself kept the night after.
    loaded = load_run(kept["run"].path)
    assert loaded.served().equals(kept["lists"])
    # Nothing is kept of who is gone.
    assert set(pl.read_parquet(loaded.path / "kept.parquet")["user_id"]) == {"u1", "u2", "u3"}
    with entered(tmp_path / "after", Plan("update", config)) as folder:
        after = Maker(folder).update(loaded, growing_night(loaded, later), "hysteresis:tau=1e9")
    ours, theirs = (pl.read_parquet(run.path / "lists.parquet") for run in (loaded, after))
    assert theirs.equals(ours)


def test_lists_that_are_kept_and_damaged_are_told(trained: Run, config: Config, tmp_path: Path) -> None:
    with entered(tmp_path / "next", Plan("stabilize", config)) as folder:
        Maker(folder).stabilize(trained, next_night(trained, trained.log), "hysteresis:over=warm_start")
    file = tmp_path / "next/kept.parquet"
    pl.read_parquet(file).write_parquet(file)
    with pytest.raises(RunFolderError, match=r"kept\.parquet is truncated or damaged"):
        load_run(tmp_path / "next")
    file.write_bytes(b"PAR1")
    with pytest.raises(RunFolderError, match=r"kept\.parquet is truncated or damaged"):
        load_run(tmp_path / "next")


def test_a_log_of_others_is_refused(trained: Run) -> None:
    with pytest.raises(DataError, match="nothing to train on"):
        next_night(trained, a_log([("x", "i0", 1)]))
    with pytest.raises(DataError, match="finestrec update"):
        next_night(trained, a_log([*ROWS, ("u1", "new", 1)]))


def test_what_is_open_may_change_and_a_finished_run_goes_on(tmp_path: Path) -> None:
    def enter(resume: bool = True, **inputs: object) -> bool:
        plan = Plan("experiment", None, {"how": 1, "logs": {"a": "x"}, "methods": ["m"], **inputs}, ("logs", "methods"))
        with entered(tmp_path / "run", plan, resume=resume) as folder:
            return folder.finished

    assert not enter(resume=False)
    assert enter()
    for wanted in ({"methods": ["m", "n"]}, {"logs": {"a": "x", "b": "y"}}, {"logs": {"b": "y"}}):
        assert not enter(**wanted)
        assert enter(**wanted)
    assert not enter()  # what is asked for is not what was done last
    for changed, words in (({"how": 2}, "how: 2 against 1"), ({"logs": {"a": "z"}}, "a: 'z' against 'x'")):
        with pytest.raises(RunFolderError, match=f"begun differently, so it cannot be resumed: {words}"):
            enter(**changed)
    with pytest.raises(RunFolderError, match="--force"):
        enter(resume=False)


def test_a_file_that_may_not_be_read_is_not_damaged(trained: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open
    for name in ("model.safetensors", "optimizer.safetensors", "interactions.parquet", "config.toml"):

        def refused(path: Path, *arguments: Any, name: str = name, **more: Any) -> Any:
            if path.name == name:
                raise PermissionError(13, "Permission denied", str(path))
            return opened(path, *arguments, **more)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "open", refused)
            with pytest.raises(PermissionError, match=name):
                load_run(trained.path)
    assert load_run(trained.path).weights_fingerprint == trained.weights_fingerprint


def test_a_failure_that_cannot_be_written_down_is_still_told(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        with entered(tmp_path / "run", Plan("train", config)):
            monkeypatch.setattr("finestrec.runs.folder.write_aside", _full)
            raise TrainingError("the loss is nan")

    with pytest.raises(TrainingError, match="the loss is nan"):
        fail()


def _full(path: Path, content: object) -> None:
    raise OSError(28, "No space left on device", str(path))


def test_a_failure_is_written_down(config: Config, tmp_path: Path) -> None:
    plan = Plan("train", config)
    with pytest.raises(TrainingError), entered(tmp_path / "run", plan):
        raise TrainingError("the loss is nan")
    assert read_state(tmp_path / "run").reason == "the loss is nan"
    with pytest.raises(RunFolderError, match="the loss is nan"):
        require_done(tmp_path / "run")
    with entered(tmp_path / "run", plan, resume=True) as folder:
        assert not folder.finished
    assert require_done(tmp_path / "run").status == "done"


def test_an_interruption_leaves_the_run_unfinished_with_a_note(config: Config, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt) as caught, entered(tmp_path / "run", Plan("train", config)):
        raise KeyboardInterrupt
    assert "--resume" in caught.value.__notes__[0]
    assert read_state(tmp_path / "run").status == "running"


def test_a_run_is_resumed_under_its_own_plan_only(config: Config, tmp_path: Path) -> None:
    plan = Plan("train", config, {"method": "a", "seeds": (1, 2)})
    with entered(tmp_path / "run", plan):
        pass
    with entered(tmp_path / "run", plan, resume=True) as folder:
        assert folder.finished
    for other, words in (
        (replace(plan, command="audit"), "the command: audit against train"),
        (replace(plan, inputs={"method": "b", "seeds": (1, 2)}), "method: 'b' against 'a'"),
        (replace(plan, config=replace(config, seed=3)), "seed: 3 against 0"),
    ):
        with pytest.raises(RunFolderError, match=words), entered(tmp_path / "run", other, resume=True):
            pass


def test_leftovers_of_a_kill_are_swept(config: Config, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".state.json.abc.json").write_text("{")  # killed before the state was whole
    with pytest.raises(KeyboardInterrupt), entered(folder, Plan("train", config)):
        raise KeyboardInterrupt
    (folder / ".model.safetensors.x1.safetensors").write_text("half")
    (folder / ".mine").write_text("mine")
    with entered(folder, Plan("train", config), resume=True):
        assert sorted(path.name for path in folder.iterdir()) == [".mine", "config.toml", "events.log", "state.json"]


def test_a_replacement_that_was_killed_is_not_taken_for_a_finished_run(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with entered(tmp_path / "run", Plan("train", config)):
        (tmp_path / "run" / "jobs").mkdir()

    def killed(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt), entered(tmp_path / "run", Plan("audit", config), force=True):
        pass
    assert read_state(tmp_path / "run").status == "failed"
    assert json.loads((tmp_path / "run" / "state.json").read_text())["reason"] == "it was being replaced"


def test_force_deletes_the_parts_of_an_unfinished_training(config: Config, tmp_path: Path) -> None:
    """Another run would take a teacher of bagging for its own."""
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt), entered(folder, Plan("stabilize", config)):
        raise KeyboardInterrupt
    for name in ("checkpoint.bag0.safetensors", "checkpoint.safetensors", "mine.safetensors"):
        (folder / name).write_text("")
    with entered(folder, Plan("stabilize", config), force=True):
        assert sorted(path.name for path in folder.glob("*.safetensors")) == ["mine.safetensors"]
