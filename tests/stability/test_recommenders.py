"""Recommenders that only return lists: audited to the depth they have, against what their lists say by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from finestrec.data.log import InteractionLog
from finestrec.data.splits import Split, SplitOptions, split
from finestrec.errors import DataError, OptionError, UnsupportedError
from finestrec.measures.overlap import rbo_extrapolated
from finestrec.perturbation.spec import Perturbation
from finestrec.stability.audit import audit
from finestrec.stability.comparing import Judged, compare_judged, judge
from finestrec.stability.recommenders import from_callable
from finestrec.stabilizers import FinestTuning, Recipe

SPEC = "delete:random:0.05"


@pytest.fixture(scope="module")
def parts(chain: InteractionLog) -> Split:
    return split(chain)


def popular_after_own(log: pl.DataFrame) -> Callable[[list[int], int], list[list[int]]]:
    """A user's last item, then the most popular ones."""
    best = log["item_id"].value_counts().sort("count", "item_id", descending=[True, False])["item_id"].to_list()
    last = dict(log.group_by("user_id", maintain_order=True).last().select("user_id", "item_id").iter_rows())

    def recommend(users: list[int], k: int) -> list[list[int]]:
        return [[last[user], *[item for item in best if item != last[user]]][:k] for user in users]

    return recommend


def fixed(lists: Any) -> Callable[[pl.DataFrame], Callable[[list[int], int], Any]]:
    return lambda log: lambda users, k: lists(users, k) if callable(lists) else lists


def judged(parts: Split, fit: Any, k: int = 10) -> Judged:
    test = parts.held_out(50)
    return judge(from_callable(fit, k).fit(parts.train, 0), test.subset(test.is_first))


def test_lists_are_audited_to_their_depth_on_first_instances(parts: Split) -> None:
    found = audit(parts, {"retrain": from_callable(popular_after_own, 10)}, perturbations=[SPEC], instances="first")
    (row,) = [row for row in found.rows if row.perturbation and row.other_seed is None]
    assert row.model.endswith("test_recommenders.popular_after_own")
    assert row.instances == "first"
    old, new = (
        np.array(popular_after_own(log.to_frame())(log.vocabulary.users.to_list(), 10))
        for log in (parts.train, Perturbation.parse(SPEC).apply(parts.train, 0).log)
    )
    assert row.measures["RBO(p=0.9)@10"] == pytest.approx(rbo_extrapolated(old, new, 0.9).mean())
    assert 0.3 < row.measures["RBO(p=0.9)@10"] < 1
    assert row.measures["RBO(p=0.9)"] is None
    assert row.measures["AverageOverlap@all"] is None
    targets = parts.log.items[parts.log.offsets[1:] - 1]
    assert row.reference_accuracy["Recall@10"] == pytest.approx((old == targets[:, None]).any(1).mean())
    assert row.accuracy["MRR"] is None
    assert row.accuracy["NDCG@10"] is not None
    assert row.notes == ["the lists have 10 items: RBO(p=0.9), AverageOverlap@all, MRR look deeper and are null"]
    assert "items with everything else equal" in found.verdict()


def test_nothing_at_all_is_not_stable(parts: Split) -> None:
    with pytest.raises(DataError, match="nothing to compare: not one of 200 lists has an item"):
        judged(parts, fixed(lambda users, k: [None] * len(users)))


def test_nobody_is_asked_for_the_lists_of_erased_users(parts: Split) -> None:
    """`popular_after_own` knows no last item of theirs."""
    spec = "delete:user:2"
    found = audit(parts, {"retrain": from_callable(popular_after_own)}, perturbations=[spec], instances="first")
    (row,) = [row for row in found.rows if row.perturbation and row.other_seed is None]
    assert row.log_change is not None
    assert row.log_change["erased_users"] == 2
    touch = found.findings[-1].touch
    assert touch is not None
    assert touch["erased"]["measures"]["Jaccard@10"]["mean"] == 0
    assert row.measures["Jaccard@10"] > 0.5


def test_lists_of_everything_have_every_measure(parts: Split) -> None:
    all_of_it = judged(parts, popular_after_own, 500)
    comparison = compare_judged(all_of_it, all_of_it, parts.held_out(50))
    assert comparison.notes == []
    assert comparison.means()["RBO(p=0.9)"] == 1.0
    assert comparison.means()["AverageOverlap@all"] == 1.0
    assert all_of_it.accuracy()["MRR"] is not None


