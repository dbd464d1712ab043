"""Rows taken together, against plain loops over simulated tables; laws of the words' numbers."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats
from simulated import SPEC, N, Tables, row, table

from finestrec.errors import DataError
from finestrec.measures.accuracy import ndcg
from finestrec.stability.differences import differences, excess_over_seed_noise
from finestrec.stability.findings import grouped
from finestrec.stability.instances import SIMILARITIES, headline, row_values, user_table
from finestrec.stability.results import StabilityAudit
from finestrec.stability.rows import AuditRow
from finestrec.stability.words import of_ten


@pytest.fixture(scope="module")
def tables() -> Tables:
    return {}


@pytest.fixture(scope="module")
def rows(tables: Tables) -> list[AuditRow]:
    found = [row("other_seed", 0, table(50, 0.9), tables, regime="floor", perturbation=None, other_seed=1)]
    found += [row("retrain", s, table(60 + s, 0.95, erased=True), tables, other_seed=1 - s) for s in (0, 1)]
    for seed in (0, 1):
        found += [
            row("retrain", seed, table(seed, 0.5, erased=True), tables),
            row("warm_start", seed, table(10 + seed, 0.45, erased=True), tables),
            row("finest", seed, table(20 + seed, 0.2, erased=True), tables),
            row("retrain", seed, table(30 + seed, 0.4, erased=True), tables, regime="authors-protocol"),
            row("finest", seed, table(40 + seed, 0.1, erased=True), tables, regime="authors-protocol"),
        ]
    return found


@pytest.fixture(scope="module")
def load(tables: Tables) -> Callable[[AuditRow], pl.DataFrame]:
    return lambda row: tables[row.comparison]


@pytest.fixture(scope="module")
def whole(rows: list[AuditRow], load: Any) -> StabilityAudit:
    return StabilityAudit.of(rows, load)


def lines_of(rows: list[AuditRow], tables: Tables, method: str) -> list[dict[str, Any]]:
    """The lines of the coupled rows of a method in anchored-update, of all users."""
    return [
        line
        for r in rows
        if (r.regime, r.method, r.other_seed) == ("anchored-update", method, None)
        for line in tables[r.comparison].to_dicts()
    ]


def found(whole: StabilityAudit, method: str, regime: str = "anchored-update") -> Any:
    return next(each for each in whole.findings if (each.regime, each.method) == (regime, method))


def test_a_row_leaves_erased_users_out_of_everything() -> None:
    values = row_values(table(0, 0.5, erased=True))
    kept = [line for line in table(0, 0.5).to_dicts() if line["user_id"] not in ("u3", "u4")]
    assert values["n_instances"] == len(kept)
    assert values["n_users"] == len({line["user_id"] for line in kept})
    assert values["measures"]["Jaccard@10"] == pytest.approx(np.mean([line["Jaccard@10"] for line in kept]))
    old, new = (ndcg(np.array([line[f"{side}_rank"] for line in kept]), 10).mean() for side in ("old", "new"))
    assert values["reference_accuracy"]["NDCG@10"] == pytest.approx(old)
    assert values["accuracy"]["NDCG@10"] == pytest.approx(new)
    assert values["ndcg_change"]["mean"] == pytest.approx(new / old - 1)
    for name, bounds in values["intervals"].items():
        mean = {**values["measures"], **values["accuracy"]}[name]
        assert bounds["lower"] < mean < bounds["upper"]


def test_deciles_are_of_users_means() -> None:
    lines = table(0, 0.5).to_dicts()
    means = [
        np.mean([line["Jaccard@10"] for line in lines if line["user_id"] == user])
        for user in {line["user_id"] for line in lines}
    ]
    deciles = row_values(table(0, 0.5))["quantiles"]["Jaccard@10"]
    assert list(deciles) == [f"p{at}" for at in range(10, 100, 10)]
    assert deciles["p50"] == pytest.approx(np.median(means))
    assert deciles["p90"] == pytest.approx(np.quantile(means, 0.9))


def test_identical_lists_have_no_change_and_no_width() -> None:
    values = row_values(table(0, 0.0))
    assert set(values["measures"].values()) == {0.0, 1.0}
    for name in SIMILARITIES:
        bounds = values["intervals"][name]
        assert bounds["lower"] == bounds["upper"] == values["measures"][name]
    assert values["ndcg_change"] == {"mean": 0.0, "lower": 0.0, "upper": 0.0}


def test_other_names_for_users_change_no_row() -> None:
    renamed = table(0, 0.5).with_columns((pl.lit("z") + pl.col("user_id").str.reverse()).alias("user_id"))
    assert renamed["user_id"].sort()[0] != table(0, 0.5)["user_id"].sort()[0]
    assert row_values(renamed) == row_values(table(0, 0.5))


def test_a_finding_pools_its_seeds(whole: StabilityAudit, rows: list[AuditRow], tables: Tables) -> None:
    lines = [line for line in lines_of(rows, tables, "finest") if line["touch"] != "erased"]
    each = found(whole, "finest")
    assert each.seeds == 2
    assert each.measures["FRBO(p=0.9)@10"] == pytest.approx(np.mean([line["FRBO(p=0.9)@10"] for line in lines]))
    one = [r.intervals["Jaccard@10"] for r in rows if (r.regime, r.method) == ("anchored-update", "finest")]
    pooled = each.intervals["Jaccard@10"]
    assert pooled["lower"] < each.measures["Jaccard@10"] < pooled["upper"]
    # Two seeds say little about a third one.
    assert pooled["upper"] - pooled["lower"] > max(bounds["upper"] - bounds["lower"] for bounds in one) / 2
    assert 0 <= pooled["lower"] <= pooled["upper"] <= 1


def test_slices_are_means_over_their_lines(whole: StabilityAudit, rows: list[AuditRow], tables: Tables) -> None:
    here = (pl.col("regime") == "anchored-update") & (pl.col("method") == "retrain")
    slices = whole.tables["slices"].filter(here & (pl.col("measure") == "Turnover@10"))
    assert set(slices["slice"]) == {"half", "touch"}
    lines = lines_of(rows, tables, "retrain")
    for each in slices.to_dicts():
        # Erased users are a group of their own and in no other.
        inside = [line for line in lines if line[each["slice"]] == each["group"]]
        inside = [line for line in inside if (line["touch"] == "erased") == (each["group"] == "erased")]
        assert each["instances"] == len(inside)
        assert each["users"] == len({line["user_id"] for line in inside})
        assert each["mean"] == pytest.approx(np.mean([line["Turnover@10"] for line in inside]))
        assert each["lower"] <= each["mean"] <= each["upper"]


def test_erased_users_stand_apart(whole: StabilityAudit) -> None:
    touch = found(whole, "retrain").touch
    assert set(touch) == {"untouched", "touched", "erased"}
    assert touch["erased"]["users"] == 2
    assert "u3" not in whole.tables["users"].filter(pl.col("perturbation") == SPEC)["user_id"]
    assert "u3" in whole.tables["users"].filter(pl.col("regime") == "floor")["user_id"]


def test_badly_served_users_are_found_unstable(whole: StabilityAudit, rows: list[AuditRow], tables: Tables) -> None:
    kept = [
        headline(tables[r.comparison])
        for r in rows
        if (r.regime, r.method, r.other_seed) == ("anchored-update", "retrain", None)
    ]
    both = pl.concat(kept).to_dicts()
    users = sorted({line["user_id"] for line in both})
    mrr = [np.mean([1 / line["old_rank"] for line in both if line["user_id"] == user]) for user in users]
    rbo = [np.mean([line["RBO(p=0.9)"] for line in both if line["user_id"] == user]) for user in users]
    served = found(whole, "retrain").served
    assert served["rho"] == pytest.approx(stats.spearmanr(mrr, rbo).statistic)
    assert served["rho"] > 0
    assert served["users"] == len(users)


def test_differences_are_paired_and_corrected(whole: StabilityAudit, rows: list[AuditRow], tables: Tables) -> None:
    named = {(d.regime, d.method, d.baseline): d for d in whole.differences}
    assert set(named) == {
        ("anchored-update", "warm_start", "retrain"),
        ("anchored-update", "finest", "retrain"),
        ("anchored-update", "finest", "warm_start"),
        ("authors-protocol", "finest", "retrain"),
    }
    one = named["anchored-update", "finest", "retrain"]
    assert one.comparisons == 4
    finest, retrain = (
        [line for line in lines_of(rows, tables, method) if line["touch"] != "erased"]
        for method in ("finest", "retrain")
    )
    for name in SIMILARITIES:
        expected = np.mean([a[name] - b[name] for a, b in zip(finest, retrain, strict=True)])
        assert one.measures[name]["mean"] == pytest.approx(expected)
        assert 0 <= one.measures[name]["p"] < 0.1
        assert one.measures[name]["p_corrected"] >= one.measures[name]["p"]
    ours, theirs = (ndcg(np.array([line["new_rank"] for line in side]), 10).mean() for side in (finest, retrain))
    assert one.ndcg_change is not None
    assert one.ndcg_change["mean"] == pytest.approx(ours / theirs - 1)


def test_a_method_beside_itself_does_not_differ(rows: list[AuditRow], load: Any) -> None:
    retrain = [r for r in rows if (r.regime, r.method, r.other_seed) == ("anchored-update", "retrain", None)]
    twin = [replace(r, method="twin") for r in retrain]
    (one,) = differences(grouped([*retrain, *twin]), load)
    for values in one.measures.values():
        assert values == {"mean": 0.0, "lower": 0.0, "upper": 0.0, "p": 1.0, "p_corrected": 1.0}


def test_methods_of_different_instances_are_not_compared(rows: list[AuditRow], load: Any) -> None:
    groups = grouped([r for r in rows if r.regime == "authors-protocol" and r.seed == 0])
    with pytest.raises(DataError, match="different test instances"):
        differences(groups, lambda r: load(r)[1:] if r.method == "finest" else load(r))


def test_the_excess_is_over_the_same_instances(rows: list[AuditRow], tables: Tables, load: Any) -> None:
    (excess,) = excess_over_seed_noise(rows, load)
    noise = {line["interaction_id"]: line for line in tables[rows[0].comparison].to_dicts()}
    both = [line for r in rows[1:3] for line in tables[r.comparison].to_dicts() if line["touch"] != "erased"]
    for name in SIMILARITIES:
        sign = -1 if name == "Turnover@10" else 1
        expected = np.mean([sign * (noise[line["interaction_id"]][name] - line[name]) for line in both])
        assert excess["measures"][name] == pytest.approx(expected)
        assert excess["intervals"][name]["lower"] < expected < excess["intervals"][name]["upper"]
    assert excess["pairs"] == 2


def test_results_are_read_back_as_they_were(whole: StabilityAudit) -> None:
    again = StabilityAudit.from_json(whole.to_json())
    assert again.to_json() == whole.to_json()
    assert again.verdict() == whole.verdict()


def test_a_group_without_ranks_has_similarities_only() -> None:
    unranked = table(0, 0.5).with_columns(pl.lit(0).alias("old_rank"), pl.lit(0).alias("new_rank"))
    values = row_values(unranked)
    assert values["accuracy"] == {"MRR": None, "Recall@10": None, "NDCG@10": None}
    assert values["ndcg_change"] is None
    assert values["measures"]["Jaccard@10"] is not None


def test_the_table_of_users_has_their_means() -> None:
    users = user_table(table(0, 0.5))
    assert users["instances"].sum() == N
    assert (users["Jaccard@10"] * users["instances"]).sum() == pytest.approx(table(0, 0.5)["Jaccard@10"].sum())


def test_the_verdict_in_words(whole: StabilityAudit) -> None:
    words = whole.verdict()
    retrain, finest = found(whole, "retrain"), found(whole, "finest")

    def shown(each: Any) -> str:
        bounds = each.intervals["Turnover@10"]
        return of_ten({"mean": each.measures["Turnover@10"], **bounds})

    beginning = f"Erasing 2 users (30 of 1,000 interactions) changed {shown(retrain)} of 10 items with everything else"
    assert words.startswith(
        f"{beginning} equal; another seed alone changes {shown(found(whole, 'other_seed', 'floor'))}; both"
    )
    assert f"both together {shown(found(whole, 'retrain, other seed'))}." in words
    assert f"With finest {shown(finest)} of 10 changed, " in words
    assert "corrected for 4 comparisons" in words
    plain, held = (found(whole, method, "authors-protocol") for method in ("retrain", "finest"))
    assert f"In the authors' protocol {shown(plain)} of 10 differ between both sides without finest" in words
    assert f"and {shown(held)} with it" in words
    assert "The lists of 2 erased users, counted apart, changed by" in words
    assert "Badly served users are more unstable than well served ones" in words
