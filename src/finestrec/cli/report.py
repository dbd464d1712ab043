"""`finestrec report`."""

from pathlib import Path
from typing import Annotated

import typer

from finestrec.cli.grouping import grouped
from finestrec.cli.options import Output


@grouped
def report(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", show_default=False, help="A folder that `audit`, `compare`, `stabilize` or `update` made."
        ),
    ],
    output: Output,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", show_default=False, help="The page. \\[default: DIR/report.html]")
    ] = None,
    user: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", show_default=False, help="A user whose lists to show as well. Repeatable."),
    ] = None,
) -> None:
    """Write one self-contained HTML page about what moved; it replaces an earlier one."""
    from finestrec.data.files import write_aside
    from finestrec.errors import OptionError
    from finestrec.report import page
    from finestrec.runs.reporting import folder_summary

    terminal = output.terminal()
    if out is not None and (not out.parent.is_dir() or out.is_dir()):
        raise OptionError(f"{out} cannot be written; name a file in a folder that exists with --out")
    file = out or folder / "report.html"
    summary = folder_summary(folder, user or ())
    write_aside(file, page(summary))
    terminal.show(*summary.verdict, f"saved in {file}")
    terminal.document({"out": file, "summary": summary.to_json()})
