"""The search for a strength: on a real method, and on conditions whose edge is known."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chains import markov_log
from finestrec.data.log import InteractionLog
from finestrec.data.splits import split
from finestrec.errors import OptionError
from finestrec.ranking import TopLists
from finestrec.stability.gate import parse_budget
from finestrec.stability.search import Found, Probe, Search, open_strength, searchable
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


def search(incumbent: TrainedModel, method: str = "finest", *budget: str, **more: Any) -> Search:
    checks = tuple(parse_budget(text) for text in budget)
    return Search(method, RECIPE, PARTS.train, 1, incumbent, incumbent, checks, **more)


def test_the_weakest_strength_that_holds_a_budget_is_found(incumbent: TrainedModel) -> None:
    plain = search(incumbent, "finest", "Jaccard@10 >= 0")
    found = plain.run()
    assert (found.strength, found.met, found.method) == (0, True, "finest:weight=0")
    assert len(found.probes) == 1
    threshold = found.probe.measures["Jaccard@10"] + 0.1
    found = search(incumbent, "finest", f"Jaccard@10 >= {threshold}").run()
    assert found.met
    assert found.probe.measures["Jaccard@10"] >= threshold
    weaker = [probe for probe in found.probes if probe.strength < found.strength]
    assert all(probe.measures["Jaccard@10"] < threshold for probe in weaker)
    assert max(probe.strength for probe in weaker) > found.strength / 1.5
    assert Found.from_json(found.to_json()) == found
    # The METHOD that it names is what was probed.
    assert stabilizer(found.method, RECIPE).options.weight == pytest.approx(found.strength, rel=1e-3)


def test_what_nothing_holds_is_told_and_the_nearest_given(incumbent: TrainedModel) -> None:
    found = search(incumbent, "finest", "Jaccard@10 > 1").run()
    assert not found.met
    assert found.strength == max(probe.strength for probe in found.probes)
    assert "no strength within reach holds the budget" in found.sentence()


def test_the_log_of_a_probe_ends_a_tenth_earlier_and_its_lists_are_judged_there(incumbent: TrainedModel) -> None:
    seen: list[tuple[InteractionLog, int]] = []

    @dataclass
    class Spy:
        def rank(self, instances: Any, k: int) -> TopLists:
            seen.append((instances.log, len(instances)))
            return incumbent.rank(instances, k)

    looked = search(incumbent, "finest", "Jaccard@10 >= 0")
    looked.before = Spy()
    looked.run()
    lengths = PARTS.train.lengths
    assert seen[0][1] == int(np.maximum(1, lengths // 10).sum())
    assert len(seen) == 1


def test_probes_are_kept_and_not_repeated(incumbent: TrainedModel) -> None:
    told: list[Probe] = []
    first = search(incumbent, "finest", "Turnover@10 <= 0.1", on_probe=told.append)
    found = first.run()
    assert told == first.probes
    again = search(incumbent, "finest", "Turnover@10 <= 0.1", probes=list(told[:2]), on_probe=told.append)
    assert again.run() == found
    assert len(told) == 2 * len(found.probes) - 2


@settings(deadline=None, max_examples=60)
@given(edge=st.floats(0.76, 47), loss=st.booleans())
def test_edges_are_found_to_a_factor(edge: float, loss: bool) -> None:
    """A method whose lists change, and whose accuracy falls, at one strength."""
    found = _stepped(edge, loss).run()
    assert found.met
    factor = 4 ** (1 / 8) * 1.001
    low, high = (edge / factor, edge) if loss else (edge, edge * factor)
    assert low <= found.strength <= high


def _stepped(edge: float, loss: bool) -> Search:
    class Stepped(Search):
        def __init__(self) -> None:
            self.method, self.recipe, self.probes, self._name = "finest", RECIPE, [], "weight"
            self.budget = () if loss else (parse_budget("Jaccard@10 >= 0.8"),)
            self.max_accuracy_loss = 0.01 if loss else None

        def _probe(self, strength: float) -> Probe:
            above = strength >= edge if not loss else strength > edge
            probe = Probe(strength, {"Jaccard@10": float(above)}, 0.5, 0.02 if above and loss else 0.0)
            self.probes.append(probe)
            return probe

    return Stepped()


def test_the_strongest_that_costs_little_is_found(incumbent: TrainedModel) -> None:
    found = search(incumbent, "finest", max_accuracy_loss=0.02).run()
    assert found.met
    assert found.probe.accuracy_loss <= 0.02
    stronger = [probe for probe in found.probes if probe.strength > found.strength]
    assert all(probe.accuracy_loss > 0.02 for probe in stronger)


def test_a_strength_that_ends_at_one_is_halved(incumbent: TrainedModel) -> None:
    plain = search(incumbent, "blending:over=warm_start", "Jaccard@10 >= 0").run().probe.measures["Jaccard@10"]
    found = search(incumbent, "blending:over=warm_start", f"Jaccard@10 >= {(1 + plain) / 2}").run()
    assert found.met
    assert 0 < found.strength < 1
    assert all(0 <= probe.strength < 1 for probe in found.probes)


@pytest.mark.parametrize("method", ["gaps", "interpolation", "hysteresis:over=warm_start"])
def test_one_training_is_enough_where_the_strength_acts_after_it(
    method: str, incumbent: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = "Jaccard@10 >= 0.97"
    alone = search(incumbent, method, budget).run()
    trained: list[int] = []

    def counted(*given: Any, **named: Any) -> Any:
        trained.append(1)
        return train(*given, **named)

    monkeypatch.setattr("finestrec.stabilizers.finetuning.train", counted)
    shared = search(incumbent, method, budget, checkpoint=tmp_path / "one.safetensors").run()
    assert shared == alone
    assert len(shared.probes) > 2
    assert len(trained) == 1


def test_what_can_be_searched() -> None:
    assert open_strength("finest", RECIPE) == "weight"
    assert open_strength("finest:k=5", RECIPE) == "weight"
    assert open_strength("finest:weight=3", RECIPE) is None
    assert open_strength("warm_start", RECIPE) is None
    texts = (
        "Jaccard@10 >= 0.8",
        "lower(Jaccard@10) >= 0.8",
        "LostUsers <= 0",
        "FRBO(p=0.9)@10 >= 0.7",
        "Top1Change < 1",
    )
    assert [check.measure for check in searchable([parse_budget(text) for text in texts])] == [
        "Jaccard@10",
        "FRBO(p=0.9)@10",
        "Top1Change",
    ]


def test_nothing_to_search_is_refused(incumbent: TrainedModel) -> None:
    with pytest.raises(OptionError, match="no budget to search for"):
        search(incumbent, "finest")
    with pytest.raises(OptionError, match="has no strength"):
        search(incumbent, "warm_start", "Jaccard@10 >= 0.5")
