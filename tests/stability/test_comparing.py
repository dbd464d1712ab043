"""What is asked of a ranker when it is judged: whole rankings at once, or, where they are too many, when compared."""

from typing import Any

import numpy as np
import pytest

from chains import markov_log
from finestrec.data.sequences import Instances
from finestrec.data.splits import split
from finestrec.measures.overlap import average_overlap
from finestrec.ranking import TopLists
from finestrec.stability import comparing
from finestrec.stability.comparing import WHOLE_CATALOGUE, compare_judged, judge
from finestrec.stabilizers import Recipe, stabilizer

PARTS = split(markov_log(users=40, items=20, length=15, seed=0))
TEST = PARTS.held_out(50)
RECIPE = Recipe.of("lstm", model_options={"hidden": 8}, training={"epochs": 1, "lr": 0.02})


@pytest.fixture(scope="module")
def models() -> list[Any]:
    retrained = [stabilizer("retrain", RECIPE).fit(PARTS.train, seed) for seed in (0, 1)]
    return [retrained[0], stabilizer("blending:alpha=0.4", RECIPE).served(*retrained)]


def test_whole_rankings_are_kept_and_change_nothing(models: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "_FULL_RANKINGS_PER_CHUNK", 20 * 7)  # seven instances at a time
    at_once = [judge(model, TEST) for model in models]
    monkeypatch.setattr(comparing, "_KEPT_RANKINGS", len(TEST) * 20 - 1)
    by_and_by = [judge(model, TEST) for model in models]
    for model, judged, asked_again in zip(models, at_once, by_and_by, strict=True):
        assert judged.whole is not None
        assert asked_again.whole is None
        np.testing.assert_array_equal(judged.whole, model.rank(TEST, 20).items)
        for name in ("items", "target_ranks", "scores"):
            np.testing.assert_array_equal(getattr(judged.lists, name), getattr(asked_again.lists, name), err_msg=name)
    found, expected = compare_judged(*at_once, TEST), compare_judged(*by_and_by, TEST)
    assert found.means() == expected.means() == compare_judged(at_once[0], by_and_by[1], TEST).means()
    overlaps = average_overlap(*(model.rank(TEST, 20).items for model in models))
    np.testing.assert_array_equal(found.values[WHOLE_CATALOGUE], overlaps)


class _Stranger:
    asked: list[int]

    def __init__(self, model: Any) -> None:
        self._model, self.asked = model, []

    def rank(self, instances: Instances, k: int) -> TopLists:
        self.asked.append(k)
        return self._model.rank(instances, min(k, 10))


def test_a_stranger_is_asked_for_what_is_shown(models: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "RBO", comparing.parse_measure("RBO(p=0.9)@15"))
    stranger = _Stranger(models[0])
    assert judge(stranger, TEST).whole is None
    assert stranger.asked == [15]
