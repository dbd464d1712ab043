"""The file of an experiment: logs, models, methods and more to audit in every combination.

::

    title = "The frontier"
    logs = ["../data/reddit.tsv"]             # relative to the file
    models = ["lrurec", "sasrec"]
    seeds = 3                                 # a number of seeds, or a list of them
    perturbations = ["delete:random:0.001", "append:cut:1"]
    regimes = ["anchored-update", "unanchored"]
    methods = ["retrain", "warm_start", "finest:weight=1|3|10"]     # | makes one of each value

    [training]                                # sections as in a run's config.toml, for every model
    epochs = 10

    [model_options.lrurec]                    # options of one model alone
    hidden = 64
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import tomli_w
from pydantic import Field, field_validator

from finestrec.config import Config, Layer, compose
from finestrec.data.splits import Split
from finestrec.errors import OptionError
from finestrec.models import model_type
from finestrec.options import Options, read_toml, validated
from finestrec.runs.auditing import check_audit
from finestrec.runs.folder import Plan
from finestrec.runs.making import prepare

_SECTIONS: Final = ("data", "split", "model", "training", "finest", "device")
_OPEN: Final = ("perturbations", "methods", "regimes", "seeds", "floors", "unchanged")
_ALTERNATIVE: Final = "|"


class ExperimentOptions(Options):
    """What the file of an experiment says beside its sections."""

    title: str = "An experiment"
    """Stands above the tables."""
    logs: tuple[Path, ...] = Field(default=(), min_length=1)
    """Files of interactions, relative to the experiment's file."""
    models: tuple[str, ...] = Field(default=(), min_length=1)
    """Each is audited on each log."""
    seeds: tuple[Annotated[int, Field(ge=0, strict=True)], ...] = (0,)
    """A number of seeds, or a list of them; 3 is 0, 1 and 2."""
    perturbations: tuple[str, ...] = ("delete:random:0.001",)
    """SPECs; `delete:random:0.001|0.01` are two."""
    regimes: tuple[str, ...] = ("anchored-update",)
    """anchored-update, authors-protocol, unanchored."""
    methods: tuple[str, ...] = ("retrain", "warm_start", "finest")
    """METHODs, retrain among them; `finest:weight=1|3` are two."""
    baseline: str | None = None
    """One of the methods, spelled as there, that each is compared with beside retraining."""
    floors: bool = False
    """Whether what changes without a perturbation is measured too: the same seed twice, other seeds (with one seed that
    trains with a second), and every method with D in place of D'. No table of the page shows it."""
    instances: Literal["all", "first"] = "all"
    """Which test instances are compared: all, or each user's first."""
    model_options: dict[str, dict[str, Any]] = Field(default={})
    """Sections of options of one model, by its name."""

    @field_validator("seeds", mode="before")
    @classmethod
    def _counted(cls, value: Any) -> Any:
        return tuple(range(value)) if isinstance(value, int) and not isinstance(value, bool) else value


@dataclass(frozen=True)
class Cell:
    """One audit of an experiment.

    Attributes:
        data: Name of the log.
        parts: The log, split.
        config: All options of the training.
        what: perturbations, methods, regimes, seeds, floors, unchanged and instances, as `audit` takes them.
        fingerprint: Of the whole log.
    """

    data: str
    parts: Split
    config: Config
    what: dict[str, Any]
    fingerprint: str

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.data}-{self.config.model_name}"

    @property
    def plan(self) -> Plan:
        """Of its folder; an audit may be asked for more later."""
        return Plan("audit", self.config, {"fingerprint of LOG": self.fingerprint, **self.what}, _OPEN)


