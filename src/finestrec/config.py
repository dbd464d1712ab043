"""The options of a run, composed from the models that live beside the code they steer.

What wins: general defaults, then the model's own, then the layers given, in their order (a file, `--set`, flags).
Every key is ``section.key``, in TOML as on the command line::

    seed = 0

    [model]
    name = "lrurec"
    hidden = 64

    [training]
    epochs = 20
    clip_norm = "none"      # TOML has no null: "none" is it

`finest.preset = "authors"` stands for the authors' values of the model, below all other `finest` keys given.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import tomli_w
from pydantic import Field

from finestrec.data.log import InteractionLog
from finestrec.data.sources import read_log
from finestrec.data.splits import SplitOptions
from finestrec.errors import OptionError
from finestrec.models import MODELS, ModelOptions, model_type
from finestrec.options import NONE, Options, validated
from finestrec.stabilizers import Recipe
from finestrec.stabilizers.finest import AUTHORS_PRESETS, FinestOptions
from finestrec.training.options import DeviceOptions, TrainingOptions
from finestrec.training.trained import training_options

Layer = Mapping[str, Any]
"""Raw values: the top-level `seed`, and sections of keys."""


class DataOptions(Options):
    """How a log file is read."""

    user: str | None = None
    """Name of the user column; by default the usual names are recognised."""
    item: str | None = None
    """Name of the item column."""
    timestamp: str | None = None
    """Name of the time column."""
    header: bool | None = None
    """Whether the first line of a text file names the columns; by default that is found out."""
    min_length: int = Field(default=10, ge=1)
    """Users with fewer interactions take no part in training and evaluation."""

    def read(self, path: Path, like: InteractionLog | None = None) -> InteractionLog:
        """The whole log, users shorter than `min_length` included.

        Args:
            path: A file.
            like: An earlier log, whose ids are of the types that a text file does not tell.

        Raises:
            DataError: If the file or a value in it is not usable.
        """
        return read_log(path, user=self.user, item=self.item, timestamp=self.timestamp, header=self.header, like=like)


class ListOptions(Options):
    """The lists that a run folder keeps, one a user."""

    k: int = Field(default=10, ge=1)
    """Items a list, capped at the catalogue."""
    seen: Literal["keep", "drop"] = "keep"
    """Whether items that the user had before may stand in the list."""


class _Top(Options):
    seed: int = Field(default=0, ge=0)
    """Drives every random stream."""


_PLAIN: Final[dict[str, type[Options]]] = {
    "data": DataOptions,
    "split": SplitOptions,
    "lists": ListOptions,
    "device": DeviceOptions,
}
SECTIONS: Final = ("data", "split", "model", "training", "finest", "lists", "device")


@dataclass(frozen=True)
class Config:
    """All options of a run; equal runs have equal ones.

    Attributes:
        model_name: A name of `MODELS`.
        model: Options of that model.
        seed: Drives every random stream.
    """

    model_name: str
    model: ModelOptions
    training: TrainingOptions
    finest: FinestOptions = field(default_factory=FinestOptions)
    data: DataOptions = field(default_factory=DataOptions)
    split: SplitOptions = field(default_factory=SplitOptions)
    lists: ListOptions = field(default_factory=ListOptions)
    device: DeviceOptions = field(default_factory=DeviceOptions)
    seed: int = 0

    @property
    def recipe(self) -> Recipe:
        """What the stabilizers take."""
        return Recipe(self.model_name, self.model, self.training, self.finest, self.device)

    def to_layer(self) -> dict[str, Any]:
        """Every value, in TOML's terms."""
        layer: dict[str, Any] = {"seed": self.seed}
        for section in SECTIONS:
            values = getattr(self, section).model_dump(mode="json")
            layer[section] = {key: NONE if value is None else value for key, value in values.items()}
        layer["model"] = {"name": self.model_name, **layer["model"]}
        return layer

    def to_toml(self) -> str:
        """A file that `read_toml` and `compose` turn into the same options, with a comment per key."""
        layer = self.to_layer()
        lines = [f"seed = {layer.pop('seed')}"]
        for section, values in layer.items():
            described = type(getattr(self, section)).model_fields
            lines += ["", f"[{section}]"]
            for key, value in values.items():
                info = described.get(key)
                if info is not None and info.description:
                    lines.append(f"# {' '.join(info.description.split())}")
                lines.append(tomli_w.dumps({key: value}).strip())
        return "\n".join(lines) + "\n"

    def differences(self, other: "Config") -> list[str]:
        """Keys whose values differ, as ``key: this against that``."""
        ours, theirs = _flat(self.to_layer()), _flat(other.to_layer())
        return [
            f"{key}: {ours.get(key, NONE)!r} against {theirs.get(key, NONE)!r}"
            for key in dict.fromkeys([*ours, *theirs])
            if ours.get(key) != theirs.get(key)
        ]


