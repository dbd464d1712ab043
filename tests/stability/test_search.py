"""The search for a strength: on conditions whose edge is known, and what accuracy is measured on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chains import markov_log
from finestrec.data.log import InteractionLog
from finestrec.data.sequences import Instances
from finestrec.data.splits import split
from finestrec.errors import DataError, OptionError
from finestrec.measures.accuracy import ndcg
from finestrec.measures.overlap import frbo
from finestrec.stability.search import Found, Probe, Search, Validation, open_strength
from finestrec.stabilizers import Recipe, stabilizer
from finestrec.training.loop import train
from finestrec.training.trained import TrainedModel

PARTS = split(markov_log(users=60, items=30, length=24, seed=0))
RECIPE = Recipe.of(
    "lstm",
    model_options={"hidden": 16},
    training={"epochs": 8, "lr": 0.01},
    finest={"epochs": 3, "lr": 0.01, "k": 10},
)


@pytest.fixture(scope="module")
def incumbent() -> TrainedModel:
    trained: TrainedModel = stabilizer("retrain", RECIPE).fit(PARTS.train, 0)
    return trained


class Stepped:
    """Lists that hold, and accuracy that is lost, from one strength on."""

    def __init__(self, edge: float) -> None:
        self.edge, self.looked = edge, list[tuple[str, float]]()

    def __call__(self, method: str, strength: float) -> Probe:
        self.looked.append((method, strength))
        beyond, missing = strength >= self.edge, max(0.0, self.edge - strength)
        jaccard, loss = (0.9, 0.02) if beyond else (0.5, 0.0)
        return Probe(strength, {"Jaccard@10": jaccard}, beyond, loss, missing, overlap=strength)


@settings(deadline=None)
@given(edge=st.floats(0.76, 47))
def test_edges_are_found_to_a_factor(edge: float) -> None:
    factor = 4 ** (1 / 8) * 1.001
    weakest = Search("finest", RECIPE, Stepped(edge)).run()
    assert weakest.met
    assert edge <= weakest.strength <= edge * factor
    strongest = Search("finest", RECIPE, Stepped(edge), max_accuracy_loss=0.01).run()
    assert strongest.met
    assert edge / factor <= strongest.strength < edge
    assert weakest.probe.holds
    assert weakest.method == f"finest:weight={weakest.strength:.4g}"


@given(edge=st.floats(0.01, 0.93))
def test_a_strength_that_ends_at_one_is_halved(edge: float) -> None:
    look = Stepped(edge)
    found = Search("gaps:k=5", RECIPE, look).run()
    assert found.met
    assert edge <= found.strength <= edge + 0.5 / 2**3 * 1.001
    assert all(0 <= probe.strength < 1 for probe in found.probes)
    assert all(method == f"gaps:k=5:alpha={strength:.4g}" for method, strength in look.looked)


@pytest.mark.parametrize(
    ("method", "strengths"),
    [
        ("finest", [0.75, 3, 12, 48]),
        ("hysteresis", [0.25, 1, 4, 16]),
        ("interpolation", [0.5, 0.75, 0.875, 0.9375, 1]),
        ("annealed", [0.5, 0.75, 0.875, 0.9375, 1]),
        ("ema", [0.96, 0.99, 0.9975, 0.999375, 1]),
        ("cascade_adversarial", [0.0025, 0.01, 0.04, 0.16]),
    ],
)
def test_strengths_are_tried_around_the_default_and_up_to_the_largest(method: str, strengths: list[float]) -> None:
    look = Stepped(1e9)
    Search(method, RECIPE, look).run()
    assert [strength for _, strength in look.looked] == pytest.approx([0, *strengths])
    # Each of them can be found, and what lies between two of them.
    for weaker, edge in zip([0, *strengths], strengths, strict=False):
        for between in (edge, (weaker + edge) / 2):
            found = Search(method, RECIPE, Stepped(between)).run()
            assert found.met
            assert max(weaker, between) <= found.strength <= edge


@given(method=st.sampled_from(["finest", "annealed", "ema", "hysteresis"]), edge=st.floats(1e-3, 0.99999))
def test_what_is_tried_is_the_strength_as_it_is_written(method: str, edge: float) -> None:
    look = Stepped(edge)
    found = Search(method, RECIPE, look).run()
    assert all(float(text.rpartition("=")[2]) == strength for text, strength in look.looked)
    assert edge <= found.strength
    assert found.strength < 1 or method in {"finest", "hysteresis"} or edge > 0.9
    assert found.method == f"{look.looked[-1][0].rpartition('=')[0]}={found.strength:.12g}"
    assert found.probe.holds


def test_a_decay_next_to_one_is_not_one() -> None:
    found = Search("ema", RECIPE, Stepped(0.99996)).run()
    assert 0.99996 <= found.strength < 1
    assert stabilizer(found.method, RECIPE).options.decay == found.strength


def test_the_nearest_of_a_method_that_does_not_come_nearer_with_its_strength() -> None:
    def look(_: str, strength: float) -> Probe:
        missing = abs(strength - 3) + 0.1
        return Probe(strength, {"Jaccard@10": 0.9 - missing}, holds=False, accuracy_loss=None, shortfall=missing)

    found = Search("twin", RECIPE, look).run()
    assert (found.met, found.strength) == (False, 3)
    assert "the nearest is twin:weight=3 " in found.sentence()


def test_what_holds_the_budget_may_cost_too_much() -> None:
    found = replace(Search("finest", RECIPE, Stepped(5)).run(), met=False)
    assert found.sentence().startswith("what holds the budget costs more accuracy than it may: finest:weight=")


def test_where_there_is_no_edge_the_nearest_is_given() -> None:
    never = Search("finest", RECIPE, Stepped(1e9)).run()
    assert (never.met, never.strength) == (False, 48)
    assert "no strength within reach holds the budget; the nearest is finest:weight=48" in never.sentence()
    always = Search("finest", RECIPE, Stepped(0)).run()
    assert (always.met, always.strength, len(always.probes)) == (True, 0, 1)
    free = Search("finest", RECIPE, Stepped(1e9), max_accuracy_loss=0.01).run()
    assert (free.met, free.strength) == (True, 48)
    # Even the plain method may cost too much, if that is what it is compared with.
    dear = Search("finest", RECIPE, Stepped(0), max_accuracy_loss=0.01).run()
    assert (dear.met, dear.strength) == (False, 0)


def test_probes_are_kept_and_not_repeated() -> None:
    told: list[Probe] = []
    found = Search("finest", RECIPE, Stepped(5), on_probe=told.append).run()
    assert len(told) == len(found.probes) > 4
    look = Stepped(5)
    assert Search("finest", RECIPE, look, probes=told[:3]).run() == found
    assert len(look.looked) == len(told) - 3
    assert Found.from_json(found.to_json()) == found


def test_what_can_be_searched() -> None:
    assert open_strength("finest", RECIPE) == "weight"
    assert open_strength("finest:k=5", RECIPE) == "weight"
    assert open_strength("finest:weight=3", RECIPE) is None
    assert open_strength("warm_start", RECIPE) is None
    with pytest.raises(OptionError, match="has no strength"):
        Search("warm_start", RECIPE, Stepped(1))


def test_accuracy_is_measured_on_the_last_tenth_of_each_history(
    incumbent: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Instances] = []
    whole = TrainedModel.rank

    def spy(self: TrainedModel, instances: Instances, k: int) -> Any:
        seen.append(instances)
        return whole(self, instances, k)

    monkeypatch.setattr(TrainedModel, "rank", spy)
    accuracy = Validation(RECIPE, PARTS.train, 1, incumbent, 10, tmp_path / "checkpoint.safetensors")
    found = accuracy("warm_start")
    train_log = PARTS.train
    held_out = np.maximum(1, train_log.lengths // 10)
    assert np.array_equal(np.bincount(seen[0].users, minlength=train_log.n_users), held_out)
    last = np.concatenate([np.arange(end - n, end) for end, n in zip(train_log.offsets[1:], held_out, strict=True)])
    assert set(seen[0].ids) == set(train_log.interaction_ids[last])
    is_kept = np.ones(len(train_log), dtype=bool)
    is_kept[last] = False
    shorter = train_log.keep(is_kept)
    # An incumbent that was trained on them would know the answers.
    stand_in = stabilizer("retrain", RECIPE).fit(shorter, incumbent.seed)
    trained = stabilizer("warm_start", RECIPE).fit(shorter, 1, stand_in)
    lists, shown = (whole(each, seen[0], 10) for each in (trained, stand_in))
    assert found.accuracy == pytest.approx(ndcg(lists.target_ranks, 10).mean())
    is_first = np.diff(seen[0].users, prepend=-1) > 0
    pairs = zip(lists.items[is_first], shown.items[is_first], strict=True)
    assert found.overlap == pytest.approx(np.mean([frbo([a], [b], 0.9, 10)[0] for a, b in pairs]))
    lists_of_the_incumbent = accuracy("interpolation:alpha=1")
    assert lists_of_the_incumbent.accuracy == pytest.approx(ndcg(shown.target_ranks, 10).mean())
    assert lists_of_the_incumbent.overlap == pytest.approx(1)
    assert len(list(tmp_path.iterdir())) == 2
    accuracy.clear()
    assert not list(tmp_path.iterdir())


def test_the_stand_in_is_trained_on_the_log_before(incumbent: TrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a night, which adds to every history: what the incumbent never saw leaves it as it is."""
    logs = list[InteractionLog]()
    fit = Recipe.train

    def spy(self: Recipe, log: InteractionLog, seed: int, **named: Any) -> TrainedModel:
        logs.append(log)
        return fit(self, log, seed, **named)

    monkeypatch.setattr(Recipe, "train", spy)
    log = PARTS.train
    of_user = np.arange(len(log)) - np.repeat(log.offsets[:-1], log.lengths)
    before = log.keep(of_user < 12)
    Validation(RECIPE, log, 1, replace(incumbent, log=before), 10)("warm_start")
    assert set(logs[0].interaction_ids) == set(before.interaction_ids)
    assert logs[0].n_items == before.n_items


