"""`finestrec stabilize`."""

from pathlib import Path
from typing import Annotated

import typer

from finestrec.cli.grouping import grouped
from finestrec.cli.options import Budget, Choices, Entry, Folder, Method, OutFolder, Output


@grouped
def stabilize(
    folder: Folder,
    out: OutFolder,
    choices: Choices,
    entry: Entry,
    budget: Budget,
    output: Output,
    log: Annotated[
        Path | None,
        typer.Option(metavar="NEWLOG", show_default=False, help="The whole new log; by default the run's own."),
    ] = None,
    method: Method = "annealed",
) -> None:
    """Bring a run up to date on a new log, its lists kept as they were as far as the data allows."""
    from finestrec.cli.renewing import Renewal

    Renewal("stabilize", folder, log, out, method, choices, entry, output.terminal(), budget).run()
