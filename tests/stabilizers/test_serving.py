"""Policies of serving, against the definition spelt out and against the two models that they merge."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains import markov_log
from finestrec.data.splits import split
from finestrec.errors import OptionError, UnsupportedError
from finestrec.ranking import rank
from finestrec.stabilizers import Recipe, stabilizer
from finestrec.stabilizers.hysteresis import KeptLists, merged_lists

PARTS = split(markov_log(users=40, items=20, length=15, seed=0))
RECIPE = Recipe.of(
    "lstm", model_options={"hidden": 8}, training={"epochs": 2, "lr": 0.02}, finest={"epochs": 1, "lr": 0.02, "k": 5}
)
TEST = PARTS.held_out(50)


@pytest.fixture(scope="module")
def models():
    return tuple(stabilizer("retrain", RECIPE).fit(PARTS.train, seed) for seed in (0, 1))


def slowly(scores: list[float], yesterday: list[int], tau: float, k: int) -> list[int]:
    """The definition, a place at a time."""
    left, result = set(range(len(scores))), []
    for place in range(k):
        best = min(left, key=lambda item: (-scores[item], item))
        waiting = [item for item in yesterday if item in left] if place < len(yesterday) else []
        defended = [item for item in waiting if scores[best] - scores[item] <= tau]
        result.append(defended[0] if defended else best)
        left.remove(result[-1])
    return result


@given(
    scores=st.lists(st.integers(-4, 4), min_size=6, max_size=6),
    yesterday=st.permutations(range(6)),
    depth=st.integers(1, 6),
    tau=st.integers(0, 9),
)
def test_merging_is_its_definition(scores: list[int], yesterday: list[int], depth: int, tau: int) -> None:
    best = np.lexsort((np.arange(6), -np.array(scores)))[None]
    found = merged_lists(np.float32([scores]), best, np.array([yesterday[:depth]]), tau)
    assert found[0].tolist() == slowly([float(s) for s in scores], yesterday[:depth], tau, 6)


@given(
    scores=st.lists(st.integers(-4, 4), min_size=6, max_size=6),
    yesterday=st.permutations([0, 1, 2, -1, 4, -1]),
    tau=st.integers(0, 9),
)
def test_places_of_no_item_are_skipped(scores: list[int], yesterday: list[int], tau: int) -> None:
    best = np.lexsort((np.arange(6), -np.array(scores)))[None]
    found = merged_lists(np.float32([scores]), best, np.array([yesterday]), tau)
    assert found[0].tolist() == slowly([float(s) for s in scores], yesterday, tau, 6)


@pytest.mark.parametrize(
    ("method", "side"),
    [("hysteresis:tau=0", 0), ("hysteresis:tau=1e9", 1), ("blending:alpha=0", 0), ("blending:alpha=1", 1)],
)
def test_the_ends_of_the_strength_are_the_two_models(models, method: str, side: int) -> None:
    served = stabilizer(method, RECIPE).served(*models)
    for k in (3, 20):
        found, expected = served.rank(TEST, k), models[side].rank(TEST, k)
        np.testing.assert_array_equal(found.items, expected.items)
        np.testing.assert_array_equal(found.target_ranks, expected.target_ranks)


@pytest.mark.parametrize("method", ["hysteresis:tau=0.3:depth=4", "hysteresis:tau=0.3", "blending:alpha=0.4"])
def test_lists_are_prefixes_and_ranks_are_places_in_the_whole_list(models, method: str) -> None:
    served = stabilizer(method, RECIPE).served(*models)
    whole = served.rank(TEST, 20)
    assert (np.sort(whole.items, 1) == np.arange(20)).all()
    np.testing.assert_array_equal(whole.items.argsort(1)[np.arange(len(TEST)), TEST.targets] + 1, whole.target_ranks)
    some = served.rank(TEST, 6)
    np.testing.assert_array_equal(some.items, whole.items[:, :6])
    np.testing.assert_array_equal(some.target_ranks, whole.target_ranks)
    np.testing.assert_array_equal(served.rank(TEST.subset(slice(0, 1)), 6).items, some.items[:1])


def test_stronger_policies_are_closer_to_the_incumbent(models) -> None:
    yesterday = models[1].rank(TEST, 10).items
    for name, values in (("hysteresis:tau", (0, 0.2, 1, 5)), ("blending:alpha", (0, 0.3, 0.6, 1))):
        kept = [
            (stabilizer(f"{name}={value}", RECIPE).served(*models).rank(TEST, 10).items == yesterday).mean()
            for value in values
        ]
        assert kept == sorted(kept), name
        assert kept[-1] == 1
        assert kept[0] < 0.9


@pytest.mark.parametrize("policy", ["hysteresis:tau=1e9", "hysteresis:tau=0.2", "blending:alpha=1", "blending:alpha=0"])
def test_items_that_the_incumbent_does_not_know(models, policy: str) -> None:
    before = split(markov_log(40, 17, 15, 0)).train
    incumbent = stabilizer("retrain", RECIPE).fit(before, 0)
    served = stabilizer(policy, RECIPE).served(models[0], incumbent)
    found, grown, new = (each.rank(TEST, 20).items for each in (served, served.incumbent, models[0]))
    old = np.array([[item for item in row if item < 17] for row in grown])
    assert (np.sort(found, 1) == np.arange(20)).all()
    if policy == "hysteresis:tau=1e9":
        np.testing.assert_array_equal(found[:, :17], old)
    if policy == "blending:alpha=0":
        np.testing.assert_array_equal(found, new)
    # Only today's model votes on a new item.
    if policy == "blending:alpha=1":
        np.testing.assert_array_equal(np.array([[item for item in row if item < 17] for row in found]), old)


TWICE = split(markov_log(users=40, items=20, length=30, seed=0)).held_out(50)
"""Two instances and more for every user."""


def test_lists_that_were_shown_once_age(models) -> None:
    served = stabilizer("hysteresis:tau=0.3", RECIPE).served(*models)
    assert set(np.bincount(TWICE.users)) == {3}
    aged = served.as_served(TWICE, 6)
    found, new = aged.rank(TWICE, 20), models[0].rank(TWICE, 20)
    shown: dict[int, list[int]] = {}
    for user, items in zip(TWICE.users, models[1].rank(TWICE, 6).items, strict=True):
        shown.setdefault(user, items.tolist())
    for at, user in enumerate(TWICE.users):
        scores = dict(zip(new.items[at].tolist(), new.scores[at].tolist(), strict=True))
        expected = slowly([scores[item] for item in range(20)], shown[user], 0.3, 20)
        assert found.items[at].tolist() == expected
        assert expected.index(TWICE.targets[at]) + 1 == found.target_ranks[at]
    # Another way to cut the instances changes nothing, and at a user's first instance nothing has aged.
    last = TWICE.subset(~TWICE.is_first)
    np.testing.assert_array_equal(aged.rank(last, 20).items, found.items[~TWICE.is_first])
    first = stabilizer("hysteresis:tau=0.3:depth=6", RECIPE).served(*models).rank(TWICE.subset(TWICE.is_first), 20)
    np.testing.assert_array_equal(first.items, found.items[TWICE.is_first])
    assert not np.array_equal(served.rank(TWICE, 20).items, found.items)


def test_lists_that_age_have_no_items_that_the_incumbent_does_not_know(models) -> None:
    incumbent = stabilizer("retrain", RECIPE).fit(split(markov_log(40, 17, 15, 0)).train, 0)
    served = stabilizer("hysteresis:tau=1e9", RECIPE).served(models[0], incumbent)
    assert (served.as_served(TWICE, 17).rank(TWICE, 17).items < 17).all()
    assert not (models[0].rank(TWICE, 17).items < 17).all()


def test_blending_asks_both_models(models) -> None:
    served = stabilizer("blending:alpha=0.4", RECIPE).served(*models)
    assert served.as_served(TWICE, 6) is served


def test_kept_lists_are_aligned_by_ids(models) -> None:
    """Against the policy of audits, whose yesterday is what the incumbent ranks at the same instances."""
    hysteresis = stabilizer("hysteresis:tau=0.3:depth=6", RECIPE)
    some = TEST.subset(np.unique(TEST.users, return_index=True)[1])
    expected = hysteresis.served(*models).rank(some, 8)
    users, items = (pl.Series(prefix, [f"{prefix}{n:02}" for n in range(40)]) for prefix in "ui")
    yesterday = models[1].rank(some, 9).items
    lists = pl.DataFrame(
        [
            (users[int(user)], items[int(item)], place)
            for user, row in zip(some.users, yesterday, strict=True)
            for place, item in enumerate(row, 1)
        ],
        schema=["user_id", "item_id", "rank"],
        orient="row",
    ).sample(fraction=1, shuffle=True, seed=0)
    placement = KeptLists(lists, hysteresis.options).placement(users.gather(some.users), items.head(20))
    found = rank(models[0].model, some, 8, placement=placement)
    np.testing.assert_array_equal(found.items, expected.items)
    np.testing.assert_array_equal(found.scores, expected.scores)
    # A user may be asked for twice.
    twice = KeptLists(lists, hysteresis.options).placement(users.gather(np.repeat(some.users, 2)), items.head(20))
    again = rank(models[0].model, some.subset(np.repeat(np.arange(len(some)), 2)), 8, placement=twice)
    np.testing.assert_array_equal(again.items, np.repeat(expected.items, 2, axis=0))


def test_nobody_was_shown_anything(models) -> None:
    none = pl.DataFrame(schema={"user_id": pl.String, "item_id": pl.String, "rank": pl.Int32})
    kept = KeptLists(none, stabilizer("hysteresis", RECIPE).options)
    users = pl.Series([str(user) for user in TEST.users])
    found = rank(models[0].model, TEST, 5, placement=kept.placement(users, pl.Series([str(i) for i in range(20)])))
    np.testing.assert_array_equal(found.items, models[0].rank(TEST, 5).items)


def test_a_policy_trains_the_model_that_it_serves(models) -> None:
    incumbent = models[0]
    for over in ("retrain", "warm_start"):
        new = stabilizer(over, RECIPE).fit(PARTS.train, 1, incumbent)
        found = stabilizer(f"blending:over={over}", RECIPE).fit(PARTS.train, 1, incumbent).rank(TEST, 5)
        served = stabilizer("blending", RECIPE).served(new, incumbent)
        np.testing.assert_array_equal(found.items, served.rank(TEST, 5).items)


def test_what_cannot_be_is_told(models) -> None:
    with pytest.raises(OptionError, match=r"hysteresis:tau=-1.*tau is '-1'"):
        stabilizer("hysteresis:tau=-1", RECIPE)
    with pytest.raises(OptionError, match=r"unknown option tav \(did you mean tau"):
        stabilizer("hysteresis:tav=1", RECIPE)
    with pytest.raises(OptionError, match=r"^unknown method 'histeresis'; known are retrain"):
        stabilizer("histeresis", RECIPE)
    for method in ("finest:weight", "finest:=3", "finest:weight="):
        with pytest.raises(OptionError, match="expected option=value"):
            stabilizer(method, RECIPE)
    with pytest.raises(OptionError, match="names tau twice"):
        stabilizer("hysteresis:tau=1:tau=2", RECIPE)
    with pytest.raises(OptionError, match="starts from a trained model"):
        stabilizer("blending", RECIPE).fit(PARTS.train, 0)
    with pytest.raises(UnsupportedError, match="ListOfMine"):
        stabilizer("blending", RECIPE).fit(PARTS.train, 0, type("ListOfMine", (), {})())
    served = stabilizer("blending", RECIPE).served(*models)
    with pytest.raises(OptionError, match="k is 0"):
        served.rank(TEST, 0)
    smaller = stabilizer("retrain", RECIPE).fit(split(markov_log(40, 19, 15, 0)).train, 0)
    with pytest.raises(OptionError, match="19 items and the incumbent 20"):
        stabilizer("blending", RECIPE).served(smaller, models[0])


def test_options_of_finest_stand_above_the_recipe() -> None:
    strategy = stabilizer("finest:weight=10:kinds=delete+insert", replace(RECIPE))
    options = strategy.recipe.finest
    assert (options.weight, options.kinds, options.k) == (10, ("delete", "insert"), 5)
