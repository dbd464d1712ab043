"""The audit: what is trained once, what rows say, floors, resuming, other people's models."""

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from strangers import Popular, ShortLists

from finestrec.data.log import InteractionLog
from finestrec.data.splits import Split, SplitOptions, split
from finestrec.errors import DataError, OptionError, RunFolderError
from finestrec.perturbation.selectors import casper_rows
from finestrec.perturbation.spec import Perturbation
from finestrec.stability.audit import audit
from finestrec.stability.comparing import judge
from finestrec.stability.results import StabilityAudit
from finestrec.stability.rows import AuditRow
from finestrec.stabilizers import Recipe, Retrain, stabilizer

SPEC = "delete:random:0.01"


@pytest.fixture(scope="module")
def parts(chain: InteractionLog) -> Split:
    return split(chain)


@pytest.fixture(scope="module")
def whole(parts: Split, small_recipe: Recipe) -> StabilityAudit:
    regimes: Any = ["anchored-update", "authors-protocol", "unanchored"]
    return audit(parts, small_recipe, perturbations=[SPEC], regimes=regimes, seeds=[0, 1], data="chain")


def row(result: StabilityAudit, regime: str, method: str, **where: Any) -> AuditRow:
    wanted = {"regime": regime, "method": method, "perturbation": SPEC, "seed": 0, "other_seed": None, **where}
    found = [r for r in result.rows if all(getattr(r, key) == value for key, value in wanted.items())]
    assert len(found) == 1
    return found[0]


def test_the_same_seed_twice_has_bit_identical_lists(whole: StabilityAudit) -> None:
    floor = row(whole, "floor", "same_seed", perturbation=None)
    assert floor.measures == {
        "RBO(p=0.9)": 1.0,
        "FRBO(p=0.9)@10": 1.0,
        "Jaccard@10": 1.0,
        "Turnover@10": 0.0,
        "AverageOverlap@all": 1.0,
    }


def test_every_method_and_regime_has_its_row_with_and_without_a_perturbation(whole: StabilityAudit) -> None:
    expected = {
        ("anchored-update", "retrain"),
        ("anchored-update", "warm_start"),
        ("anchored-update", "finest"),
        ("authors-protocol", "retrain"),
        ("authors-protocol", "finest"),
        ("unanchored", "retrain"),
        ("unanchored", "warm_start"),
        ("unanchored", "finest"),
    }
    for seed in (0, 1):
        for perturbation in (SPEC, None):
            found = {
                (r.regime, r.method)
                for r in whole.rows
                if r.seed == seed and r.other_seed is None and r.perturbation == perturbation and r.regime != "floor"
            }
            assert found == expected


def test_policies_and_options_are_methods_of_an_audit(parts: Split, small_recipe: Recipe, tmp_path: Path) -> None:
    methods = ("retrain", "hysteresis:tau=1e9", "blending:alpha=0", "finest:weight=0:rho=0", "warm_start")
    found = audit(parts, small_recipe, methods=methods, regimes=["anchored-update"], floors=False, folder=tmp_path)
    changed = {each.method: each for each in found.rows if each.perturbation}
    assert list(changed) == [*methods]
    # Yesterday's lists to the depth that is defended, today's model, and FINEST without what makes it FINEST.
    assert changed["hysteresis:tau=1e9"].measures["Jaccard@10"] == 1
    assert changed["hysteresis:tau=1e9"].seconds == changed["retrain"].seconds
    assert changed["blending:alpha=0"].measures == changed["retrain"].measures
    assert changed["finest:weight=0:rho=0"].measures == changed["warm_start"].measures
    assert changed["warm_start"].measures != changed["retrain"].measures
    again = audit(parts, small_recipe, methods=methods, regimes=["anchored-update"], floors=False, folder=tmp_path)
    assert again.rows == found.rows


