"""Adversarial training: moved embeddings against a change in place, edits against the scores of the cascade."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from foreign_modules import left_hidden, right_gru

from finestrec.data.sequences import windows
from finestrec.errors import UnsupportedError
from finestrec.models import build_model
from finestrec.perturbation.cascade import Cascade
from finestrec.stabilizers import stabilizer
from finestrec.training.objectives import PositionScores
from finestrec.training.trained import TrainedModel
from rivals import RECIPE, TRAIN, fitted, incumbent, thinned


def attacked(model, table, batch, epsilon: float, move: str = "normalised"):
    """The loss, and the loss and its gradient by the table, when the table is overwritten."""
    loss = F.cross_entropy(PositionScores(model, batch).all, batch.targets)
    (gradient,) = torch.autograd.grad(loss, table)
    direction = gradient / gradient.norm(dim=1, keepdim=True).clamp(min=1e-12)
    before = table.detach().clone()
    with torch.no_grad():
        table += epsilon * (gradient.sign() if move == "sign" else direction)
    moved = F.cross_entropy(PositionScores(model, batch).all, batch.targets)
    (there,) = torch.autograd.grad(moved, table)
    with torch.no_grad():
        table.copy_(before)
    return loss.item(), moved.item(), there


@pytest.mark.parametrize("move", ["normalised", "sign"])
@pytest.mark.parametrize("name", ["lrurec", "lstm", "bert4rec", "tisasrec"])
def test_the_second_loss_is_that_of_the_table_moved_against_the_first(name: str, move: str) -> None:
    model = build_model(name, 20, 5, {"hidden": 8, "blocks": 1}).eval()
    trained = TrainedModel.of(model, TRAIN, training={"loss": "softmax", "batch_size": 1000})
    recipe = type(RECIPE).of(name, training={"loss": "softmax", "batch_size": 1000, "max_length": 50})
    curriculum = stabilizer(f"fgsm:epsilon=0.3:weight=2:move={move}", recipe).curriculum(TRAIN, 0, trained)
    batch = model.learning_batch(curriculum.windows(0), np.arange(80), 0, 0)
    scale = len(batch.targets) / curriculum.expected(model)
    before = model.items.weight.detach().clone()
    losses = curriculum.losses(model, batch)
    loss, moved, there = attacked(model, model.items.weight, batch, 0.3, move)
    assert losses["next_item"].item() == pytest.approx(scale * loss, rel=1e-4)
    assert losses["adversarial"].item() == pytest.approx(2 * scale * moved, rel=1e-4)
    (found,) = torch.autograd.grad(losses["adversarial"], model.items.weight)
    torch.testing.assert_close(found, 2 * scale * there, rtol=1e-3, atol=1e-5)
    assert model.items.weight.equal(before)
    assert moved > loss


def test_trained_against_moves_they_hurt_less() -> None:
    batch = windows(TRAIN).batch(np.arange(80))
    rises = []
    for method in ("warm_start", "fgsm:epsilon=0.5"):
        model = fitted(method).model
        loss, moved, _ = attacked(model, model.items.weight, batch, 0.5)
        rises.append(moved - loss)
    assert rises[1] < 0.6 * rises[0]


def test_a_module_of_ones_own_is_moved_where_its_table_is_declared() -> None:
    model = left_hidden(20, 50).eval()
    trained = TrainedModel.of(model, TRAIN)
    curriculum = stabilizer("fgsm:epsilon=0.3", RECIPE).curriculum(TRAIN, 0, trained)
    batch = curriculum.windows(0).batch(np.arange(80))
    _, moved, _ = attacked(model, model.module.items.weight, batch, 0.3)
    scale = len(batch.targets) / curriculum.expected(model)
    assert curriculum.losses(model, batch)["adversarial"].item() == pytest.approx(scale * moved, rel=1e-4)


def test_a_module_whose_table_is_not_known_is_refused() -> None:
    trained = TrainedModel.of(right_gru(20, 50), TRAIN)
    with pytest.raises(UnsupportedError, match="the item table, and that of torch module is not known; declare it"):
        stabilizer("fgsm", RECIPE).fit(TRAIN, 0, trained)


def test_the_edited_interactions_are_those_of_the_largest_cascades_in_every_epoch() -> None:
    log = thinned()
    curriculum = stabilizer("cascade_adversarial:rho=0.05", RECIPE).curriculum(log, 0, incumbent())
    scores = Cascade.of(log, 50).scores("exact")
    count = int(0.05 * len(log))
    kinds = set()
    for epoch in range(8):
        edited = curriculum.windows(epoch).log
        kinds.add(len(edited) - len(log))
        if len(edited) > len(log):
            continue
        gone = ~np.isin(log.interaction_ids, edited.interaction_ids)
        assert gone.sum() == count
        assert scores[gone].min() >= scores[~gone].max()
    assert kinds == {-count, 0, count}
