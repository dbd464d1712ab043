"""Averages of weights, against the same averages of recorded weights, in numpy."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from finestrec.stabilizers import stabilizer
from finestrec.stabilizers.base import SaveTo
from finestrec.training.averaging import Averaging
from finestrec.training.loop import train
from finestrec.training.objectives import NextItem
from finestrec.training.state import TrainingState
from rivals import RECIPE, TRAIN, fitted, incumbent, same, smaller, thinned


def weights(trained):
    return {name: weight.numpy().astype(np.float64) for name, weight in trained.model.state_dict().items()}


def assert_close(found, expected) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5)


def test_interpolation_is_the_line_between_the_two() -> None:
    old, new, mixed = weights(incumbent()), weights(fitted("warm_start")), weights(fitted("interpolation:alpha=0.3"))
    assert_close(mixed, {name: 0.7 * new[name] + 0.3 * old[name] for name in old})
    assert same(fitted("interpolation:alpha=1"), incumbent())


def test_items_that_the_incumbent_lacks_are_the_warm_starts() -> None:
    mixed, warm = (stabilizer(method, RECIPE).fit(TRAIN, 0, smaller()) for method in ("interpolation", "warm_start"))
    assert mixed.model.items.weight[15:].equal(warm.model.items.weight[15:])
    torch.testing.assert_close(
        mixed.model.items.weight[:15], (warm.model.items.weight[:15] + smaller().model.items.weight) / 2
    )


def test_in_another_regime_the_line_leads_to_the_anchor() -> None:
    strategy = replace(stabilizer("interpolation:alpha=1", RECIPE), anchor=incumbent())
    assert same(strategy.fit(thinned(), 0, fitted("warm_start")), incumbent())


def recorded(monkeypatch: pytest.MonkeyPatch, epochs_of_one_step: int):
    """The weights after each step of a warm start whose epochs are one step long."""
    recipe = replace(
        RECIPE,
        training=RECIPE.training.model_copy(update={"batch_size": 1000}),
        finest=RECIPE.finest.model_copy(update={"epochs": epochs_of_one_step}),
    )
    states: list[TrainingState] = []
    monkeypatch.setattr("finestrec.stabilizers.finetuning.saver", lambda _: states.append)
    fitted("warm_start", recipe)
    return recipe, [{name: w.numpy().astype(np.float64) for name, w in state.weights.items()} for state in states]


@pytest.mark.parametrize("decay", [0.3, 0.9])
def test_ema_is_the_recurrence_over_steps(decay: float, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, steps = recorded(monkeypatch, 4)
    average = weights(incumbent())
    for step in steps:
        average = {name: decay * average[name] + (1 - decay) * step[name] for name in average}
    assert_close(weights(fitted(f"ema:decay={decay}", recipe)), average)


def test_ema_counts_every_step_of_an_epoch(tmp_path) -> None:
    checkpoint = tmp_path / "state.safetensors"
    assert same(fitted("ema:decay=1", checkpoint=checkpoint), incumbent())
    steps = RECIPE.finest.epochs * NextItem(thinned(), RECIPE.finetuning, 0).windows(0).n_batches(16)
    assert TrainingState.load(checkpoint).averages["n_averaged"] == 1 + steps


@pytest.mark.parametrize(("start", "skipped"), [(0, 0), (0.5, 2), (0.8, 3), (1, 3)])
def test_swa_is_the_mean_over_epochs(start: float, skipped: int, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, epochs = recorded(monkeypatch, 4)
    mean = {name: np.mean([epoch[name] for epoch in epochs[skipped:]], 0) for name in epochs[0]}
    assert_close(weights(fitted(f"swa:start={start}", recipe)), mean)


def test_a_run_ends_with_its_average_on_two_devices_too(tmp_path) -> None:
    options = RECIPE.finetuning.model_copy(update={"epochs": 2})
    device = RECIPE.device.model_copy(update={"devices": 2, "threads": 1})
    model = RECIPE.copy_of(incumbent())
    file = SaveTo(tmp_path / "state.safetensors")
    averaging = Averaging(decay=0.5)
    state = train(model, NextItem(thinned(), options, 0), options, 0, device=device, averaging=averaging, on_epoch=file)
    assert all(weight.equal(state.final_weights[name]) for name, weight in model.state_dict().items())
    assert not model.items.weight.equal(state.weights["items.weight"])
    assert TrainingState.load(file.path).final_weights["items.weight"].equal(model.items.weight)


def test_a_state_of_before_has_no_average(tmp_path) -> None:
    """A file that was written without the group is read as one of a run without averaging."""
    state = TrainingState.of(incumbent().model)
    state.save(tmp_path / "state.safetensors")
    loaded = TrainingState.load(tmp_path / "state.safetensors")
    assert loaded.averages == {}
    assert loaded.final_weights is loaded.weights
