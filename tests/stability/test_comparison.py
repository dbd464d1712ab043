"""Comparing two files of lists, against a slow loop over users, numpy's own resampling, and laws."""

import math
from statistics import fmean
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finestrec.errors import DataError, OptionError
from finestrec.stability.comparison import Comparison, compare, measure_names
from finestrec.stability.groups import NOT_GIVEN
from finestrec.stability.pairing import CHUNK

Lists = dict[int, list[str]]

LISTS = st.dictionaries(
    st.integers(0, 8),
    st.lists(st.sampled_from("abcdefgh"), unique=True, min_size=1, max_size=6),
    min_size=2,
    max_size=8,
)


def framed(lists: Lists) -> pl.DataFrame:
    rows = [(user, item, rank) for user, items in lists.items() for rank, item in enumerate(items, start=1)]
    return pl.DataFrame(rows, schema=["user_id", "item_id", "rank"], orient="row")


def rbo(a: list[str], b: list[str], p: float = 0.9) -> float:
    """Eq. 32 of Webber et al. 2010, term by term."""
    shorter, longer = sorted((a, b), key=len)
    s, l = len(shorter), len(longer)  # noqa: E741
    shared = [len(set(shorter[:d]) & set(longer[:d])) for d in range(l + 1)]
    total = sum(shared[d] / d * p**d for d in range(1, l + 1))
    total += sum(shared[s] * (d - s) / (s * d) * p**d for d in range(s + 1, l + 1))
    return (1 - p) / p * total + ((shared[l] - shared[s]) / l + shared[s] / s) * p**l


def frbo(a: list[str], b: list[str], p: float = 0.9) -> float:
    depths = range(1, max(len(a), len(b)) + 1)
    agreement = [len(set(a[:d]) & set(b[:d])) / d for d in depths]
    return sum(p ** (d - 1) * x for d, x in zip(depths, agreement, strict=True)) / sum(p ** (d - 1) for d in depths)


def slow(a: list[str], b: list[str], k: int, retired: set[str], fresh: set[str]) -> dict[str, float]:
    a, b = a[:k], b[:k]
    both, places = set(a) & set(b), max(len(a), len(b))
    left = sum(item in retired for item in set(a) - both) / places
    return {
        f"RBO(p=0.9)@{k}": rbo(a, b),
        f"FRBO(p=0.9)@{k}": frbo(a, b),
        f"Jaccard@{k}": len(both) / len(set(a) | set(b)),
        f"Turnover@{k}": 1 - len(both) / places,
        f"RankDisplacement@{k}": fmean(abs(a.index(x) - b.index(x)) for x in both) if both else math.nan,
        f"TopOut@{k}": b.index(a[0]) if a[0] in b else k,
        "Top1Change": float(a[0] != b[0]),
        f"RetiredTurnover@{k}": left,
        f"MovedTurnover@{k}": 1 - len(both) / places - left,
        f"NewTurnover@{k}": sum(item in fresh for item in set(b) - both) / places,
    }


def accuracy(items: list[str], relevant: set[str], k: int) -> dict[str, float]:
    hits = [rank for rank, item in enumerate(items[:k], start=1) if item in relevant]
    best = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(relevant)) + 1))
    return {
        f"Recall@{k}": len(hits) / len(relevant),
        f"NDCG@{k}": sum(1 / math.log2(rank + 1) for rank in hits) / best,
        f"MRR@{k}": 1 / hits[0] if hits else 0.0,
    }


def mean(values: list[float]) -> float | None:
    known = [value for value in values if not math.isnan(value)]
    return fmean(known) if known else None


