"""The plan: each training once, after what it needs, and what is missing when some of it is done."""

from itertools import product
from typing import Any

import pytest

from finestrec.perturbation.spec import Perturbation
from finestrec.stability.plan import Comparison, Plan, PlannedMethod, Training, plan

ONE, TWO = Perturbation.parse("delete:random:0.1%"), Perturbation.parse("insert:random:3:item=popular")
NIGHT = Perturbation.parse("append:cut:7")
METHODS = {
    "retrain": PlannedMethod("cold"),
    "warm_start": PlannedMethod("tuned"),
    "finest": PlannedMethod("tuned", preserves=True),
}
REGIMES: Any = ("anchored-update", "authors-protocol", "unanchored")


def trainings(of: Plan) -> dict[str, Training]:
    return {key: work for key, work in of.works.items() if isinstance(work, Training)}


def test_one_seed_one_perturbation_in_every_regime_is_what_the_method_says() -> None:
    found = plan([ONE], METHODS, REGIMES, [0], floors=True)
    # METHOD, sections 3 and 4, by hand.
    assert {key: set(work.needs) for key, work in trainings(found).items()} == {
        "retrain.D.seed0": set(),
        "retrain.D.seed0.again": set(),
        "retrain.D.seed1": set(),
        "retrain.delete-random-0.1pct.seed0": set(),
        "retrain.delete-random-0.1pct.seed1": set(),
        "warm_start.D.seed0": {"retrain.D.seed0"},
        "warm_start.delete-random-0.1pct.seed0": {"retrain.D.seed0"},
        "finest.D.seed0": {"retrain.D.seed0"},
        "finest.delete-random-0.1pct.seed0": {"retrain.D.seed0"},
        "continue.D.seed0": {"retrain.D.seed0"},
        "continue.delete-random-0.1pct.seed0": {"retrain.delete-random-0.1pct.seed0"},
        "finest.delete-random-0.1pct.seed0.follow": {"retrain.delete-random-0.1pct.seed0", "retrain.D.seed0"},
        "warm_start.delete-random-0.1pct.seed0.own": {"retrain.delete-random-0.1pct.seed0"},
        "finest.delete-random-0.1pct.seed0.own": {"retrain.delete-random-0.1pct.seed0"},
    }


@pytest.mark.parametrize("floors", [True, False])
def test_everything_comes_after_what_it_needs_and_each_training_once(floors: bool) -> None:
    found = plan([ONE, TWO], METHODS, REGIMES, [3, 7, 8], floors=floors)
    place = {key: number for number, key in enumerate(found.works)}
    for key, work in found.works.items():
        assert all(place[need] < place[key] for need in work.needs)
        assert work.key == key
    # A second perturbation and more seeds share what does not depend on them.
    described = [(t.method, t.perturbation, t.seed, t.repeat) for t in trainings(found).values()]
    assert len(set(described)) == len(described)
    for method, seed in product(("retrain", "warm_start", "finest", "continue"), (3, 7, 8)):
        assert sum(t[:3] == (method, None, seed) and not t[3] for t in described) == 1
    # D' is always drawn by the seed of the run on it, and compared with D of the seed of the reference side.
    for work in found.works.values():
        if isinstance(work, Comparison) and work.other_seed is not None:
            assert found.training(work.old).seed == work.seed
            assert found.training(work.new).seed == work.other_seed


def test_a_second_perturbation_trains_no_base_again() -> None:
    alone, both = (trainings(plan(p, METHODS, REGIMES, [0], floors=True)) for p in ([ONE], [ONE, TWO]))
    assert {t.perturbation for key, t in both.items() if key not in alone} == {TWO}


def test_what_is_missing_is_what_is_not_done_and_what_that_needs() -> None:
    whole = plan([ONE], METHODS, REGIMES[:1], [0], floors=False)
    assert whole.missing(()) == list(whole.works)
    assert whole.missing(whole.works.keys()) == []
    rows = {c.key for c in whole.comparisons}
    assert whole.missing(rows) == []  # nobody asks for the trainings any more
    last = next(c for c in whole.comparisons if c.method == "finest" and c.perturbation)
    assert whole.missing(rows - {last.key}) == ["retrain.D.seed0", last.new, last.key]
    assert whole.missing(whole.works.keys() - {last.key}) == [last.key]


