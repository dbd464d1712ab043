"""Whom `recommend` serves, and with what."""

from pathlib import Path

import polars as pl
import pytest
from command_line import EPOCHS, TINY, Finestrec, refused

from finestrec.data.log import InteractionLog
from finestrec.errors import DataError, OptionError
from finestrec.recommendation import popular, recommend, servable
from finestrec.runs import Run, load_run


@pytest.fixture
def loaded(run_folder: Path) -> Run:
    return load_run(run_folder)


def test_all_users_by_ending(finestrec: Finestrec, run_folder: Path, tmp_path: Path) -> None:
    for name, separator in (("lists.csv", ","), ("lists.tsv", "\t")):
        assert finestrec("recommend", run_folder, "--k", 10, "--out", tmp_path / name).code == 0
        lists = pl.read_csv(tmp_path / name, separator=separator)
        stored = pl.read_parquet(run_folder / "lists.parquet")
        assert lists.drop("score").equals(stored.drop("score").with_columns(pl.col("rank").cast(pl.Int64)))
    long = finestrec("recommend", run_folder, "--k", 1000, "--out", tmp_path / "all.parquet")
    assert long.code == 0
    assert "no longer than that" in long.err
    assert pl.read_parquet(tmp_path / "all.parquet")["rank"].max() == load_run(run_folder).trained.model.n_items


def test_unknown_users(finestrec: Finestrec, run_folder: Path, tmp_path: Path) -> None:
    users = tmp_path / "users.txt"
    known = load_run(run_folder).log.vocabulary.users
    users.write_text(f"{known[5]}\nnobody\n\n{known[2]}\n{known[5]}\n")
    skipped = finestrec("recommend", run_folder, "--users", users, "--k", 3, "--out", tmp_path / "a.csv", "--json")
    assert skipped.document["unknown"] == ["nobody"]
    assert "1 unknown users" in skipped.err
    assert "nobody" in skipped.err
    lists = pl.read_csv(tmp_path / "a.csv")
    assert lists["user_id"].to_list() == [known[5]] * 3 + [known[2]] * 3
    table = tmp_path / "users.parquet"
    pl.DataFrame({"user_id": [known[5], "nobody", known[2]]}).write_parquet(table)
    marked = finestrec(
        *("recommend", run_folder, "--users", table, "--k", 3, "--missing", "popular"),
        *("--out", tmp_path / "b.csv", "--json"),
    )
    assert (marked.code, marked.document["users"], marked.document["unknown"]) == (0, 3, ["nobody"])
    assert "lists of 3 users" in marked.err
    both = pl.read_csv(tmp_path / "b.csv")
    assert both.filter(pl.col("source") == "model").drop("source").equals(lists)
    assert both.filter(pl.col("source") == "popular")["user_id"].to_list() == ["nobody"] * 3


def test_users_that_cannot_be_of_a_run_with_integer_ids(finestrec: Finestrec, tmp_path: Path) -> None:
    """None of them is served as somebody else: 007 and 7 are two ids."""
    log, users = tmp_path / "log.csv", tmp_path / "users.txt"
    log.write_text("user,item,timestamp\n" + "".join(f"{u},{(u + t) % 7},{t}\n" for u in range(9) for t in range(12)))
    assert finestrec("train", log, "--model", "lrurec", "--out", tmp_path / "run", *TINY, *EPOCHS).code == 0
    users.write_text("7\nabc\n007\n+8\n8.0\n99\n")
    command = ("recommend", tmp_path / "run", "--users", users, "--k", 2, "--json", "--out")
    done = finestrec(*command, tmp_path / "a.csv")
    assert (done.code, done.document["users"]) == (0, 1)
    assert done.document["unknown"] == [99, "abc", "007", "+8", "8.0"]
    assert "4 unknown users, not written, because all ids of the run are integers: abc, 007" in done.err
    assert pl.read_csv(tmp_path / "a.csv")["user_id"].to_list() == [7, 7]
    table = tmp_path / "users.parquet"
    pl.DataFrame({"user_id": [7.0, 1.5]}).write_parquet(table)
    done = finestrec("recommend", tmp_path / "run", "--users", table, "--out", tmp_path / "b.csv", "--json")
    assert (done.document["users"], done.document["unknown"]) == (1, ["1.5"])
    refused(finestrec("perturb", log, f"delete:user:0:ids={users}", "--out", tmp_path / "c.csv"), "'abc'", "integer")


def test_a_users_file_with_a_column(finestrec: Finestrec, run_folder: Path, tmp_path: Path) -> None:
    known = load_run(run_folder).log.vocabulary.users
    users = tmp_path / "users.csv"
    for name in ("user_id", "userId"):
        users.write_text(f"country,{name}\nde,{known[1]}\nfr,{known[0]}\n")
        assert finestrec("recommend", run_folder, "--users", users, "--out", tmp_path / f"{name}.csv").code == 0
        served = pl.read_csv(tmp_path / f"{name}.csv")["user_id"]
        assert served.unique(maintain_order=True).to_list() == [known[1], known[0]]


def test_a_users_file_with_a_quoted_header(finestrec: Finestrec, run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text('"user_id","other"\n"user-0003","x"\n')
    outcome = finestrec(
        "recommend", run_folder, "--users", tmp_path / "users.csv", "--out", tmp_path / "lists.csv", "--json"
    )
    assert outcome.code == 0
    assert (outcome.document["users"], outcome.document["unknown"]) == (1, [])


def test_dropped_items_never_appear(loaded: Run) -> None:
    history = loaded.log.to_frame().select("user_id", "item_id").unique()
    kept = recommend(loaded.trained, loaded.log, 1000)
    dropped = recommend(loaded.trained, loaded.log, 1000, seen="drop")
    assert len(dropped.join(history, on=["user_id", "item_id"], how="semi")) == 0
    # What is left is in the same order.
    rest = kept.join(history, on=["user_id", "item_id"], how="anti", maintain_order="left")
    assert dropped.select("user_id", "item_id").equals(rest.select("user_id", "item_id"))


def test_short_users_are_served_and_new_items_skipped(loaded: Run) -> None:
    items = loaded.trained.log.vocabulary.items
    frame = pl.DataFrame(
        {
            "user": ["new", "new", "strange", "known"],
            "item": [items[0], "no-such-item", "no-such-item", items[3]],
            "timestamp": [1, 2, 3, 4],
        }
    )
    log = InteractionLog.from_frame(frame)
    lists = recommend(loaded.trained, log, 2)
    assert lists["user_id"].to_list() == ["known", "known", "new", "new"]
    asked = pl.Series(["strange", "new", "absent"])
    assert servable(loaded.trained, log, asked).to_list() == [False, True, False]
    assert servable(loaded.trained, log).to_list() == [True, True, False]
    only = recommend(loaded.trained, InteractionLog.from_frame(frame[[0]]), 2)
    assert only["item_id"].to_list() == lists.filter(pl.col("user_id") == "new")["item_id"].to_list()


def test_popular_counts_training_interactions(loaded: Run) -> None:
    best = popular(loaded.trained, pl.Series(["a", "b"]), 3)
    counts = loaded.trained.log.item_counts
    assert best["score"].to_list() == sorted(counts.tolist(), reverse=True)[:3] * 2
    assert best["user_id"].to_list() == ["a"] * 3 + ["b"] * 3


def test_refusals(loaded: Run) -> None:
    with pytest.raises(OptionError, match="k is 0"):
        recommend(loaded.trained, loaded.log, 0)
    with pytest.raises(DataError, match="both as"):
        recommend(loaded.trained, loaded.log, users=pl.Series([1, 2]))
