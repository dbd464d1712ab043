"""A learning rate that falls to zero."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from finestrec.stabilizers import stabilizer
from finestrec.training.options import DeviceOptions
from rivals import RECIPE, TRAIN, incumbent, kept, same, thinned


def rates_of(method: str) -> list[float]:
    """The learning rate of each step."""
    rates: list[float] = []
    base = incumbent()
    hook = register_optimizer_step_pre_hook(lambda optimizer, *_: rates.append(optimizer.param_groups[0]["lr"]))
    stabilizer(method, RECIPE).fit(thinned(), 0, base)
    hook.remove()
    return rates


def test_the_rate_falls_in_a_straight_line_to_zero() -> None:
    constant, falling = rates_of("finest"), rates_of("annealed")
    n = len(constant)
    assert constant == [RECIPE.finest.lr] * n
    assert n == 8 * 5  # epochs of 80 windows in batches of 16
    assert falling == pytest.approx([2 * RECIPE.finest.lr * (n - step) / n for step in range(n)])


def test_nothing_else_differs_from_finest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finestrec.stabilizers.annealed.falling", lambda _: 1.0)
    plain = stabilizer("annealed:weight=2:k=4", RECIPE).fit(thinned(), 0, incumbent())
    assert same(plain, stabilizer("finest:weight=2:k=4", RECIPE).fit(thinned(), 0, incumbent()))


def test_steps_that_learn_nothing_new_move_lists_less() -> None:
    """On the log that the incumbent was trained on."""
    longer = RECIPE.finest.model_copy(update={"lr": 0.01, "epochs": 16})
    recipe = replace(RECIPE, finest=longer)
    moved = {
        method: np.mean([1 - kept(stabilizer(method, recipe).fit(TRAIN, seed, incumbent())) for seed in range(4)])
        for method in ("finest", "annealed")
    }
    assert moved["annealed"] < 0.9 * moved["finest"]


def test_two_devices_compute_what_one_does() -> None:
    """Without dropout, whose masks each device draws for its own rows."""
    one = replace(
        RECIPE,
        model_options=RECIPE.model_options.model_copy(update={"dropout": 0.0}),
        finest=RECIPE.finest.model_copy(update={"epochs": 2, "lr": 1e-3}),
        device=DeviceOptions(threads=1),
    )
    base = stabilizer("retrain", one).fit(thinned(), 0)
    recipes = (one, replace(one, device=DeviceOptions(devices=2, threads=1)))
    first, second = (stabilizer("annealed", recipe).fit(thinned(), 0, base).model.state_dict() for recipe in recipes)
    for name, weight in first.items():
        torch.testing.assert_close(second[name], weight, rtol=1e-4, atol=1e-5, msg=name)
