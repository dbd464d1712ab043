"""L2-SP: the penalty in numpy, shares of a batch, and what a grown catalogue leaves free."""

import numpy as np
import pytest
import torch

from finestrec.models import build_model
from finestrec.stabilizers import stabilizer
from rivals import RECIPE, TRAIN, incumbent, smaller


def other(n_items: int = 20):
    return build_model("lrurec", n_items, 5, {"hidden": 8, "blocks": 1}).eval()


def squared_distance(model, anchor) -> float:
    there = {name: weight.detach().numpy() for name, weight in anchor.named_parameters()}
    here = {name: weight.detach().numpy() for name, weight in model.named_parameters()}
    return sum(float(((here[name][: len(old)] - old) ** 2).sum()) for name, old in there.items())


@pytest.mark.parametrize("anchor", [incumbent, smaller])
def test_an_epoch_bears_half_the_weight_times_the_squared_distance_a_step(anchor) -> None:
    curriculum = stabilizer("l2_sp:weight=0.3", RECIPE).curriculum(TRAIN, 0, anchor())
    cut = curriculum.windows(0)
    batches = [cut.batch(dealt) for dealt in cut.deal(16, 0, 0)]
    penalties = [curriculum.losses(other(), batch)["distance"].item() for batch in batches]
    expected = 0.15 * squared_distance(other(), anchor().model)
    assert np.mean(penalties) == pytest.approx(expected, rel=1e-4)


def test_shares_of_a_batch_add_up() -> None:
    curriculum = stabilizer("l2_sp:weight=0.3", RECIPE).curriculum(TRAIN, 0, incumbent())
    cut = curriculum.windows(0)
    dealt = cut.deal(16, 0, 0)[0]
    model = other()
    whole, *shares = (curriculum.losses(model, cut.batch(part)) for part in (dealt, dealt[::2], dealt[1::2]))
    for part in curriculum.parts:
        torch.testing.assert_close(sum(share[part] for share in shares), whole[part])


def test_the_pull_is_along_the_way_back() -> None:
    """The gradient of the penalty is weight * (w - w0), and 0 for the rows of new items."""
    curriculum = stabilizer("l2_sp:weight=0.3", RECIPE).curriculum(TRAIN, 0, smaller())
    cut = curriculum.windows(0)
    batch, model = cut.batch(np.arange(len(cut.start))), other()
    curriculum.losses(model, batch)["distance"].backward()
    share = len(batch.targets) / (cut.n_instances / cut.n_batches(16))
    table, old = model.items.weight, smaller().model.items.weight
    torch.testing.assert_close(table.grad[:15], share * 0.3 * (table.detach()[:15] - old))
    assert not table.grad[15:].any()
