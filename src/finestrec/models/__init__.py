"""Sequential recommenders, one paper a file, and the contract they keep."""

from typing import Any, Final

from finestrec.errors import OptionError
from finestrec.models.base import ModelOptions, NextItemModel
from finestrec.models.bert4rec import BERT4Rec
from finestrec.models.lrurec import LRURec
from finestrec.models.lstm import LSTM
from finestrec.models.sasrec import SASRec
from finestrec.models.tisasrec import TiSASRec
from finestrec.randomness import torch_stream

MODELS: Final[dict[str, type[NextItemModel]]] = {
    model.name: model for model in (LRURec, LSTM, SASRec, TiSASRec, BERT4Rec)
}
"""Every model by the name that `--model` takes."""


__all__ = [
    "LSTM",
    "MODELS",
    "BERT4Rec",
    "LRURec",
    "ModelOptions",
    "NextItemModel",
    "SASRec",
    "TiSASRec",
    "build_model",
    "model_type",
]


def model_type(name: str) -> type[NextItemModel]:
    """The class of a model by its name.

    Raises:
        OptionError: If the name is unknown; lists the choices.
    """
    if name not in MODELS:
        raise OptionError(f"unknown model {name!r}; known are {', '.join(MODELS)}")
    return MODELS[name]


def build_model(
    name: str,
    n_items: int,
    seed: int,
    options: dict[str, Any] | ModelOptions | None = None,
    *,
    max_length: int = 50,
) -> NextItemModel:
    """A new model with weights drawn from the stream (seed, "init").

    Args:
        name: A name of `MODELS`.
        n_items: N, the number of items it scores.
        seed: Of the initial weights.
        options: By field name, or complete.
        max_length: L, the longest input it will be given (`training.max_length`).

    Raises:
        OptionError: If the name is unknown.
    """
    cls = model_type(name)
    checked = options if isinstance(options, ModelOptions) else cls.options_type.model_validate(options or {})
    with torch_stream(seed, "init"):
        return cls(n_items, max_length, checked)
