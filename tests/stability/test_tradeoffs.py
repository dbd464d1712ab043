"""Methods beside one another, against plain loops over simulated tables."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from simulated import SPEC, Tables, row, table

from finestrec.errors import DataError
from finestrec.measures.accuracy import ndcg
from finestrec.stability.frontier import hypervolume
from finestrec.stability.results import StabilityAudit
from finestrec.stability.rows import AuditRow
from finestrec.stability.tradeoffs import OVERLAP, Line, Panel, Tradeoffs
from finestrec.stabilizers import Recipe

NIGHT = "append:cut:1"
WEAK, STRONG = "finest:weight=1", "finest:weight=10"
CHANGES: Mapping[str, float] = {"retrain": 0.5, "warm_start": 0.45, WEAK: 0.3, STRONG: 0.1}


def gaining(values: pl.DataFrame, shift: int) -> pl.DataFrame:
    """Targets so many ranks nearer the top than before."""
    return values.with_columns((pl.col("old_rank") - shift).clip(lower_bound=1).cast(pl.Int32).alias("new_rank"))


@pytest.fixture(scope="module")
def tables() -> Tables:
    return {}


@pytest.fixture(scope="module")
def audit(tables: Tables) -> StabilityAudit:
    rows: list[AuditRow] = []
    for seed in (0, 1):
        for number, (method, change) in enumerate(CHANGES.items()):
            values = table(10 * number + seed, change, erased=True)
            rows.append(row(method, seed, values, tables))
            night = gaining(
                table(10 * number + seed, change), {"retrain": 4, "warm_start": 4, WEAK: 2, STRONG: 0}[method]
            )
            rows.append(row(method, seed, night, tables, perturbation=NIGHT))
        alike = table(90 + seed, 0.3)
        rows += [row(method, seed, alike, tables, regime="unanchored") for method in ("retrain", "warm_start", WEAK)]
    rows += [row("retrain", s, table(60 + s, 0.9), tables, other_seed=1 - s) for s in (0, 1)]
    rows.append(row("other_seed", 0, table(50, 0.9), tables, regime="floor", perturbation=None, other_seed=1))
    return StabilityAudit.of(rows, lambda each: tables[each.comparison])


@pytest.fixture(scope="module")
def found(audit: StabilityAudit, tables: Tables, small_recipe: Recipe) -> Tradeoffs:
    return Tradeoffs.of(audit, lambda each: tables[each.comparison], small_recipe)


def panel(found: Tradeoffs, regime: str = "anchored-update", perturbation: str = SPEC) -> Panel:
    [one] = [each for each in found.panels if (each.regime, each.perturbation) == (regime, perturbation)]
    return one


def line(of: Panel, method: str) -> Line:
    return next(each for each in of.lines if each.method == method)


def instances(tables: Tables, method: str, perturbation: str = SPEC) -> dict[str, NDArray[np.float64]]:
    """Of both seeds, without erased users: overlap, and NDCG@10 of both sides."""
    kept = pl.concat(
        [
            tables[f"anchored-update.{method}.{seed}.None.{perturbation}"].filter(pl.col("touch") != "erased")
            for seed in (0, 1)
        ]
    )
    sides = {side: ndcg(kept[f"{side}_rank"].to_numpy(), 10) for side in ("old", "new")}
    return {"overlap": kept[OVERLAP].to_numpy(), **sides, "users": kept["user_id"].to_numpy()}


def test_a_panel_is_a_regime_and_a_perturbation_with_the_methods_it_has(found: Tradeoffs) -> None:
    assert [(each.regime, each.perturbation, [one.method for one in each.lines]) for each in found.panels] == [
        ("anchored-update", SPEC, [*CHANGES]),
        ("anchored-update", NIGHT, [*CHANGES]),
        ("unanchored", SPEC, ["retrain", "warm_start", WEAK]),
    ]
    assert (found.data, found.model, found.sweeps) == ("d", "m", [])


def test_measures_are_the_findings_and_changes_are_the_paired_differences(
    found: Tradeoffs, audit: StabilityAudit
) -> None:
    for of in found.panels:
        for each in of.lines:
            key = (of.regime, each.method, of.perturbation)
            [finding] = [f for f in audit.findings if (f.regime, f.method, f.perturbation) == key]
            for name, value in each.measures.items():
                assert value == {"mean": finding.measures[name], **finding.intervals[name]}
                ranges = each.seeds[name]
                assert ranges["lower"] <= value["mean"] <= ranges["upper"]
            if each.method == "retrain":
                assert each.ndcg_change == {"mean": 0, "lower": 0, "upper": 0}
                continue
            [beside] = [
                d for d in audit.differences if (d.regime, d.method, d.perturbation, d.baseline) == (*key, "retrain")
            ]
            assert each.ndcg_change == pytest.approx(beside.ndcg_change)


def test_a_baseline_is_what_each_is_compared_with_by_pairs(
    audit: StabilityAudit, tables: Tables, small_recipe: Recipe
) -> None:
    def against(baseline: str) -> Tradeoffs:
        return Tradeoffs.of(audit, lambda each: tables[each.comparison], small_recipe, baseline)

    # The regime unanchored has no STRONG.
    assert all(each.against is None for each in panel(against(STRONG), "unanchored").lines)
    of = panel(against("warm_start"))
    assert of.baseline == "warm_start"
    assert line(of, "warm_start").against is None
    for method in (WEAK, STRONG):
        found = line(of, method).against
        assert found is not None
        [beside] = [
            d
            for d in audit.differences
            if (d.regime, d.method, d.perturbation, d.baseline) == (of.regime, method, SPEC, "warm_start")
        ]
        assert found[OVERLAP] == pytest.approx({key: beside.measures[OVERLAP][key] for key in found[OVERLAP]})
        assert found["NDCG@10"] == pytest.approx(beside.ndcg_change)


def test_the_front_and_the_hypervolume_are_of_the_means(found: Tradeoffs, tables: Tables) -> None:
    of = panel(found)
    means = {m: (v["new"].mean(), v["overlap"].mean()) for m in CHANGES for v in [instances(tables, m)]}
    for method, (x, y) in means.items():
        dominated = any(a >= x and b >= y and (a > x or b > y) for a, b in means.values())
        assert line(of, method).on_front is not dominated
    base, kept = means["retrain"]
    points = np.array([(means[m][0] / base, means[m][1]) for m in (WEAK, STRONG)])
    assert of.hypervolumes is not None
    assert list(of.hypervolumes) == ["retrain", "warm_start", "finest"]
    expected = hypervolume(points, np.array([0.95, 0]))
    assert of.hypervolumes["finest"]["mean"] == pytest.approx(float(expected)) != 0
    # Retraining's accuracy is 1 in every resample: a rectangle as wide as what it lies above the least.
    assert of.hypervolumes["retrain"]["mean"] == pytest.approx(0.05 * kept)


def test_who_is_beaten_is_so_in_users_that_are_drawn_anew(found: Tradeoffs, tables: Tables) -> None:
    """The rule itself, with a bootstrap of its own; no margin of these tables is near."""
    rng = np.random.default_rng(5)
    values = {method: instances(tables, method) for method in CHANGES}
    users = np.unique(values["retrain"]["users"])
    member = {user: np.flatnonzero(values["retrain"]["users"] == user) for user in users}
    draws = [np.concatenate([member[user] for user in rng.choice(users, len(users))]) for _ in range(400)]
    for worse in CHANGES:
        beaten = []
        for better in CHANGES:
            more = [values[better]["overlap"][at].mean() - values[worse]["overlap"][at].mean() for at in draws]
            change = [values[better]["new"][at].mean() / values[worse]["new"][at].mean() - 1 for at in draws]
            if np.quantile(more, 0.025) > 0 and np.quantile(change, 0.025) > -0.01:
                beaten.append(better)
        assert line(panel(found), worse).beaten_by == beaten
    assert line(panel(found, "unanchored"), "retrain").beaten_by == []


def test_a_kept_gain_is_a_share_of_what_retraining_gains(found: Tradeoffs, tables: Tables) -> None:
    of = panel(found, perturbation=NIGHT)
    old = instances(tables, "retrain", NIGHT)["old"].mean()
    gain = instances(tables, "retrain", NIGHT)["new"].mean() - old
    assert of.gain is not None
    assert of.gain["mean"] == pytest.approx(gain / old)
    assert of.gain["lower"] > 0
    assert of.gain_note is None
    for method in CHANGES:
        kept = line(of, method).kept_gain
        assert kept is not None
        assert kept["mean"] == pytest.approx((instances(tables, method, NIGHT)["new"].mean() - old) / gain)
    assert line(of, "warm_start").kept_gain == pytest.approx({"mean": 1, "lower": 1, "upper": 1})
    assert line(of, STRONG).kept_gain == pytest.approx({"mean": 0, "lower": 0, "upper": 0})
    half = line(of, WEAK).kept_gain
    assert half is not None
    assert 0 < half["lower"] < half["mean"] < half["upper"] < 1


def test_without_a_gain_there_is_no_share(tables: Tables, small_recipe: Recipe) -> None:
    own: Tables = {}
    rows = [row(method, 0, gaining(table(0, 0.2), 0), own, perturbation=NIGHT) for method in ("retrain", "warm_start")]
    load = lambda each: own[each.comparison]  # noqa: E731
    [of] = Tradeoffs.of(StabilityAudit.of(rows, load), load, small_recipe).panels
    assert of.gain == {"mean": 0, "lower": 0, "upper": 0}
    assert of.gain_note is not None
    assert "not shown to gain" in of.gain_note
    assert line(of, "warm_start").kept_gain is None


def test_plasticity_is_of_nights_in_anchored_update_only(found: Tradeoffs) -> None:
    for of in (panel(found), panel(found, "unanchored")):
        assert of.gain is None
        assert of.gain_note == "plasticity is of a night (append) in the regime anchored-update"
        assert all(each.kept_gain is None for each in of.lines)


def test_cost_is_relative_to_warm_start(tables: Tables, small_recipe: Recipe) -> None:
    own: Tables = {}
    rows = [
        replace(row(method, 0, table(0, 0.2), own), seconds=seconds, peak_memory=memory)
        for method, seconds, memory in (("retrain", 6.0, 900), ("warm_start", 2.0, 600), ("finest", 3.0, 1200))
    ]
    load = lambda each: own[each.comparison]  # noqa: E731
    for kept, ratios in ((rows, [(3, 1.5), (1, 1), (1.5, 2)]), ([rows[0], rows[2]], [(None, None)] * 2)):
        [of] = Tradeoffs.of(StabilityAudit.of(kept, load), load, small_recipe).panels
        assert [(each.seconds_ratio, each.memory_ratio) for each in of.lines] == ratios


def test_a_method_that_was_judged_on_other_instances_is_refused(small_recipe: Recipe) -> None:
    own: Tables = {}
    rows = [row("retrain", 0, table(0, 0.2), own)]
    rows.append(
        row("warm_start", 0, table(0, 0.2).with_columns(pl.col("interaction_id") + 1), own, regime="unanchored")
    )
    load = lambda each: own[each.comparison]  # noqa: E731
    audit = StabilityAudit.of(rows, load)
    mixed = replace(
        audit,
        rows=[replace(each, regime="anchored-update") for each in rows],
        findings=[replace(each, regime="anchored-update") for each in audit.findings],
    )
    with pytest.raises(DataError, match="warm_start was judged on other test instances than retrain"):
        Tradeoffs.of(mixed, load, small_recipe)


def test_it_is_read_back_from_json(found: Tradeoffs) -> None:
    document: Any = json.loads(json.dumps(asdict(found), allow_nan=False))
    assert Tradeoffs.from_json(document) == found