@settings(deadline=None, max_examples=60)
@given(
    LISTS,
    LISTS,
    st.dictionaries(st.integers(0, 9), st.sets(st.sampled_from("abcdefghxy"), min_size=1, max_size=3), min_size=1),
    st.sets(st.sampled_from("abcdefgh")),
    st.sets(st.sampled_from("abcdefgh")),
)
def test_equal_to_a_loop_over_users(
    old: Lists, new: Lists, truth: dict[int, set[str]], retired: set[str], fresh: set[str]
) -> None:
    users = sorted(old.keys() & new.keys())
    held = [user for user in users if user in truth]
    if not held:
        return
    catalogue, old_catalogue = (pl.DataFrame({"item_id": sorted(set("abcdefgh!") - out)}) for out in (retired, fresh))
    found = compare(
        framed(old),
        framed(new),
        k=[3, 1],
        truth=pl.DataFrame([(u, i) for u, s in truth.items() for i in [*s, *s]], schema=["user", "item"], orient="row"),
        catalogue=catalogue,
        old_catalogue=old_catalogue,
    )
    row = found.row()
    for k in (3, 1):
        each = [slow(old[user], new[user], k, retired, fresh) for user in users]
        for name in each[0]:
            assert row["measures"][name] == pytest.approx(mean([values[name] for values in each]), abs=1e-12), name
        before, after = ([accuracy(lists[user], truth[user], k) for user in held] for lists in (old, new))
        for name in before[0]:
            then, now = (fmean(values[name] for values in side) for side in (before, after))
            assert row["measures"][f"old({name})"] == pytest.approx(then, abs=1e-12)
            assert row["measures"][name] == pytest.approx(now, abs=1e-12)
            change = row["measures"][f"change({name})"]
            assert change is None if then == 0 else change == pytest.approx(now / then - 1, abs=1e-12)
        hits = [(b[f"Recall@{k}"] > 0, a[f"Recall@{k}"] > 0) for b, a in zip(before, after, strict=True)]
        assert row["measures"][f"NegativeFlips@{k}"] == pytest.approx(hits.count((True, False)) / len(held))
        assert row["measures"][f"PositiveFlips@{k}"] == pytest.approx(hits.count((False, True)) / len(held))
    assert row["measures"]["LostUsers"] == pytest.approx(1 - len(users) / len(old))
    assert found.summary["users"]["with_truth"] == len(held) == row["known"]["NDCG@3"]
    assert found.summary["users"]["truth_without_lists"] == len(truth.keys() - set(users))
    names = measure_names([3, 1], truth=True, catalogue=True, old_catalogue=True)
    assert sorted(found.names) == sorted(names)
    check_moves(found, old, new, users, retired)
    sides = dict(zip(*found.users.select("user_id", "side"), strict=True))
    assert sides == {u: "both" if u in users else "old" if u in old else "new" for u in old | new}
    assert found.users["Jaccard@3"].is_null().to_list() == [side != "both" for side in found.users["side"]]


def check_moves(found: Comparison, old: Lists, new: Lists, users: list[int], retired: set[str]) -> None:
    left = [item for user in users for item in set(old[user][:3]) - set(new[user][:3])]
    entered = [item for user in users for item in set(new[user][:3]) - set(old[user][:3])]
    items = {row["item_id"]: row for row in found.items.to_dicts()}
    for item, row in items.items():
        assert row["left"] == left.count(item)
        assert row["entered"] == entered.count(item)
        assert row["old"] == sum(item in old[user][:3] for user in users)
        assert row["in_catalogue"] == (item not in retired)
    summary = found.summary["items"]
    assert summary["left_retired"] == sum(item in retired for item in left)
    counts = [row["left"] for row in summary["most_left"]]
    assert counts == sorted((left.count(item) for item in set(left)), reverse=True)


@settings(deadline=None, max_examples=30)
@given(LISTS)
def test_the_same_file_twice(lists: Lists) -> None:
    row = compare(framed(lists), framed(lists), k=4).row()
    changes = ("Turnover", "RankDisplacement", "TopOut", "Top1Change", "LostUsers")
    for name, value in row["measures"].items():
        assert value == (0.0 if name.startswith(changes) else 1.0)
        if name != "LostUsers":
            assert row["lower"][name] == row["upper"][name] == value


@settings(deadline=None, max_examples=30)
@given(LISTS, LISTS)
def test_swapped_sides_mirror_what_entered_and_left(old: Lists, new: Lists) -> None:
    if not old.keys() & new.keys():
        with pytest.raises(DataError, match="no user in common"):
            compare(framed(old), framed(new), k=4)
        return
    there, back = compare(framed(old), framed(new), k=4), compare(framed(new), framed(old), k=4)
    assert (
        there.items.select("item_id", "left", "entered").rows()
        == back.items.select("item_id", left="entered", entered="left").select("item_id", "left", "entered").rows()
    )
    assert there.summary["users"]["only_old_examples"] == back.summary["users"]["only_new_examples"]
    for name in ("RBO(p=0.9)@4", "FRBO(p=0.9)@4", "Jaccard@4", "Turnover@4", "RankDisplacement@4", "Top1Change"):
        assert there.row()["measures"][name] == pytest.approx(back.row()["measures"][name], nan_ok=True)


