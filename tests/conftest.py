"""Small logs and options that several tests share."""

import pytest
import torch
from hypothesis import settings

from chains import markov_log
from finestrec.data.log import InteractionLog
from finestrec.stabilizers import Recipe

# A busy machine is no failure: no test asserts on time.
settings.register_profile("finestrec", deadline=None)
settings.load_profile("finestrec")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def chain() -> InteractionLog:
    """A log whose order can be learnt: 200 users, 30 items, 15 interactions each."""
    return markov_log(200, 30, 15, seed=0)


@pytest.fixture(scope="session")
def small_recipe() -> Recipe:
    """A model that trains in a second."""
    return Recipe.of(
        "lrurec",
        model_options={"hidden": 16, "blocks": 1},
        training={"epochs": 3, "lr": 5e-3},
        finest={"epochs": 2, "k": 10, "lr": 1e-3},
    )
