"""Defaults of models and of their training: the authors' settings (METHOD, section 3), as literals."""

from typing import Any

import pytest

from finestrec.models import MODELS
from finestrec.training.trained import training_options

OF_ALL: dict[str, Any] = {"epochs": 50, "lr": 1e-3, "max_length": 50, "window": "last", "patience": None}
SOFTMAX: dict[str, Any] = {"loss": "softmax", "weight_decay": 0, "betas": (0.9, 0.999), "clip_norm": None}
OF_EACH: dict[str, dict[str, Any]] = {
    "lrurec": {**SOFTMAX, "betas": (0.9, 0.98), "clip_norm": 5},
    "lstm": {**SOFTMAX, "weight_decay": 1e-5, "clip_norm": 5},
    "sasrec": SOFTMAX,
    "tisasrec": {**SOFTMAX, "loss": "bce", "negatives": 1, "weight_decay": 5e-5},
    "bert4rec": {**SOFTMAX, "clip_norm": 5},
}


@pytest.mark.parametrize("name", MODELS)
def test_defaults(name: str) -> None:
    found = training_options(name).model_dump()
    assert {key: found[key] for key in (*OF_ALL, *OF_EACH[name])} == {**OF_ALL, **OF_EACH[name]}
    options = MODELS[name].options_type().model_dump()
    dropout = {"bert4rec": 0.1}.get(name, 0.2)
    assert (options["hidden"], options["blocks"], options["dropout"]) == (128, 2, dropout)
    assert options.get("mask") == {"bert4rec": 0.2}.get(name)
