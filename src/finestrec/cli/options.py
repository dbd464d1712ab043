"""Arguments and options that commands share, each declared once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finestrec.cli.terminal import Terminal

if TYPE_CHECKING:
    from finestrec.config import Config, Layer
    from finestrec.runs.searching import Limits
    from finestrec.stabilizers import Strategy

GATE_FAILED = 1
"""The exit code of a gate that failed and of a budget that was not met."""

LogFile = Annotated[
    Path,
    typer.Argument(
        metavar="LOG", show_default=False, help="Interactions: csv, tsv, inter (also .gz, .zst) or Parquet."
    ),
]
Folder = Annotated[
    Path, typer.Argument(metavar="DIR", show_default=False, help="A folder that `train`, `stabilize` or `update` made.")
]
OutFolder = Annotated[Path, typer.Option("--out", metavar="DIR", show_default=False, help="The run folder to make.")]
ModelName = Annotated[
    str | None, typer.Option("--model", metavar="NAME", show_default=False, help="See `finestrec models`.")
]
Method = Annotated[
    str,
    typer.Option(
        metavar="METHOD",
        help="NAME[:option=value...], e.g. finest, finest:weight=10, warm_start; see `finestrec methods`.",
    ),
]
SplitMethod = Annotated[
    str | None,
    typer.Option(
        "--split",
        metavar="METHOD",
        show_default=False,
        help="What is held out for evaluation: last-fraction, leave-one-out, time or none.",
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        show_default=False,
        help="Trainings at a time; several have one thread each, unless device.threads says more."
        " \\[default: 1; with --engine ray as many as it has CPUs for]",
    ),
]
EngineOption = Annotated[
    str, typer.Option(metavar="NAME", help="local, or ray: on the cluster of RAY_ADDRESS, which has to see --out.")
]
SPEC_HELP = (
    "KIND:SELECTOR:AMOUNT, e.g. delete:random:0.001. Kinds: delete, replace, insert. Selectors: random, earliest,"
    " latest, casper, influence, user, item. Or append:cut:DAYS."
)
"""What a perturbation may be."""


def _one(key: str, value: Any) -> "Layer":
    section, _, name = key.partition(".")
    if value is None:
        return {}
    return {section: {name: value}} if name else {section: value}


@dataclass(frozen=True)
class LogChoices:
    """What composes options where nothing is trained."""

    config: Annotated[
        Path | None, typer.Option(metavar="FILE", show_default=False, help="Options in TOML, e.g. a run's config.toml.")
    ] = None
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", show_default=False, help="One option, e.g. training.epochs=20. Repeatable."
        ),
    ] = None
    seed: Annotated[
        int | None,
        typer.Option(metavar="S", min=0, show_default=False, help="Drives every random stream. \\[default: 0]"),
    ] = None

    def layers(self) -> "list[Layer]":
        """The file, then `--set`, then the flags.

        Raises:
            OptionError: If the file or a setting cannot be read.
        """
        from finestrec.config import setting
        from finestrec.options import read_toml

        return [
            *([read_toml(self.config)] if self.config else []),
            *(setting(text) for text in self.set_ or []),
            _one("seed", self.seed),
        ]

    def compose(self, *, below: "list[Layer] | None" = None, **flags: Any) -> "Config":
        """The options of the run.

        Args:
            below: Layers under the file, e.g. the options of an earlier run.
            flags: The command's own flags by key, "." as "__"; None for those not given.

        Raises:
            OptionError: If a key is unknown, a value does not fit, or there is no such device.
        """
        from finestrec.config import compose, without_preset

        own = [*self.layers(), *(_one(key.replace("__", "."), value) for key, value in flags.items())]
        under = list(below or [])
        if any("preset" in layer.get("finest", {}) for layer in own):
            # The options of an earlier run are complete, so the preset's keys would always be overridden by them.
            under = [without_preset(layer) for layer in under]
        config = compose([*under, *own])
        if config.device.device in ("cuda", "mps") or config.device.precision != "32-true":
            from finestrec.training.loop import check_available

            check_available(config.device)
        if config.device.threads is not None:
            import torch

            # Ranking and reference lists come before and after training, which sets its own.
            torch.set_num_threads(config.device.threads)
        return config


@dataclass(frozen=True)
class Choices(LogChoices):
    """Everything that composes the options of a run."""

    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, show_default=False, help="CPU threads of each process.")
    ] = None
    device: Annotated[
        str | None, typer.Option(metavar="KIND", show_default=False, help="cpu (the default), cuda, mps or auto.")
    ] = None
    devices: Annotated[
        int | None, typer.Option(metavar="N", min=1, show_default=False, help="Devices that share the training.")
    ] = None

    def layers(self) -> "list[Layer]":
        """See `LogChoices`."""
        return [
            *super().layers(),
            _one("device.threads", self.threads),
            _one("device.device", self.device),
            _one("device.devices", self.devices),
        ]

    def refuse_unread(self, method: str, strategy: "Strategy") -> None:
        """Refuse an option of FINEST that is set, but not read by the one method that is used, or named by it too.

        Raises:
            OptionError: If there is one.
        """
        from finestrec.config import setting
        from finestrec.errors import OptionError
        from finestrec.stabilizers.finest import FinestOptions

        named = [key for text in self.set_ or [] for key in dict(setting(text)).get("finest", ())]
        is_finest = isinstance(strategy.options, FinestOptions)
        read = strategy.trainer.of_finest | ({"preset"} if is_finest else set())
        of_method = {each.partition("=")[0] for each in method.split(":")[1:]}
        for key in named:
            if is_finest and key in of_method:
                raise OptionError(f"finest.{key} is set, and the method {method!r} names another value; leave one out")
            if key in {*FinestOptions.model_fields, "preset"} - read:
                reads = ", ".join(f"finest.{each}" for each in sorted(read)) or "none of [finest]"
                raise OptionError(
                    f"finest.{key} is set, but the method {method!r} does not read it (it reads {reads}); options of"
                    f" its own are named in the method, as in --method NAME:option=value: see `finestrec methods`"
                )


@dataclass(frozen=True)
class Entry:
    """How an existing folder is entered."""

    resume: Annotated[bool, typer.Option("--resume", help="Go on with an unfinished run of the same command.")] = False
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier run or file.")] = False

    def refuse_inside(self, out: Path, *inputs: Path | None) -> None:
        """Refuse to replace the folder that an input stands in.

        Raises:
            OptionError: If `--force` would delete an input.
        """
        from finestrec.errors import OptionError

        for path in inputs:
            if self.force and path is not None and path.resolve().is_relative_to(out.resolve()):
                raise OptionError(f"{path} is in {out}, which --force replaces; choose another folder with --out")


@dataclass(frozen=True)
class Budget:
    """What a stabilized run has to keep."""

    budget: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EXPR",
            show_default=False,
            help="What has to hold of the served lists, e.g. 'Jaccard@10 >= 0.8'; else exit 1. Where METHOD leaves its"
            " strength open, the weakest one that holds it is searched. Repeatable.",
        ),
    ] = None
    max_accuracy_loss: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE",
            show_default=False,
            help="How much NDCG@10 stability may cost, e.g. 1%: the strength of METHOD that moves lists least within it"
            " is searched on validation data.",
        ),
    ] = None

    def parsed(self) -> "Limits":
        """What they say.

        Raises:
            OptionError: If a condition cannot be read, or the loss is no share in [0, 1).
        """
        from finestrec.runs.searching import Limits
        from finestrec.stability.gate import parse_budget

        return Limits(tuple(parse_budget(text) for text in self.budget or ()), self._loss())

    def _loss(self) -> float | None:
        from finestrec.errors import OptionError

        text = self.max_accuracy_loss
        if text is None:
            return None
        try:
            loss = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            loss = math.nan
        if not 0 <= loss < 1:
            raise OptionError(f"--max-accuracy-loss is {text!r}; expected a share of NDCG@10 such as 1% or 0.01")
        return loss


Force = Annotated[bool, typer.Option("--force", help="Replace an existing file.")]
Seed = Annotated[int, typer.Option(metavar="S", min=0, help="Drives every random stream.")]


def refuse_existing(*paths: Path, force: bool, inputs: Sequence[Path | None] = ()) -> None:
    """Refuse to overwrite files, to overwrite an input at all, and to write into folders that do not exist.

    Raises:
        OptionError: If one exists and `force` is not set, is an input, is a folder, or has no folder.
    """
    from finestrec.errors import OptionError

    read = [path.resolve() for path in inputs if path is not None]
    for path in paths:
        if path.resolve() in read:
            raise OptionError(f"{path} is what is read; choose another name")
        if path.is_dir():
            raise OptionError(f"{path} is a folder; name a file")
        if path.exists() and not force:
            raise OptionError(f"{path} exists; replace it by --force, or choose another name")
        if not path.parent.is_dir():
            raise OptionError(f"there is no folder {path.parent}; make it first, or choose another name")


@dataclass(frozen=True)
class Output:
    """What is shown, and where."""

    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout, all else on stderr.")] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only results and errors.")] = False

    def terminal(self) -> Terminal:
        """Start to show things."""
        return Terminal(json=self.json, quiet=self.quiet)