def test_below_ten_items_there_is_no_accuracy_at_ten(parts: Split) -> None:
    five = judged(parts, popular_after_own, 5)
    means = compare_judged(five, five, parts.held_out(50)).means()
    assert means["RBO(p=0.9)@5"] == 1.0
    assert means["Jaccard@10"] is None
    assert five.accuracy() == {"MRR": None, "Recall@10": None, "NDCG@10": None}


def as_frame(users: list[int], k: int) -> pl.DataFrame:
    """Worst first, and the last user left out."""
    return pl.DataFrame(
        {
            "user_id": np.repeat(users[:-1], 3),
            "item_id": np.tile([9, 2, 4], len(users) - 1),
            "rank": np.tile([3, 2, 1], len(users) - 1),
        }
    )


def as_pandas(users: list[int], k: int) -> pd.DataFrame:
    return pd.DataFrame(as_frame(users, k).to_dict(as_series=False))


def as_rows(users: list[int], k: int) -> list[list[int] | None]:
    return [*[[4, 2, 9] for _ in users[:-1]], None]


@pytest.mark.parametrize("lists", [as_frame, as_pandas, as_rows])
def test_frames_and_rows_say_the_same(lists: Any, parts: Split) -> None:
    items = judged(parts, fixed(lists), 4).lists.items
    index = {item: i for i, item in enumerate(parts.log.vocabulary.items.to_list())}
    assert np.array_equal(items[:-1], np.tile([index[4], index[2], index[9], -1], (len(items) - 1, 1)))
    assert items[-1].tolist() == [-1] * 4


def test_arrays_are_lists_and_longer_ones_are_cut(parts: Split) -> None:
    items = judged(parts, fixed(lambda users, k: np.tile(np.arange(20), (len(users), 1))), 6).lists.items
    assert np.array_equal(parts.log.vocabulary.items.to_numpy()[items[3]], np.arange(6))


def test_the_seed_is_given_to_who_asks_for_it(parts: Split) -> None:
    def fit(log: pl.DataFrame, seed: int) -> Any:
        return lambda users, k: [np.random.default_rng(seed).permutation(30)[:k] for _ in users]

    found = audit(parts, {"retrain": from_callable(fit)}, perturbations=[SPEC], instances="first")
    floors = {row.method: row.measures["Jaccard@10"] for row in found.rows if row.regime == "floor"}
    assert floors["same_seed"] == 1.0
    assert (floors["other_seed"] or 0) < 1


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        (lambda log: None, r"<lambda> returned a NoneType; expected a function recommend"),
        (fixed([[1, 2]]), "returned 1 lists for 200 users"),
        (fixed(lambda users, k: [[1, 999]] * len(users)), "lists the item 999 for the user 0; the log has no such"),
        (fixed(lambda users, k: [["a"]] * len(users)), "not of type Int64"),
        (fixed(pl.DataFrame({"user_id": [1], "item": [1]})), "have no column item_id, rank"),
        (fixed(pl.DataFrame({"user_id": ["1"], "item_id": [1], "rank": [1]})), "users of type String"),
    ],
)
def test_lists_that_are_none_are_refused(fit: Any, message: str, parts: Split) -> None:
    with pytest.raises(DataError, match=message):
        judged(parts, fit)


def test_a_repeated_item_is_refused(parts: Split) -> None:
    twice = judged(parts, fixed(lambda users, k: [[1, 1]] * len(users)), 2)
    with pytest.raises(DataError, match="a list holds an item once"):
        compare_judged(twice, twice, parts.held_out(50))


def test_what_cannot_be_asked_is_said(parts: Split, small_recipe: Recipe) -> None:
    fitter = from_callable(popular_after_own)
    with pytest.raises(OptionError, match=r"no fitter for finest; .*only returns lists can be audited, not fine-tuned"):
        audit(parts, {"retrain": fitter}, methods=["retrain", "finest"], instances="first")
    with pytest.raises(UnsupportedError, match=r"FinestTuning changes the weights .* given a ListRanker"):
        FinestTuning(small_recipe).fit(parts.train, 0, fitter.fit(parts.train, 0))  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="k is 0"):
        from_callable(popular_after_own, 0)
    with pytest.raises(OptionError, match="fit is a int"):
        from_callable(3)  # type: ignore[arg-type]


def test_one_list_a_user_is_for_first_instances(chain: InteractionLog) -> None:
    two = split(chain, SplitOptions(fraction=0.2))
    fitter = from_callable(popular_after_own)
    with pytest.raises(OptionError, match="pass instances='first'"):
        audit(two, {"retrain": fitter}, perturbations=[SPEC])
    with pytest.raises(UnsupportedError, match="pass instances='first'"):
        fitter.fit(two.train, 0).rank(two.held_out(50), 10)