def test_no_loss_can_be_told_without_accuracy(incumbent: TrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finestrec.stability.search.ndcg", lambda ranks, _: np.zeros(len(ranks)))
    with pytest.raises(DataError, match=r"NDCG@10 of 0 on the 120 validation interactions"):
        Validation(RECIPE, PARTS.train, 1, incumbent, 10).plain("gaps:alpha=1")


@pytest.mark.parametrize("method", ["annealed:weight=0", "hysteresis:tau=1000"])
def test_items_that_the_incumbent_does_not_know_are_in_none_of_its_lists(method: str) -> None:
    fewer = split(markov_log(users=60, items=12, length=24, seed=0)).train
    incumbent = stabilizer("retrain", RECIPE).fit(fewer, 0)
    later = replace(PARTS.train, interaction_ids=PARTS.train.interaction_ids + 10_000)
    found = Validation(RECIPE, later, 0, incumbent, 10)(method)
    assert (found.overlap == pytest.approx(1)) == (method == "hysteresis:tau=1000")
    assert found.overlap > 0


def test_lists_that_age_cost_accuracy(incumbent: TrainedModel) -> None:
    """Asked again at each moment the incumbent would be as accurate as the new model."""
    validation = Validation(RECIPE, PARTS.train, 0, incumbent, 10)
    plain, held = (validation(f"hysteresis:tau={tau}") for tau in (0, 1000))
    assert held.loss(plain) > 0.04
    assert held.overlap == pytest.approx(1)


def test_the_strongest_need_not_be_the_most_stable() -> None:
    def look(_: str, strength: float) -> Probe:
        return Probe(strength, {}, True, strength / 1000, overlap=1 - abs(strength - 3) / 100)

    found = Search("finest", RECIPE, look, max_accuracy_loss=0.1).run()
    assert (found.met, found.strength, found.probes[-1].strength) == (True, 3, 48)
    assert "finest:weight=3 " in found.sentence()
    assert "FRBO(p=0.9)@10 1.0000" in found.sentence()


@pytest.mark.parametrize("method", ["gaps", "interpolation", "hysteresis:over=warm_start"])
def test_one_training_is_enough_where_the_strength_acts_after_it(
    method: str, incumbent: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = open_strength(method, RECIPE)
    methods = [f"{method}:{name}={value}" for value in (0, 0.5, 1)]
    alone = [Validation(RECIPE, PARTS.train, 1, incumbent, 10)(each) for each in methods]
    trained: list[int] = []

    def counted(*given: Any, **named: Any) -> Any:
        trained.append(1)
        return train(*given, **named)

    monkeypatch.setattr("finestrec.stabilizers.finetuning.train", counted)
    monkeypatch.setattr("finestrec.training.trained.train", counted)
    shared = Validation(RECIPE, PARTS.train, 1, incumbent, 10, tmp_path / "one.safetensors")
    assert [shared(each) for each in methods] == alone
    assert len(trained) == 2  # the stand-in of the incumbent, and the method
    assert alone[1].loss(alone[0]) == pytest.approx(1 - alone[1].accuracy / alone[0].accuracy)