def test_without_an_incumbent_cold_methods_train_as_long_as_the_others(parts: Split, small_recipe: Recipe) -> None:
    """Bagging that does not look at its teachers is retraining, here as there."""
    methods = ("retrain", "bagging:weight=0:teachers=1")
    found = audit(parts, small_recipe, methods=methods, regimes=["anchored-update", "unanchored"], floors=False)
    changed = {(each.regime, each.method): each for each in found.rows if each.perturbation and not each.other_seed}
    for regime in ("anchored-update", "unanchored"):
        one, other = (changed[regime, method] for method in methods)
        assert one.measures == other.measures
        assert one.accuracy == other.accuracy
    assert changed["anchored-update", "retrain"].measures != changed["unanchored", "retrain"].measures


def test_strengths_that_act_after_the_training_share_it(parts: Split, small_recipe: Recipe, tmp_path: Path) -> None:
    methods = ("retrain", "warm_start", "gaps:alpha=0.2", "gaps:alpha=0.8", "gaps:alpha=0.8:k=5", "interpolation")
    regimes: Any = ["anchored-update", "unanchored"]
    kept = audit(parts, small_recipe, methods=methods, regimes=regimes, floors=False, folder=tmp_path)
    names = {path.name.partition(".delete")[0] for path in tmp_path.glob("*.delete*.safetensors")}
    assert names == {"retrain", "continue", "warm_start", "gaps-alpha=0.2", "gaps-alpha=0.8-k=5"}
    for method in methods[3:]:
        alone = audit(parts, small_recipe, methods=("retrain", method), regimes=regimes, floors=False)
        pairs = ([row for row in each.rows if row.method == method] for each in (kept, alone))
        for together, by_itself in zip(*pairs, strict=True):
            assert together.measures == by_itself.measures
            assert together.accuracy == by_itself.accuracy


def test_rows_carry_what_a_reader_needs(whole: StabilityAudit, parts: Split) -> None:
    for each in whole.rows:
        assert each.log_fingerprint == parts.train.fingerprint
        assert each.n_instances == 200
        assert each.options["finest"]["k"] == 10
        assert each.seconds > 0
        assert each.peak_memory > 10_000_000
        assert all(0 <= value <= 1 for value in each.measures.values() if value is not None)


def test_both_seeds_together_are_rows_of_their_own(whole: StabilityAudit) -> None:
    for seed, other in ((0, 1), (1, 0)):
        both = row(whole, "anchored-update", "retrain", seed=seed, other_seed=other)
        coupled = row(whole, "anchored-update", "retrain", seed=seed)
        assert (both.measures["Jaccard@10"] or 0) < (coupled.measures["Jaccard@10"] or 0)


def test_excess_over_seed_noise_is_the_mean_difference(whole: StabilityAudit) -> None:
    noise = row(whole, "floor", "other_seed", perturbation=None, other_seed=1).measures["Jaccard@10"]
    pairs = [
        row(whole, "anchored-update", "retrain", seed=s, other_seed=t).measures["Jaccard@10"]
        for s, t in ((0, 1), (1, 0))
    ]
    excess = whole.excess_over_seed_noise
    assert len(excess) == 1
    assert excess[0]["pairs"] == 2
    assert noise is not None
    expected = np.mean([noise - (value or 0.0) for value in pairs])
    assert excess[0]["measures"]["Jaccard@10"] == pytest.approx(expected)
    # A turnover is a change: more of it than noise is an excess, as less similarity is.
    assert np.sign(excess[0]["measures"]["Turnover@10"]) == np.sign(expected)


def test_accuracy_is_that_of_the_side_it_names(whole: StabilityAudit) -> None:
    anchored = row(whole, "anchored-update", "finest")
    base = row(whole, "floor", "same_seed", perturbation=None)
    assert anchored.reference_accuracy == base.reference_accuracy
    assert anchored.accuracy != anchored.reference_accuracy
    before, after = anchored.reference_accuracy["NDCG@10"], anchored.accuracy["NDCG@10"]
    assert anchored.ndcg_change is not None
    assert before
    assert after
    assert anchored.ndcg_change["mean"] == pytest.approx(after / before - 1)
    assert anchored.ndcg_change["lower"] <= anchored.ndcg_change["mean"] <= anchored.ndcg_change["upper"]


