"""Influence against a gradient an instance, by autograd."""

from typing import Any

import numpy as np
import pytest
import torch

from chains import markov_log
from finestrec.data.log import InteractionLog
from finestrec.data.sequences import Instances
from finestrec.data.splits import Split, split
from finestrec.errors import OptionError, UnsupportedError
from finestrec.perturbation.selectors import rows_with_highest
from finestrec.stability.influence import influence
from finestrec.training.state import TrainingState
from finestrec.training.trained import TrainedModel, fit

Made = tuple[Split, TrainedModel, list[TrainingState]]


@pytest.fixture(scope="module", params=["lrurec", "sasrec", "bert4rec"])
def made(request: pytest.FixtureRequest) -> Made:
    parts = split(markov_log(12, 9, 12, seed=1))
    states: list[TrainingState] = []
    options: Any = {"model_options": {"hidden": 8, "blocks": 1}, "training": {"epochs": 3, "lr": 0.02, "max_length": 6}}
    return parts, fit(parts.train, request.param, 0, **options, on_epoch=states.append), states


def gradients(trained: TrainedModel, asked: Any) -> dict[int, torch.Tensor]:
    """Of each instance's loss by the output layer alone, table and bias in one row; by the instance's number."""
    model = trained.model.eval()
    found = {}
    for members, batch in asked:
        hidden = batch.at_positions(model.hidden(batch)).detach()
        for number, state, target in zip(members, hidden, batch.targets, strict=True):
            table = model.items.weight.detach().clone().requires_grad_()
            bias = model.items.bias.detach().clone().requires_grad_()
            loss = torch.nn.functional.cross_entropy((table @ state + bias)[None], target[None])
            found[int(number)] = torch.cat([g.flatten() for g in torch.autograd.grad(loss, [table, bias])])
    return found


@pytest.mark.parametrize("on", ["test", "self"])
def test_it_is_the_sum_of_products_of_gradients(made: Made, on: Any) -> None:
    parts, trained, states = made
    test = parts.held_out(6)
    got = influence(trained, states, test, on=on)
    expected = np.zeros(len(parts.train))
    final = trained.state.weights
    instances = trained.windows.instances()
    for state in states:
        trained.model.load_state_dict(state.weights)
        ours = gradients(trained, trained.model.reference_batches(trained.windows, 64))
        tests = gradients(trained, trained.model.ranking_batches(test, 64))
        mean = torch.stack(list(tests.values())).mean(0)
        for number, gradient in ours.items():
            expected[instances.end[number]] += 0.02 * float(gradient @ (mean if on == "test" else gradient))
    trained.model.load_state_dict(final)
    np.testing.assert_allclose(got, expected, rtol=2e-4, atol=1e-6)
    assert (got != 0).sum() == len(instances)
    if on == "self":
        assert got.min() >= 0


def test_the_model_is_as_it_was_and_the_highest_can_be_selected(made: Made) -> None:
    parts, trained, states = made
    before = {name: weight.clone() for name, weight in trained.model.state_dict().items()}
    scores = np.abs(influence(trained, states, parts.held_out(6)))
    assert all(torch.equal(weight, before[name]) for name, weight in trained.model.state_dict().items())
    rows = rows_with_highest(parts.train, scores, 3)
    assert scores[rows].min() >= np.sort(scores)[-3]


def test_surprising_interactions_influence_themselves_most() -> None:
    """A tenth of the chain's steps are jumps; having learnt the chain, the model has to learn those by heart."""
    log = markov_log(150, 20, 15, seed=2)
    states: list[TrainingState] = []
    options: Any = {"model_options": {"hidden": 16, "blocks": 1}, "training": {"epochs": 8, "lr": 1e-2}}
    trained = fit(log, "lrurec", 0, **options, on_epoch=states.append)
    scores = influence(trained, states[4:], empty(log), on="self")
    cycle = np.random.default_rng(99).permutation(20)
    following = np.empty(20, dtype=np.int64)
    following[cycle] = np.roll(cycle, -1)
    rows = np.flatnonzero(scores > 0)
    jumps = log.items[rows] != following[log.items[rows - 1]]
    assert 0.05 < jumps.mean() < 0.2
    assert np.median(scores[rows][jumps]) > 3 * np.median(scores[rows][~jumps])


def empty(log: InteractionLog) -> Instances:
    return split(log).held_out(5).subset(slice(0, 0))


def test_mistakes(made: Made) -> None:
    parts, trained, states = made
    test = parts.held_out(6)
    with pytest.raises(OptionError, match="none was given"):
        influence(trained, [], test)
    with pytest.raises(OptionError, match="unknown kind of influence 'train'; known are test, self"):
        influence(trained, states, test, on="train")  # type: ignore[arg-type]
    table = trained.model.items
    trained.model.items = torch.nn.Linear(2, 2)
    with pytest.raises(UnsupportedError, match="does not score by an item table"):
        influence(trained, states, test)
    trained.model.items = table
