"""Twin consistency: both copies asked one window at a time, and that runs on different edits come to agree."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from finestrec.data.sequences import windows
from finestrec.models import build_model
from finestrec.stabilizers import stabilizer
from finestrec.stabilizers.simulation import Simulation
from finestrec.training.objectives import PositionScores
from finestrec.training.trained import TrainedModel
from rivals import RECIPE, TRAIN, fitted, incumbent

SIMULATION = Simulation(0.2, ("delete", "replace", "insert"), "least_popular")


def log_probabilities(model, cut, window: int) -> list[tuple[int, int, np.ndarray]]:
    """Id, target and log-probabilities of each instance of a window."""
    batch = cut.batch(np.array([window]))
    if not len(batch.targets):
        return []
    with torch.no_grad():
        rows = PositionScores(model, batch).all.double().log_softmax(-1).numpy()
    return list(zip(batch.ids.tolist(), batch.targets.tolist(), rows, strict=True))


@pytest.mark.parametrize("epoch", range(4))
def test_an_epoch_is_the_mean_of_both_copies_and_their_disagreement(epoch: int) -> None:
    curriculum = stabilizer("twin:weight=0.5:rho=0.2", RECIPE).curriculum(TRAIN, 3, incumbent())
    model = build_model("lrurec", 20, 5, {"hidden": 8, "blocks": 1}).eval()
    cut = curriculum.windows(epoch)
    dealt = cut.deal(16, 0, 0)
    found = [curriculum.losses(model, cut.batch(numbers)) for numbers in dealt]
    logs = [SIMULATION(TRAIN, 3, *indices) for indices in ((epoch,), (epoch, 2))]
    assert cut.log.interaction_ids.tolist() == logs[0].interaction_ids.tolist()
    assert sorted(logs[0].interaction_ids.tolist()) != sorted(logs[1].interaction_ids.tolist())
    surprise, disagreement = [], []
    for window in range(len(cut.start)):
        both = [log_probabilities(model, windows(log), window) for log in logs]
        surprise += [-row[target] for copy in both for _, target, row in copy]
        there = {identifier: row for identifier, _, row in both[1] if identifier >= 0}
        for identifier, _, p in both[0]:
            if identifier in there:
                q = there[identifier]
                disagreement.append(float((np.exp(p) * (p - q) + np.exp(q) * (q - p)).sum()) / 2)
    expected = curriculum.expected(model)
    assert len(disagreement) > 0.5 * cut.n_instances
    assert sum(losses["next_item"].item() for losses in found) == pytest.approx(sum(surprise) / 2 / expected, rel=1e-4)
    total = sum(losses["disagreement"].item() for losses in found)
    assert total == pytest.approx(0.5 * sum(disagreement) / expected, rel=1e-3)


@pytest.mark.parametrize("name", ["lstm", "bert4rec"])
def test_shares_of_a_batch_add_up(name: str) -> None:
    recipe = type(RECIPE).of(name, model_options={"hidden": 8})
    model = build_model(name, 20, 5, {"hidden": 8}).eval()
    trained = TrainedModel.of(model, TRAIN)
    curriculum = stabilizer("twin:rho=0.2", recipe).curriculum(TRAIN, 0, trained)
    cut = curriculum.windows(1)
    numbers = np.arange(40)
    parts = (numbers, numbers[::2], numbers[1::2])
    whole, *shares = (curriculum.losses(model, model.learning_batch(cut, part, 0, 1)) for part in parts)
    for part in curriculum.parts:
        torch.testing.assert_close(sum(share[part] for share in shares), whole[part], rtol=1e-4, atol=1e-6)


def test_a_window_that_the_second_copy_lacks_is_half_a_window() -> None:
    """All interactions of the window but one are deleted in the second copy."""
    curriculum = stabilizer("twin:rho=0.2", RECIPE).curriculum(TRAIN, 0, incumbent())
    cut = curriculum.windows(0)
    second = curriculum._second
    curriculum._second = replace(second, end=np.where(np.arange(len(second.end)) == 0, second.start + 1, second.end))
    model = build_model("lrurec", 20, 5, {"hidden": 8, "blocks": 1}).eval()
    losses = curriculum.losses(model, cut.batch(np.array([0])))
    (alone,) = (-sum(row[target] for _, target, row in log_probabilities(model, cut, 0)),)
    assert losses["next_item"].item() == pytest.approx(alone / 2 / curriculum.expected(model), rel=1e-5)
    assert losses["disagreement"].item() == 0


def disagreement(trained) -> float:
    """Of a model's predictions on pairs of edited logs that it was not trained on."""
    values = []
    for epoch in range(4):
        cuts = [windows(SIMULATION(TRAIN, 99, epoch, copy)) for copy in (2, 3)]
        here, there = (
            {i: row for window in range(80) for i, _, row in log_probabilities(trained.model, cut, window) if i >= 0}
            for cut in cuts
        )
        values += [((np.exp(here[i]) - np.exp(there[i])) * (here[i] - there[i])).sum() for i in here.keys() & there]
    return float(np.mean(values))


def test_predictions_come_to_agree_far_more_than_by_training_on_edits_alone() -> None:
    alone, together = (disagreement(fitted(f"twin:rho=0.2:weight={weight}")) for weight in (0, 3))
    assert together < 0.5 * alone