def test_dependents_are_found_through_others() -> None:
    whole = plan([ONE], METHODS, REGIMES, [0], floors=False)
    found = whole.dependents("retrain.delete-random-0.1pct.seed0")
    assert "continue.delete-random-0.1pct.seed0" in found
    assert "finest.delete-random-0.1pct.seed0.own" in found
    assert sum(key.startswith("row.unanchored") and key.endswith(".own") for key in found) == 2
    assert not any(key.endswith(("warm_start.D.seed0", "finest.D.seed0")) for key in found)


def test_a_night_ends_where_the_others_begin() -> None:
    found = plan([ONE, NIGHT], METHODS, REGIMES, [0], floors=True)
    alone = plan([ONE], METHODS, REGIMES, [0], floors=True)
    more = {key: set(work.needs) for key, work in trainings(found).items() if key not in alone.works}
    # D is the log before the night, so what is trained on D' of the others' D is shared.
    assert more == {
        "retrain.append-cut-7.seed0": set(),
        "warm_start.D.seed0.after-append-cut-7": {"retrain.append-cut-7.seed0"},
        "finest.D.seed0.after-append-cut-7": {"retrain.append-cut-7.seed0"},
        "continue.append-cut-7.seed0": {"retrain.append-cut-7.seed0"},
        "finest.append-cut-7.seed0": {"retrain.append-cut-7.seed0"},
        "warm_start.append-cut-7.seed0": {"retrain.append-cut-7.seed0"},
        "finest.D.seed0.follow.after-append-cut-7": {"retrain.D.seed0", "retrain.append-cut-7.seed0"},
        "warm_start.D.seed0.own": {"retrain.D.seed0"},
        "finest.D.seed0.own": {"retrain.D.seed0"},
    }
    night = {(c.regime, c.method, c.other_seed): (c.old, c.new) for c in found.comparisons if c.perturbation is NIGHT}
    assert night == {
        ("anchored-update", "retrain", 1): ("retrain.append-cut-7.seed0", "retrain.D.seed1"),
        ("anchored-update", "retrain", None): ("retrain.append-cut-7.seed0", "retrain.D.seed0"),
        ("anchored-update", "warm_start", None): (
            "retrain.append-cut-7.seed0",
            "warm_start.D.seed0.after-append-cut-7",
        ),
        ("anchored-update", "finest", None): ("retrain.append-cut-7.seed0", "finest.D.seed0.after-append-cut-7"),
        ("authors-protocol", "retrain", None): ("continue.append-cut-7.seed0", "continue.D.seed0"),
        ("authors-protocol", "finest", None): (
            "finest.append-cut-7.seed0",
            "finest.D.seed0.follow.after-append-cut-7",
        ),
        ("unanchored", "retrain", None): ("continue.append-cut-7.seed0", "continue.D.seed0"),
        ("unanchored", "warm_start", None): ("warm_start.append-cut-7.seed0", "warm_start.D.seed0.own"),
        ("unanchored", "finest", None): ("finest.append-cut-7.seed0", "finest.D.seed0.own"),
    }
    two = plan([NIGHT, Perturbation.parse("append:cut:8")], METHODS, REGIMES, [0], floors=False)
    keys = [comparison.key for comparison in two.comparisons]
    assert len(set(keys)) == len(keys)


def test_each_log_has_a_name_of_its_own() -> None:
    specs = ["delete:user:3", "delete:user:3%", "insert:user:3", "insert:user:3:item=popular", "append:cut:3"]
    names = {Training("retrain", Perturbation.parse(spec), 0).key for spec in specs}
    assert len(names) == len(specs)