def test_words_and_tables_say_the_numbers(whole: StabilityAudit) -> None:
    words = whole.verdict()
    turned, again = (row(whole, "anchored-update", "retrain", seed=seed).measures["Turnover@10"] for seed in (0, 1))
    mean = ((turned or 0) + (again or 0)) / 2
    assert mean < 0.1
    assert f"Deleting 28 of 2,800 interactions changed {10 * mean:.2f} (" in words
    assert "With finest" in words
    assert whole.table("anchored-update", SPEC).row_count == 2 + 3 + 3 + 1
    assert whole.table("authors-protocol", SPEC).row_count == 2 + 2
    frame = whole.frame()
    assert len(frame) == len(whole.rows)
    assert frame["measures.Jaccard@10"][0] == whole.rows[0].measures["Jaccard@10"]
    assert whole.to_json()["schema"] == 1


def test_a_folder_is_entered_again_and_nothing_is_trained_twice(
    parts: Split, small_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import finestrec.training.loop as loop

    arguments: Any = {"perturbations": [SPEC], "regimes": ["anchored-update"], "folder": tmp_path}
    whole = audit(parts, small_recipe, **arguments)
    trained: list[int] = []
    epoch = loop._epoch
    monkeypatch.setattr(loop, "_epoch", lambda *a, **k: (trained.append(1), epoch(*a, **k))[1])

    again = audit(parts, small_recipe, **{**arguments, "folder": str(tmp_path)})
    assert trained == []
    assert [r.to_json() for r in again.rows] == [r.to_json() for r in whole.rows]
    missing = next(tmp_path.glob("row.anchored-update.finest.*finest.delete*"))
    missing.unlink()
    next(tmp_path.glob("finest.delete*.safetensors")).unlink()
    rerun = audit(parts, small_recipe, **arguments)
    assert len(trained) == small_recipe.finest.epochs
    assert [r.measures for r in rerun.rows] == [r.measures for r in whole.rows]


def test_a_night_is_audited_from_the_log_before_it(parts: Split, small_recipe: Recipe) -> None:
    daily = replace(parts.log, times=parts.log.times * 86_400)
    days = split(daily)
    found = audit(days, small_recipe, perturbations=["append:cut:2"], seeds=[0], floors=False)
    base = days.train.times <= days.train.times.max() - 2 * 86_400
    before = days.train.keep(base)
    assert 0 < len(before) < len(days.train)
    night = {r.method: r for r in found.rows if r.perturbation and r.regime == "anchored-update"}
    assert set(night) == {"retrain", "warm_start", "finest"}
    assert {r.log_fingerprint for r in night.values()} == {before.fingerprint}
    # The reference is trained on the log before, dealt as D' is; the new side is the model of the whole training log.
    test = days.held_out(small_recipe.training.max_length)
    models = {}
    for name, log in (("before", replace(before, origin=days.train)), ("after", days.train)):
        models[name] = judge(stabilizer("retrain", small_recipe).fit(log, 0), test).accuracy()
    assert night["retrain"].accuracy == pytest.approx(models["after"])
    assert models["before"] != pytest.approx(models["after"])
    assert all(r.reference_accuracy == pytest.approx(models["before"]) for r in night.values())
    plain = next(r for r in found.rows if r.perturbation is None and r.method == "retrain")
    assert plain.log_fingerprint == days.train.fingerprint
    assert plain.reference_accuracy == pytest.approx(models["after"])


def test_cascades_are_as_long_as_the_input(parts: Split) -> None:
    picked = []
    for max_length in (2, 10):
        logs: list[InteractionLog] = []
        fitters = {"retrain": Popular(), "seen": Seeing(logs)}
        audit(parts, fitters, perturbations=["delete:casper:5"], methods=["seen"], floors=False, max_length=max_length)
        ids = [set(log.interaction_ids.tolist()) for log in logs]
        gone = next(set(parts.train.interaction_ids.tolist()) - found for found in ids if len(found) < len(parts.train))
        rows = casper_rows(parts.train, 5, 0, max_length=max_length)
        assert gone == set(parts.train.interaction_ids[rows].tolist())
        picked.append(gone)
    assert picked[0] != picked[1]


class Seeing(Popular):
    """Keeps the logs that it is given."""

    def __init__(self, logs: list[InteractionLog]) -> None:
        self.logs = logs

    def fit(self, log: InteractionLog, seed: int, incumbent: Any = None) -> Any:
        self.logs.append(log)
        return super().fit(log, seed, incumbent)


def test_only_the_regimes_that_were_asked_for_have_rows(parts: Split, small_recipe: Recipe) -> None:
    found = audit(parts, small_recipe, perturbations=[SPEC], regimes=["authors-protocol"], methods=["finest"])
    assert {r.regime for r in found.rows} == {"floor", "authors-protocol"}


def test_strangers_models_are_not_trained_again_because_there_is_a_folder(parts: Split, tmp_path: Path) -> None:
    counted = Counting()
    audit(parts, {"retrain": counted}, perturbations=[SPEC], folder=tmp_path)
    assert counted.fits == 5  # D, D again, D', and D and D' of the other seed
    audit(parts, {"retrain": Counting()}, perturbations=[SPEC], folder=tmp_path)


LOSS = """
from strangers import Popular

class Mine(Popular):
    weight = 1
"""


def test_a_folder_of_another_version_of_a_fitter_is_refused(
    parts: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One's own loss is changed and tried again in the same folder; another method may come, and the same one again."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_loss.py").write_text(LOSS)
    mine = importlib.import_module("own_loss").Mine
    arguments: Any = {"perturbations": [SPEC], "floors": False, "folder": tmp_path / "jobs"}
    audit(parts, {"retrain": Popular, "mine": mine}, **arguments)
    audit(parts, {"retrain": Popular, "mine": mine, "counted": Counting()}, **arguments)
    audit(parts, {"retrain": Popular, "mine": mine}, **arguments)
    (tmp_path / "own_loss.py").write_text(LOSS.replace("1", "2"))
    with pytest.raises(RunFolderError, match="holds results of other fitters of mine: "):
        audit(parts, {"retrain": Popular, "mine": mine}, **arguments)
    with pytest.raises(RunFolderError, match="holds results of other fitters of counted"):
        audit(parts, {"retrain": Popular, "counted": Popular}, **arguments)


def test_a_folder_tells_strategies_by_their_recipe(parts: Split, small_recipe: Recipe, tmp_path: Path) -> None:
    other = replace(small_recipe, training=small_recipe.training.model_copy(update={"epochs": 1}))
    arguments: Any = {"perturbations": [SPEC], "floors": False, "folder": tmp_path}
    audit(parts, {"retrain": Retrain(other)}, **arguments)
    audit(parts, {"retrain": Retrain(other)}, **arguments)
    with pytest.raises(RunFolderError, match="holds results of other fitters of retrain"):
        audit(parts, {"retrain": Retrain(small_recipe)}, **arguments)


def test_a_fitter_whose_source_is_nowhere_has_no_folder(parts: Split, tmp_path: Path) -> None:
    made: dict[str, Any] = {"Popular": Popular, "__name__": "nowhere"}
    exec("class Mine(Popular): pass", made)
    audit(parts, {"retrain": made["Mine"]}, perturbations=[SPEC], floors=False)
    with pytest.raises(OptionError, match=r"the source of nowhere\.Mine cannot be found"):
        audit(parts, {"retrain": made["Mine"]}, perturbations=[SPEC], floors=False, folder=tmp_path)


def test_a_folder_of_other_options_is_refused(parts: Split, small_recipe: Recipe, tmp_path: Path) -> None:
    arguments: Any = {"regimes": ["anchored-update"], "methods": ["retrain"], "floors": False, "folder": tmp_path}
    audit(parts, small_recipe, perturbations=[SPEC], **arguments)
    other = Recipe.of("lrurec", model_options={"hidden": 8, "blocks": 1})
    with pytest.raises(RunFolderError, match=r"other .*model_options"):
        audit(parts, other, perturbations=[SPEC], **arguments)


def test_a_strangers_model_is_audited_through_fit_and_rank(parts: Split) -> None:
    result = audit(parts, {"retrain": Popular()}, perturbations=[SPEC])
    moved = row(result, "anchored-update", "retrain").measures["RBO(p=0.9)"]
    floor = row(result, "floor", "other_seed", perturbation=None, other_seed=1).measures["RBO(p=0.9)"]
    assert floor == 1.0
    assert moved is not None
    assert 0.5 < moved < 1.0


def test_whole_rankings_are_not_compared_where_there_are_none(parts: Split) -> None:
    result = audit(
        parts, {"retrain": ShortLists()}, perturbations=[SPEC], methods=["retrain"], regimes=["anchored-update"]
    )
    found = row(result, "anchored-update", "retrain")
    assert found.measures["AverageOverlap@all"] is None
    assert found.measures["Jaccard@10"] is not None
    assert found.measures["RBO(p=0.9)"] is None
    assert found.measures["RBO(p=0.9)@12"] is not None
    assert found.notes == ["the lists have 12 items: RBO(p=0.9), AverageOverlap@all look deeper and are null"]


class Counting(Popular):
    fits = 0

    def fit(self, log: InteractionLog, seed: int, incumbent: Any = None) -> "Popular":
        self.fits += 1
        return Popular().fit(log, seed, incumbent)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": ["finnest"]}, "unknown method 'finnest'; known are retrain, warm_start, finest"),
        ({"regimes": ["anchored"]}, "unknown regime 'anchored'"),
        ({"regimes": ["floor"]}, "unknown regime 'floor'"),
        ({"seeds": []}, "expected one or more"),
        ({"seeds": [1, 1]}, "different ones"),
        ({"perturbations": ["remove:random:1"]}, "unknown kind of perturbation 'remove'"),
        ({"perturbations": ["delete:random:1.5"]}, "outside"),
        (
            {"perturbations": "delete:random:1"},
            r"perturbations is 'delete:random:1'; expected several, e\.g\. \['delete",
        ),
        ({"seeds": 2}, r"seeds is 2; expected several, e\.g\. \[2\]"),
        ({"methods": "finest"}, "methods is 'finest'; expected several"),
    ],
)
def test_unknown_words_are_refused(change: dict[str, Any], message: str, parts: Split, small_recipe: Recipe) -> None:
    with pytest.raises(OptionError, match=message):
        audit(parts, small_recipe, **change)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("delete:random:100%", "deletes all"),
        ("delete:user:100000", "users with training interactions"),
        ("append:cut:1000", "nothing before the cut"),
    ],
)
def test_perturbations_that_do_not_fit_are_refused_before_anything_is_trained(
    spec: str, message: str, parts: Split, small_recipe: Recipe, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=message):
        audit(parts, small_recipe, perturbations=["delete:random:3", spec], folder=tmp_path / "jobs")
    assert not (tmp_path / "jobs").exists()


