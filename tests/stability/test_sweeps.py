"""What differs in one setting only."""

import pytest

from finestrec.stability.sweeps import Sweep, family, method_sweeps, perturbation_sweeps, scheme, strength_of, sweeps
from finestrec.stabilizers import Recipe


def test_a_default_is_a_value_and_two_differences_are_no_sweep(small_recipe: Recipe) -> None:
    methods = ["retrain", "warm_start", "finest:weight=10", "finest", "finest:weight=1:k=5", "finest:k=5"]
    found = method_sweeps(methods, small_recipe)
    assert sorted(found, key=lambda each: (each.option, each.values)) == [
        Sweep("k", ["finest:k=5", "finest"], [5, 10]),
        Sweep("weight", ["finest:weight=1:k=5", "finest:k=5"], [1.0, 3.0]),
        Sweep("weight", ["finest", "finest:weight=10"], [3.0, 10.0]),
    ]


def test_words_keep_their_order_and_equal_members_are_no_sweep(small_recipe: Recipe) -> None:
    methods = ["hysteresis:over=warm_start", "hysteresis", "hysteresis:tau=1", "finest", "finest:weight=3"]
    [over] = method_sweeps(methods, small_recipe)
    assert (over.option, over.values) == ("over", ["warm_start", "retrain", "retrain"])


def test_perturbations_differ_in_kind_selector_amount_or_item() -> None:
    specs = ["delete:random:0.001", "insert:random:0.001", "delete:latest:0.1%", "delete:random:1%", "delete:random:9"]
    specs += ["insert:random:0.001:item=popular", "append:cut:1", "append:cut:7"]
    found = {(each.option, *each.members): each.values for each in perturbation_sweeps(specs)}
    assert found == {
        ("kind", "delete:random:0.001", "insert:random:0.001"): ["delete", "insert"],
        ("selector", "delete:random:0.001", "delete:latest:0.1%"): ["random", "latest"],
        ("amount", "delete:random:0.001", "delete:random:1%"): [0.001, 0.01],
        ("item", "insert:random:0.001", "insert:random:0.001:item=popular"): ["random", "most_popular"],
        ("amount", "append:cut:1", "append:cut:7"): [1, 7],
    }


def test_a_setting_that_some_lack_parts_them() -> None:
    assert sweeps({"a": {"x": 1}, "b": {"x": 2, "y": 1}}) == []


@pytest.mark.parametrize(
    ("method", "of", "strength"),
    [
        ("warm_start", "warm_start", None),
        ("finest", "finest", 3.0),
        ("finest:k=5:weight=1", "finest:k=5", 1.0),
        ("hysteresis:over=warm_start:tau=2", "hysteresis:over=warm_start", 2.0),
    ],
)
def test_the_strengths_of_a_method_are_one_family(
    small_recipe: Recipe, method: str, of: str, strength: float | None
) -> None:
    assert family(method) == scheme(method) == of
    assert family(f"{method}:alpha=0.2") == f"{of}:alpha=0.2"
    assert scheme(f"{method}:alpha=0.2") == (of if method.startswith("finest") else f"{of}:alpha=0.2")
    assert strength_of(method, small_recipe) == strength