def test_a_policy_serves_what_is_trained_anyway_and_a_cold_method_stands_alone() -> None:
    methods = {
        **METHODS,
        "bagging": PlannedMethod("cold"),
        "hysteresis:tau=1": PlannedMethod("served", over="retrain"),
        "blending:over=warm_start": PlannedMethod("served", over="warm_start"),
    }
    found = plan([ONE], methods, REGIMES, [0], floors=False)
    alone = plan([ONE], METHODS, REGIMES, [0], floors=False)
    log = "delete-random-0.1pct.seed0"
    assert {key: set(work.needs) for key, work in trainings(found).items() if key not in alone.works} == {
        "bagging.D.seed0": set(),
        f"bagging.{log}": set(),
        "bagging.D.seed0.long": set(),
        f"bagging.{log}.long": set(),
        "hysteresis-tau=1.D.seed0": {"retrain.D.seed0"},
        f"hysteresis-tau=1.{log}": {"retrain.D.seed0", f"retrain.{log}"},
        "blending-over=warm_start.D.seed0": {"retrain.D.seed0", "warm_start.D.seed0"},
        f"blending-over=warm_start.{log}": {"retrain.D.seed0", f"warm_start.{log}"},
    }
    pairs = {(c.regime, c.method): (c.old, c.new) for c in found.comparisons if c.perturbation}
    assert pairs["anchored-update", "bagging"] == ("retrain.D.seed0", f"bagging.{log}")
    assert pairs["unanchored", "bagging"] == ("bagging.D.seed0.long", f"bagging.{log}.long")
    # A policy needs an incumbent, and authors-protocol something that is preserved.
    assert {regime for regime, method in pairs if method.startswith(("hysteresis", "blending"))} == {"anchored-update"}
    assert {method for regime, method in pairs if regime == "authors-protocol"} == {"retrain", "finest"}


def test_without_d_in_place_of_its_perturbation_only_the_perturbed_log_is_trained_on() -> None:
    found = plan([ONE], METHODS, ["anchored-update"], [0], floors=False, unchanged=False)
    assert set(trainings(found)) == {"retrain.D.seed0"} | {f"{method}.delete-random-0.1pct.seed0" for method in METHODS}
    assert [each.perturbation for each in found.comparisons] == [ONE] * 3


def test_one_training_is_planned_for_strengths_that_act_after_it() -> None:
    methods = {
        **METHODS,
        "gaps:alpha=0": PlannedMethod("tuned", preserves=True),
        "gaps:alpha=0.5": PlannedMethod("tuned", preserves=True, trained_as="gaps:alpha=0"),
        "interpolation": PlannedMethod("tuned", preserves=True, trained_as="warm_start"),
    }
    found = trainings(plan([ONE], methods, REGIMES, [0], floors=False))
    log = "delete-random-0.1pct.seed0"
    for end in (log, "D.seed0", f"{log}.own", f"{log}.follow"):
        assert found[f"gaps-alpha=0.5.{end}"].shared == f"gaps-alpha=0.{end}"
        assert found[f"gaps-alpha=0.{end}"].shared is None
        assert found[f"interpolation.{end}"].shared == f"warm_start.{end}"


def test_nothing_is_trained_for_a_regime_that_says_nothing_about_a_method() -> None:
    methods = {
        "retrain": PlannedMethod("cold"),
        "bagging": PlannedMethod("cold"),
        "hysteresis": PlannedMethod("served", over="retrain"),
        "warm_start": PlannedMethod("tuned"),
    }
    found = plan([ONE], methods, ["authors-protocol"], [0], floors=False)
    assert {training.method for training in trainings(found).values()} == {"retrain", "continue"}


def test_what_a_regime_does_not_define_is_known() -> None:
    methods = {**METHODS, "hysteresis": PlannedMethod("served", over="retrain"), "bagging": PlannedMethod("cold")}
    found = plan([ONE], methods, REGIMES, [0], floors=False)
    assert {regime: found.says_nothing_of(methods, regime) for regime in REGIMES} == {
        "anchored-update": [],
        "authors-protocol": ["warm_start", "hysteresis", "bagging"],
        "unanchored": ["hysteresis"],
    }