def test_an_erasure_that_leaves_nobody_to_compare_is_refused_before_anything_is_trained(
    parts: Split, small_recipe: Recipe, tmp_path: Path
) -> None:
    items = parts.log.items.copy()
    items[parts.log.offsets[1:] - 1] = 0  # what everybody is tested on
    same = split(replace(parts.log, items=items))
    (tmp_path / "ids.txt").write_text(f"{same.log.vocabulary.items[0]}\n")
    spec = f"delete:item:0:ids={tmp_path / 'ids.txt'}"
    with pytest.raises(OptionError, match="leaves nobody to be compared: each of the 200 test instances"):
        audit(same, small_recipe, perturbations=[spec], folder=tmp_path / "jobs")
    assert not (tmp_path / "jobs").exists()
    audit(parts, {"retrain": Popular()}, perturbations=[spec], floors=False)
    with pytest.raises(OptionError, match="unknown instances 'last'; known are all, and first"):
        audit(parts, small_recipe, instances="last")  # type: ignore[arg-type]


def test_a_split_without_test_instances_is_refused(chain: InteractionLog, small_recipe: Recipe) -> None:
    with pytest.raises(OptionError, match=r"what is audited is InteractionLog; expected what `split\(log\)` gives"):
        audit(chain, small_recipe)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"the recipe is a str; expected Recipe.of\(MODEL\)"):
        audit(split(chain), "lrurec")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no test instances"):
        audit(split(chain, SplitOptions(method="none")), small_recipe)


