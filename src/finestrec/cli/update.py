"""`finestrec update`."""

from pathlib import Path
from typing import Annotated

import typer

from finestrec.cli.grouping import grouped
from finestrec.cli.options import Budget, Choices, Entry, Folder, Method, OutFolder, Output


@grouped
def update(
    folder: Folder,
    log: Annotated[Path, typer.Argument(metavar="NEWLOG", show_default=False, help="The whole new log.")],
    out: OutFolder,
    choices: Choices,
    entry: Entry,
    budget: Budget,
    output: Output,
    method: Method = "annealed",
) -> None:
    """The nightly job: yesterday's run and today's log in, a new run out; users and items may have grown."""
    from finestrec.cli.renewing import Renewal

    Renewal("update", folder, log, out, method, choices, entry, output.terminal(), budget).run()
