"""Sequential recommenders, one paper a file, and the contract they keep."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from torch import nn

from finestrec.errors import OptionError
from finestrec.models.base import ModelOptions, NextItemModel
from finestrec.models.bert4rec import BERT4Rec
from finestrec.models.lrurec import LRURec
from finestrec.models.lstm import LSTM
from finestrec.models.sasrec import SASRec
from finestrec.models.tisasrec import TiSASRec
from finestrec.options import Options, validated
from finestrec.randomness import torch_stream

MODELS: Final[dict[str, type[NextItemModel]]] = {
    model.name: model for model in (LRURec, LSTM, SASRec, TiSASRec, BERT4Rec)
}
"""Every model by the name that `--model` takes."""

ModelFactory = Callable[[int, int], NextItemModel]
"""Makes a model of your own with initial weights, from the number of items and the longest input."""

__all__ = [
    "LSTM",
    "MODELS",
    "BERT4Rec",
    "LRURec",
    "ModelFactory",
    "ModelOptions",
    "NextItemModel",
    "SASRec",
    "TiSASRec",
    "build_model",
    "check_model",
    "model_name",
    "model_type",
]


def model_name(model: str | ModelFactory) -> str:
    """What rows call a model: its name, or where its factory is."""
    if isinstance(model, str):
        return model
    factory = model.func if isinstance(model, partial) else model
    if not hasattr(factory, "__qualname__"):
        factory = type(factory)
    return f"{factory.__module__}.{factory.__qualname__}"


def model_type(name: str) -> type[NextItemModel]:
    """The class of a model by its name.

    Raises:
        OptionError: If the name is unknown; lists the choices.
    """
    if name not in MODELS:
        raise OptionError(f"unknown model {name!r}; known are {', '.join(MODELS)}")
    return MODELS[name]


def check_model(model: object) -> None:
    """Refuse what is neither the name of a model nor something that makes one.

    Raises:
        OptionError: If it is not.
    """
    if isinstance(model, str):
        model_type(model)
    elif isinstance(model, nn.Module) or not callable(model):
        raise OptionError(
            f"the model is a {type(model).__name__}; expected a name ({', '.join(MODELS)}) or a function that makes a"
            " model from the number of items and the longest input: return finestrec.models.adapters.adapt(module,"
            " n_items, max_length, Declaration(...)) from it"
        )


def build_model(
    model: str | ModelFactory,
    n_items: int,
    seed: int,
    options: dict[str, Any] | Options | None = None,
    *,
    max_length: int = 50,
) -> NextItemModel:
    """A new model with weights drawn from the stream (seed, "init").

    Args:
        model: A name of `MODELS`, or a factory of a model of your own; what it draws from torch's generator is drawn
            from the stream.
        n_items: N, the number of items it scores.
        seed: Of the initial weights.
        options: By field name, or complete; a factory has none.
        max_length: L, the longest input it will be given (`training.max_length`).

    Raises:
        OptionError: If the name is unknown, or the factory makes something else than a model of this size.
    """
    if not isinstance(model, str):
        return _made(model, n_items, max_length, seed)
    cls = model_type(model)
    values = options.model_dump() if isinstance(options, Options) else options or {}
    checked = options if isinstance(options, ModelOptions) else validated(cls.options_type, values, "model")
    with torch_stream(seed, "init"):
        return cls(n_items, max_length, checked)


def _made(factory: ModelFactory, n_items: int, max_length: int, seed: int) -> NextItemModel:
    with torch_stream(seed, "init"):
        made: object = factory(n_items, max_length)
    name = model_name(factory)
    if not isinstance(made, NextItemModel):
        raise OptionError(
            f"{name} made a {type(made).__name__}; expected a NextItemModel: return"
            " finestrec.models.adapters.adapt(module, n_items, max_length, Declaration(...))"
        )
    if made.n_items != n_items or made.max_length < max_length:
        raise OptionError(
            f"{name} made a model of {made.n_items} items that reads {made.max_length}; it was asked for {n_items}"
            f" items and inputs of {max_length}"
        )
    return made