def test_missing_fitters_and_regimes_of_fitters_are_refused(parts: Split) -> None:
    with pytest.raises(OptionError, match="no fitter for finest, warm_start"):
        audit(parts, {"retrain": Popular()}, methods=["retrain", "finest", "warm_start"])
    with pytest.raises(OptionError, match="anchored-update only"):
        audit(parts, {"retrain": Popular()}, regimes=["authors-protocol"])


def test_an_erasure_is_told_apart_from_its_collateral(parts: Split) -> None:
    found = audit(parts, {"retrain": Popular()}, perturbations=["delete:user:2"], floors=False)
    edits = Perturbation.parse("delete:user:2").apply(parts.train, seed=0).edits
    gone = parts.log.vocabulary.users.gather(np.unique(edits.users))
    erased = row(found, "anchored-update", "retrain", perturbation="delete:user:2")
    rest = row(found, "anchored-update", "retrain", perturbation=None)
    assert erased.log_change == {
        "interactions": 2800,
        "removed": 28,
        "added": 0,
        "users": 200,
        "touched_users": 2,
        "erased_users": 2,
        "erased_items": 0,
    }
    assert (erased.n_users, rest.n_users) == (198, 200)
    assert rest.n_instances - erased.n_instances == 2
    users = found.tables["users"].filter(pl.col("comparison") == erased.comparison)["user_id"]
    assert len(gone) == 2
    assert not users.is_in(gone.implode()).any()
    touch = found.findings[-1].touch
    assert touch is not None
    assert {group: values["users"] for group, values in touch.items()} == {"untouched": 198, "erased": 2}
    # Everyone has the same list here, so the collateral is what happened to the erased users' lists as well.
    means = {group: values["measures"]["Jaccard@10"]["mean"] for group, values in touch.items()}
    assert means["untouched"] == pytest.approx(means["erased"])
    assert means["untouched"] == pytest.approx(erased.measures["Jaccard@10"])
    words = found.verdict()
    assert words.startswith("Erasing 2 users (28 of 2,800 interactions) changed ")
    assert "Nobody else was touched, so that is collateral" in words


def test_influential_interactions_are_deleted(chain: InteractionLog, small_recipe: Recipe, tmp_path: Path) -> None:
    """The same ones for every method, found by the incumbent's own epochs; resumed without training again."""
    parts = split(chain)

    def audited() -> list[AuditRow]:
        found = audit(
            parts,
            small_recipe,
            perturbations=["delete:influence:5", "replace:influence:5:on=self"],
            methods=["retrain", "finest"],
            regimes=["anchored-update"],
            floors=False,
            folder=tmp_path / "audit",
        )
        return [row for row in found.rows if row.perturbation]

    rows = audited()
    assert {row.perturbation for row in rows} == {"delete:influence:5", "replace:influence:5:on=self"}
    assert all(row.log_change is not None and row.log_change["removed"] == 5 for row in rows)
    kept = np.load(tmp_path / "audit" / "influence-test.seed0.npy")
    assert kept.shape == (len(parts.train),)
    assert [row.measures for row in audited()] == [row.measures for row in rows]