@dataclass(frozen=True)
class Experiment:
    """An experiment as its file describes it.

    Attributes:
        options: All but the sections.
        sections: Raw values of the sections, for every model.
    """

    options: ExperimentOptions
    sections: Layer

    @classmethod
    def read(cls, file: Path) -> "Experiment":
        """Read a file.

        Raises:
            OptionError: If it is missing or no TOML, a key is unknown, or a value does not fit.
        """
        content = read_toml(file)
        sections: Layer = {name: content.pop(name) for name in _SECTIONS if name in content}
        try:
            options = validated(ExperimentOptions, content, more=[f"{name}.*" for name in _SECTIONS])
        except OptionError as error:
            raise OptionError(f"{file}: {error}") from None
        logs = tuple(file.parent / log for log in options.logs)
        found = cls(options.model_copy(update={"logs": logs}), sections)
        found._check(file)
        return found

    def _check(self, file: Path) -> None:
        names = [data_name(log) for log in self.options.logs]
        for what, given in (("logs", names), ("models", self.options.models)):
            if len(set(given)) < len(given):
                raise OptionError(f"{file}: the {what} are {', '.join(given)}; expected different names")
        for model in self.options.models:
            self.config(model)
        unused = sorted(self.options.model_options.keys() - set(self.options.models))
        if unused:
            raise OptionError(f"{file}: model_options.{unused[0]} is of no model of the experiment")
        if "retrain" not in self.what["methods"]:
            raise OptionError(f"{file}: methods lacks retrain, which all others are compared with")
        baseline = self.options.baseline
        if baseline is not None and baseline not in self.what["methods"]:
            raise OptionError(f"{file}: baseline is {baseline!r}, which is none of {', '.join(self.what['methods'])}")
        for where in (self.sections.get("model", {}), *self.options.model_options.values()):
            if "name" in where:
                raise OptionError(f"{file}: model.name is set; the models of an experiment are those of models")

    def config(self, model: str) -> Config:
        """All options of one model's trainings; one thread, unless the file says more.

        Raises:
            OptionError: If one is unknown or does not fit.
        """
        model_type(model)
        own = {"model": {"name": model, **self.options.model_options.get(model, {})}}
        return compose([{"device": {"threads": 1}}, self.sections, own])

    @property
    def what(self) -> dict[str, Any]:
        """What each audit is asked for, as `audit` takes it."""
        return {
            "perturbations": spelled_out(self.options.perturbations),
            "methods": spelled_out(self.options.methods),
            "regimes": list(self.options.regimes),
            "seeds": list(self.options.seeds),
            "floors": self.options.floors,
            "unchanged": self.options.floors,
            "instances": self.options.instances,
        }

    def cells(self, engine: str) -> list[Cell]:
        """Every log with every model, read, split and checked.

        Args:
            engine: Where jobs are to run.

        Raises:
            DataError: If a log cannot be used, or not with a perturbation.
            OptionError: If something is unknown or named twice.
        """
        found = []
        for log in self.options.logs:
            first = self.config(self.options.models[0])
            whole = first.data.read(log)
            parts = prepare(whole, first).split
            for model in self.options.models:
                cell = Cell(data_name(log), parts, self.config(model), self.what, whole.fingerprint)
                check_audit(self.what, parts, engine, cell.config.recipe)
                found.append(cell)
        return found

    def plan(self, cells: Sequence[Cell]) -> Plan:
        """Of the experiment's folder. What is listed may grow or shrink later, options and logs have to stay."""
        inputs = {
            "title": self.options.title,
            "fingerprints": {f"fingerprint of {cell.data}": cell.fingerprint for cell in cells},
            "models": list(self.options.models),
            "baseline": self.options.baseline,
            "options": {
                f"{key} of {cell.config.model_name}": value for cell in cells for key, value in _flat(cell.config)
            },
            **self.what,
        }
        return Plan("experiment", None, inputs, (*(name for name in inputs if name != "instances"),))

    def to_toml(self) -> str:
        """A file that says the same from anywhere: the logs are whole paths."""
        top = self.options.model_dump(mode="json", exclude={"model_options"}, exclude_none=True)
        top["logs"] = [str(log.resolve()) for log in self.options.logs]
        more = {"model_options": self.options.model_options} if self.options.model_options else {}
        return tomli_w.dumps({**top, **self.sections, **more})


def data_name(log: Path) -> str:
    """What a log is called in tables and folders: its file's name without endings."""
    return log.name.partition(".")[0]


def spelled_out(texts: Sequence[str]) -> list[str]:
    """METHODs or SPECs with alternatives, each combination for itself.

    >>> spelled_out(["finest:weight=1|3:k=5", "retrain"])
    ['finest:weight=1:k=5', 'finest:weight=3:k=5', 'retrain']
    >>> spelled_out(["delete|replace:random:0.001|50"])[1:3]
    ['delete:random:50', 'replace:random:0.001']
    """
    return [":".join(chosen) for text in texts for chosen in product(*map(_alternatives, text.split(":")))]


def _alternatives(part: str) -> list[str]:
    key, equals, values = part.rpartition("=")
    return [f"{key}{equals}{value}" for value in values.split(_ALTERNATIVE)]


def _flat(config: Config) -> list[tuple[str, Any]]:
    layer: Mapping[str, Any] = config.to_layer()
    return [(f"{name}.{key}", layer[name][key]) for name in _SECTIONS for key in layer[name]]