def _flat(layer: Layer) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for section, values in layer.items():
        if isinstance(values, Mapping):
            flat.update({f"{section}.{key}": value for key, value in values.items()})
        else:
            flat[section] = values
    return flat


def setting(text: str) -> Layer:
    """A layer from one ``key=value``; the value is TOML, or a bare word, which is text.

    >>> setting("finest.kinds=delete"), setting("training.lr = 1e-3")
    ({'finest': {'kinds': 'delete'}}, {'training': {'lr': 0.001}})

    Raises:
        OptionError: If it is not of that form.
    """
    key, equals, value = (part.strip() for part in text.partition("="))
    names = key.split(".")
    if not equals or not all(names) or len(names) > 2:
        raise OptionError(f"{text!r} is not a setting; expected SECTION.KEY=VALUE, e.g. training.epochs=20")
    parsed = _toml_value(value)
    return {names[0]: parsed} if len(names) == 1 else {names[0]: {names[1]: parsed}}


def _toml_value(text: str) -> Any:
    try:
        document = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    value = document["value"]
    plain = isinstance(value, bool | int | float | str | list)
    return value if plain and len(document) == 1 else text


def compose(layers: Iterable[Layer]) -> Config:
    """The options that some layers make; later ones win.

    Raises:
        OptionError: If a key or a name is unknown, or a value does not fit; names the key as the user writes it.
    """
    merged = _merged(layers)
    top = {key: value for key, value in merged.items() if key not in SECTIONS}
    seed = validated(_Top, top, more=[f"{section}.*" for section in SECTIONS]).seed
    plain = {section: validated(options, merged.get(section, {}), section) for section, options in _PLAIN.items()}
    model_values = dict(merged.get("model", {}))
    name = model_values.pop("name", None)
    if not isinstance(name, str):
        raise OptionError(f"no model is named; choose one with --model NAME: {', '.join(MODELS)}")
    kind = model_type(name)
    training = training_options(name).model_dump() | merged.get("training", {})
    return Config(
        model_name=name,
        model=validated(kind.options_type, model_values, "model", more=["name"]),
        training=validated(TrainingOptions, training, "training"),
        finest=validated(FinestOptions, _with_preset(name, merged.get("finest", {})), "finest", more=["preset"]),
        seed=seed,
        **plain,  # type: ignore[arg-type]  # a section's type is that of its field
    )


def _merged(layers: Iterable[Layer]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            if key in SECTIONS and not isinstance(value, Mapping):
                raise OptionError(f"{key} is a section of options, not a value; expected {key}.KEY=VALUE")
            merged[key] = {**merged.get(key, {}), **value} if key in SECTIONS else value
    return merged


def without_preset(layer: Layer) -> Layer:
    """A layer without what the authors' preset of its model says, so that the preset can stand above it."""
    name = layer.get("model", {}).get("name", "")
    finest = {key: value for key, value in layer.get("finest", {}).items() if key not in AUTHORS_PRESETS.get(name, {})}
    return {**layer, "finest": finest}


def _with_preset(model: str, values: Mapping[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in values.items() if key != "preset"}
    preset = values.get("preset", NONE)
    if preset == NONE:
        return rest
    if preset != "authors":
        raise OptionError(f"finest.preset is {preset!r}; the only preset is 'authors'")
    if model not in AUTHORS_PRESETS:
        raise OptionError(
            f"finest.preset: the authors give no values for {model}, only for {', '.join(AUTHORS_PRESETS)}"
        )
    return {**AUTHORS_PRESETS[model], **rest}
