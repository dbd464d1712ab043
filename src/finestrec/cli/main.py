"""The entry point: commands, and what errors and signals become.

Exit codes: 0 done, 1 a gate failed, 2 the user's mistake (a sentence), 70 an error of ours (a traceback), 130 SIGINT,
143 SIGTERM.
"""

import logging
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import typer

from finestrec.cli import terminal
from finestrec.cli.audit import audit
from finestrec.cli.compare import compare
from finestrec.cli.demo import demo
from finestrec.cli.experiment import experiment
from finestrec.cli.methods import methods
from finestrec.cli.models import models
from finestrec.cli.perturb import perturb
from finestrec.cli.recommend import recommend
from finestrec.cli.report import report
from finestrec.cli.simulate import simulate
from finestrec.cli.stabilize import stabilize
from finestrec.cli.train import train
from finestrec.cli.update import update
from finestrec.errors import FinestrecError

MISTAKE, INTERNAL = 2, 70

# Fabric tells of its precision and of each process on stderr. Here, since processes that it starts import this too.
logging.getLogger("lightning_fabric.utilities").setLevel(logging.WARNING)

app = typer.Typer(
    name="finestrec",
    help="Measure and prevent the churn that retraining a sequential recommender causes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    demo,
    simulate,
    train,
    stabilize,
    update,
    audit,
    perturb,
    recommend,
    compare,
    report,
    models,
    methods,
    experiment,
):
    app.command()(command)


@app.callback(invoke_without_command=True)
def _root(
    version: bool = typer.Option(False, "--version", help="Print the version and leave."),
) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(installed("finestrec"))
        raise typer.Exit


class Interrupted(BaseException):
    """A signal came. No `Exception`, so that nothing on the way takes it for a failure."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def main() -> None:
    """Run the command of `sys.argv` and leave with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run a command and give its exit code."""
    # How long threads spin while they wait. An epoch of LRURec on two cores, alone and beside one other process:
    # 4.4 and 19 s by the OpenMP library's default, 5.8 and 9.0 s so, 7.6 and 7.2 s without any spinning.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    try:
        with _signals():
            app(list(arguments), prog_name="finestrec")
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except Interrupted as stop:
        return _stopped(stop)
    except FinestrecError as error:
        return _mistake(str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _mistake(f"{where}{error.strerror or error}")
    except Exception as error:  # noqa: BLE001 - the last resort of a program
        return _unexpected(error)
    finally:
        terminal.close()
    return 0


@contextmanager
def _signals() -> Iterator[None]:
    """SIGINT and SIGTERM end the command at once, wherever it is; whole files are all there is to lose nothing."""

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        raise Interrupted(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stopped(stop: Interrupted) -> int:
    _end_children()
    # The last note is of the folder that the command was given; those before are of folders in it.
    saved = getattr(stop, "__notes__", ["Nothing was changed."])[-1]
    print(f"finestrec: stopped by {signal.Signals(stop.number).name}. {saved}", file=sys.stderr)  # noqa: T201
    return 128 + stop.number


def _end_children() -> None:
    """End the processes of a distributed training, which would be waited for at exit."""
    if "multiprocessing" in sys.modules:
        import multiprocessing

        for child in multiprocessing.active_children():
            child.terminate()


def _mistake(sentence: str) -> int:
    print(f"finestrec: {sentence}", file=sys.stderr)  # noqa: T201
    return MISTAKE


def _unexpected(error: Exception) -> int:
    if "pydantic" in sys.modules:
        from pydantic import ValidationError

        if isinstance(error, ValidationError):
            problems = (f"{'.'.join(map(str, p['loc']))}: {p['msg']}, found {p['input']!r}" for p in error.errors())
            return _mistake("; ".join(problems))
    traceback.print_exception(error)
    print(  # noqa: T201
        "finestrec: this is an error in finestrec, not in what you asked for. Please report it with the lines above,"
        " your command and `finestrec --version` in the project's issue tracker.",
        file=sys.stderr,
    )
    return INTERNAL