def many(users: int, seed: int, noise: float = 1.0) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Lists of 5 of 30 items by noisy scores, and the same with more noise."""
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(users, 30))
    frames = []
    for scores in (base, base + rng.normal(size=base.shape) * noise):
        top = np.argsort(-scores, axis=1)[:, :5]
        frames.append(
            pl.DataFrame(
                {"user_id": np.repeat(np.arange(users), 5), "item_id": top.ravel(), "rank": np.tile(range(1, 6), users)}
            )
        )
    return frames[0], frames[1]


def test_intervals_are_those_of_resampled_users() -> None:
    old, new = many(400, seed=1)
    truth = pl.DataFrame({"user_id": range(0, 400, 2), "item_id": [u % 30 for u in range(0, 400, 2)]})
    found = compare(old, new, k=5, truth=truth)
    row, users = found.row(), found.users
    rng = np.random.default_rng(7)
    picks = rng.integers(0, 400, size=(4000, 400))

    def close(name: str, draws: Any, spread: float) -> None:
        lower, upper = np.nanquantile(draws, [0.025, 0.975])
        assert row["lower"][name] == pytest.approx(lower, abs=0.08 * spread)
        assert row["upper"][name] == pytest.approx(upper, abs=0.08 * spread)
        assert row["lower"][name] < row["measures"][name] < row["upper"][name]

    for name in ("Jaccard@5", "RankDisplacement@5", "NDCG@5"):
        values = users[name].to_numpy()
        draws = np.nanmean(values[picks], axis=1)
        close(name, draws, np.ptp(np.nanquantile(draws, [0.025, 0.975])))
    before, after = (users[name].to_numpy()[picks] for name in ("old(NDCG@5)", "NDCG@5"))
    draws = np.nanmean(after, axis=1) / np.nanmean(before, axis=1) - 1
    close("change(NDCG@5)", draws, np.ptp(np.nanquantile(draws, [0.025, 0.975])))


def test_slices_are_comparisons_of_their_users() -> None:
    old, new = many(60, seed=2)
    about = pl.DataFrame(
        {"user_id": range(50), "country": ["DE", "FR"] * 25, "age": [None if u % 5 == 0 else u % 3 for u in range(50)]}
    )
    found = compare(old, new, k=5, users=about)
    assert [(row["column"], row["value"]) for row in found.summary["rows"]] == [
        (None, None),
        *(("country", value) for value in ("DE", "FR", NOT_GIVEN)),
        *(("age", value) for value in ("0", "1", "2", NOT_GIVEN)),
    ]
    assert f"users: no row for 10 users, whose slices are {NOT_GIVEN}" in found.summary["notes"]
    germans = pl.col("user_id").is_in(about.filter(pl.col("country") == "DE")["user_id"].implode())
    alone = compare(old.filter(germans), new.filter(germans), k=5).row()
    here = found.row(("country", "DE"))
    assert here["users"] == 25
    for key in ("measures", "lower", "upper"):
        for name, value in here[key].items():
            assert value == pytest.approx(alone[key][name])
    with pytest.raises(OptionError, match=r"no slices by 'plan'; there are country, age"):
        found.row(("plan", "free"))
    with pytest.raises(OptionError, match=r"no user with country 'XX' was compared; there are DE, FR, \(none given\)"):
        found.row(("country", "XX"))


def test_ids_of_text_files_and_of_typed_ones(tmp_path: Any) -> None:
    lists = {1: ["7", "8"], 2: ["8", "9"]}
    text = framed(lists).with_columns(pl.col("user_id").cast(pl.String))
    text.write_csv(tmp_path / "old.csv")
    text.write_parquet(tmp_path / "new.parquet")
    found = compare(tmp_path / "old.csv", tmp_path / "new.parquet", k=2)
    assert found.row()["measures"]["Jaccard@2"] == 1.0
    assert found.summary["sources"] == {"OLD": "OLD old.csv", "NEW": "NEW new.parquet"}
    numbers = text.cast({"user_id": pl.Int64, "item_id": pl.Int64})
    with pytest.raises(DataError, match="user ids are integers in OLD and text in NEW"):
        compare(numbers, text, k=2)
    assert compare(tmp_path / "old.csv", numbers, k=2).row()["measures"]["Jaccard@2"] == 1.0
    truth = pl.DataFrame({"user_id": ["1"], "item_id": ["8"]})
    truth.write_csv(tmp_path / "truth.csv")
    for known in (text, numbers):
        row = compare(known, known, k=2, truth=tmp_path / "truth.csv").row()
        assert row["measures"]["MRR@2"] == 0.5


def test_equal_scores_stand_in_one_order_on_both_sides(tmp_path: Any) -> None:
    """Items 2, 9, 10, 11 and 100: in the order of numbers, or of text where one side has an item x7."""
    rows = [f"{user},{item},0.5" for user in (1, 2, 3) for item in (2, 9, 10, 11, 100)]
    for name, more in (("old", []), ("new", ["1,x7,0.1"])):
        (tmp_path / f"{name}.csv").write_text("\n".join(["user_id,item_id,score", *rows, *more]) + "\n")
    for pair in (("old", "new"), ("new", "old")):
        found = compare(*(tmp_path / f"{name}.csv" for name in pair), k=3)
        assert found.row()["measures"]["Jaccard@3"] == 1
        assert found.row()["measures"]["FRBO(p=0.9)@3"] == pytest.approx(1)


def test_more_users_than_one_chunk_has() -> None:
    n = CHUNK + 10
    old = pl.DataFrame({"user_id": range(n), "item_id": [[u % 7, 8] for u in range(n)]})
    new = pl.DataFrame({"user_id": range(n), "item_id": [[u % 7, 8 + u // CHUNK] for u in range(n)]})
    found = compare(old, new, k=2)
    assert found.row()["measures"]["Turnover@2"] == pytest.approx(10 / n / 2)
    assert found.items.filter(pl.col("item_id") == 9)["entered"].item() == 10
    assert found.pairs is not None
    frame = found.pairs.frame()
    assert frame["new"].to_list()[-1] == [(n - 1) % 7, 9]
    assert len(frame) == n


def test_an_empty_list_is_a_list() -> None:
    old = pl.DataFrame({"user_id": [1, 2], "items": [[], [5]]}, schema_overrides={"items": pl.List(pl.Int64)})
    new = pl.DataFrame({"user_id": [1, 2], "items": [[5], [5]]})
    found = compare(old, new, k=2)
    assert found.row()["measures"]["Turnover@2"] == 0.5
    assert found.row()["known"]["TopOut@2"] == 1
    assert found.pairs is not None
    assert found.pairs.frame()["old"].to_list() == [[], [5]]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"k": 0}, OptionError, "k is 0; expected different numbers from 1"),
        ({"k": [2, 2]}, OptionError, "k is 2, 2"),
        ({"k": []}, OptionError, "k is nothing"),
        ({"truth": {"user_id": [99], "item_id": [1]}}, DataError, "truth has no interaction of a user with lists"),
        ({"truth": {"user_id": [0], "thing": [1]}}, DataError, "truth: no column looks like the item"),
        ({"users": {"user_id": [0, 0], "x": [1, 2]}}, DataError, "users: user 0 has more than one row"),
        ({"users": {"user_id": [0]}}, DataError, "no other column"),
        ({"users": {"user_id": [99], "x": [1]}}, DataError, "users has none of the 60 users of the lists"),
        ({"users": {"user_id": range(60), "x": [f"n{i}" for i in range(60)]}}, DataError, "'x': 60 .*; .* at most 50"),
        ({"users": {"user_id": [0], "x": [[1]]}}, DataError, "is of type List"),
        ({"catalogue": {"item_id": []}}, DataError, "catalogue has columns but no rows"),
        ({"catalogue": {"item_id": ["a"]}}, DataError, "item ids are integers in the lists and text in catalogue"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared(options: dict[str, Any], error: type[Exception], message: str) -> None:
    old, new = many(60, seed=3)
    frames = {key: pl.DataFrame(value) if isinstance(value, dict) else value for key, value in options.items()}
    with pytest.raises(error, match=message):
        compare(old, new, **frames)
