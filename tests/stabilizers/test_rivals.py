"""What holds of every rival of FINEST: its weakest setting, its strength, resuming, growth, words for what is wrong."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from foreign_modules import last_gru

from finestrec.errors import OptionError
from finestrec.stabilizers import STABILIZERS, FinestTuning, Recipe, stabilizer
from finestrec.stabilizers.finest import FinestOptions
from finestrec.training.options import DeviceOptions
from rivals import (
    RECIPE,
    TRAIN,
    KilledError,
    fitted,
    incumbent,
    kill_after,
    moved_over_seeds,
    same,
    smaller,
    thinned,
)

WEAKEST = {
    "l2_sp:weight=0": "warm_start",
    "gaps:weight=0:alpha=0": "warm_start",
    "interpolation:alpha=0": "warm_start",
    "ema:decay=0": "warm_start",
    "swa:start=1": "warm_start",
    "churn_distillation:weight=0": "warm_start",
    "focal_distillation:weight=0": "warm_start",
    "rank_distillation:weight=0": "warm_start",
    "fgsm:epsilon=0": "warm_start",
    "cascade_adversarial:rho=0": "warm_start",
    "twin:weight=0:rho=0": "warm_start",
    "bagging:weight=0:teachers=1": "retrain",
}
"""A method at its weakest, and what it is then."""
STRONG = [
    "gaps:weight=10",
    "gaps:weight=0:alpha=0.9",
    "finest:weight=0:alpha=0.9",
    "finest:teacher=batch:weight=10:order_margin=0.03:challenger_margin=0.03",
    "l2_sp:weight=10",
    "interpolation:alpha=0.9",
    "ema:decay=0.99",
    "churn_distillation:weight=10",
    "focal_distillation:weight=10",
    "rank_distillation:weight=10",
]
ALL = [
    *STRONG,
    "annealed:weight=10",
    "rbo",
    "swa",
    "fgsm:epsilon=0.3",
    "cascade_adversarial:rho=0.05",
    "twin:rho=0.1",
    "bagging:teachers=2",
]
"""Those whose strength is nearness to the incumbent, and the others."""


@pytest.mark.parametrize(("weakest", "plain"), WEAKEST.items())
def test_the_weakest_is_plain_training_bit_for_bit(weakest: str, plain: str) -> None:
    assert same(fitted(weakest), fitted(plain))


class Watched(FinestOptions):
    """Knows which of its options were looked at."""

    def __getattribute__(self, name: str) -> Any:
        if name in FinestOptions.model_fields:
            READ.add(name)
        return super().__getattribute__(name)


READ: set[str] = set()
SERVED = ["hysteresis", "hysteresis:over=warm_start", "blending:over=warm_start"]


@pytest.mark.parametrize("method", ["retrain", "warm_start", *ALL, *SERVED])
def test_what_it_reads_of_finests_options_is_declared(method: str) -> None:
    strategy = stabilizer(method, replace(RECIPE, finest=Watched(**RECIPE.finest.model_dump())))
    if isinstance(strategy, FinestTuning):
        assert strategy.of_finest == set(FinestOptions.model_fields)
        return
    READ.clear()
    strategy.fit(thinned(), 0, incumbent())
    assert strategy.trainer.of_finest == READ


@pytest.mark.parametrize("method", STRONG)
def test_a_strong_one_keeps_far_more_of_the_lists_than_a_warm_start(method: str) -> None:
    assert moved_over_seeds(method) < 0.6 * moved_over_seeds("warm_start")


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("epochs", [1, 2])
def test_a_killed_run_goes_on_to_the_same_bits(
    method: str, epochs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = tmp_path / "state.safetensors"
    with monkeypatch.context() as patched:
        kill_after(patched, epochs)
        with pytest.raises(KilledError):
            fitted(method, checkpoint=checkpoint)
    whole, resumed, again = fitted(method), fitted(method, checkpoint=checkpoint), fitted(method, checkpoint=checkpoint)
    assert same(whole, resumed)
    assert same(whole, again)
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.name]


@pytest.mark.parametrize("method", ALL)
def test_the_incumbent_is_not_touched(method: str) -> None:
    before = {key: value.clone() for key, value in incumbent().model.state_dict().items()}
    stabilizer(method, RECIPE).fit(thinned(), 0, incumbent())
    assert all(value.equal(before[key]) for key, value in incumbent().model.state_dict().items())
    assert not incumbent().model.training
    assert all(parameter.requires_grad for parameter in incumbent().model.parameters())


@pytest.mark.parametrize("method", ALL)
def test_a_catalogue_that_has_grown_is_learnt(method: str) -> None:
    """A recommender of 15 items is brought to 20."""
    trained = stabilizer(method, RECIPE).fit(TRAIN, 0, smaller())
    assert trained.model.n_items == 20
    assert all(bool(weight.isfinite().all()) for weight in trained.model.state_dict().values())
    assert not trained.model.items.weight[15:].equal(RECIPE.copy_of(smaller(), 20).items.weight[15:])


@pytest.mark.parametrize("name", sorted({method.partition(":")[0] for method in ALL}))
def test_an_unknown_option_or_a_bad_value_is_a_sentence(name: str) -> None:
    strength = STABILIZERS[name].strength or "start"
    with pytest.raises(OptionError, match="unknown option strenght"):
        stabilizer(f"{name}:strenght=1", RECIPE)
    with pytest.raises(OptionError, match=f"{strength} is '-1'; it should be greater than or equal to 0"):
        stabilizer(f"{name}:{strength}=-1", RECIPE)


@pytest.mark.parametrize("method", [method for method in ALL if not method.startswith("fgsm")])
def test_a_module_of_ones_own_that_answers_once_a_row_has_them_too(method: str) -> None:
    recipe = Recipe.of(last_gru, training={"epochs": 1, "max_length": 12}, finest={"epochs": 1})
    base = stabilizer("retrain", recipe).fit(TRAIN, 0)
    trained = stabilizer(method, recipe).fit(TRAIN, 0, base)
    assert all(bool(weight.isfinite().all()) for weight in trained.model.state_dict().values())
    assert not same(trained, base)


@pytest.mark.parametrize("method", ["churn_distillation:weight=10", "twin:rho=0.1"])
def test_two_devices_compute_what_one_does(method: str) -> None:
    """Without dropout, whose masks each device draws for its own rows."""
    one = replace(
        RECIPE,
        model_options=RECIPE.model_options.model_copy(update={"dropout": 0.0}),
        finest=RECIPE.finest.model_copy(update={"epochs": 1, "lr": 1e-3}),
        device=DeviceOptions(threads=1),
    )
    two = replace(one, device=DeviceOptions(devices=2, threads=1))
    base = stabilizer("retrain", one).fit(TRAIN, 0)
    found, expected = (stabilizer(method, recipe).fit(TRAIN, 0, base).model.state_dict() for recipe in (two, one))
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-3, atol=2e-4)
