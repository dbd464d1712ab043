"""`finestrec experiment`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finestrec.cli.grouping import grouped
from finestrec.cli.options import EngineOption, Entry, Jobs, OutFolder, Output

if TYPE_CHECKING:
    from rich.table import Table

    from finestrec.stability.tradeoffs import Panel, Tradeoffs


@grouped
def experiment(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", show_default=False, help="What to audit, in TOML; see the folder experiments of the source."
        ),
    ],
    out: OutFolder,
    entry: Entry,
    output: Output,
    jobs: Jobs = None,
    engine: EngineOption = "local",
) -> None:
    """Audit every log with every model of a file, and tabulate what stability costs by each method."""
    from finestrec.runs import entered, read_results
    from finestrec.runs.experiment import Experiment
    from finestrec.runs.experimenting import Experimenter, read_tradeoffs
    from finestrec.runs.folder import FRONTIER

    terminal = output.terminal()
    asked = Experiment.read(file)
    entry.refuse_inside(out, file, *asked.options.logs)
    cells = asked.cells(engine)
    with entered(out, asked.plan(cells), resume=entry.resume, force=entry.force) as folder:
        if folder.finished:
            terminal.say(f"{out} is finished already")
        else:
            Experimenter(asked, folder, cells, jobs, engine, terminal.tell, terminal.jobs()).run()
    found = read_tradeoffs(out)
    for table in _tables(found):
        terminal.show(table)
    terminal.show(f"tables and pictures in {out / FRONTIER}")
    terminal.document({"out": out, "page": out / FRONTIER, "results": read_results(out)})


def _tables(found: "Sequence[Tradeoffs]") -> "list[Table]":
    return [_table(f"{each.model} on {each.data}, ", panel) for each in found for panel in each.panels]


def _table(where: str, panel: "Panel") -> "Table":
    from rich.table import Table

    from finestrec.stability.tradeoffs import OVERLAP

    table = Table(title=f"{where}{panel.regime}: {panel.perturbation}")
    for name in ("method", OVERLAP, "NDCG@10", "against retrain", "front", "seconds"):
        table.add_column(name, justify="left" if name in {"method", "front"} else "right")
    for line in panel.lines:
        change = line.ndcg_change
        table.add_row(
            line.method,
            f"{line.measures[OVERLAP]['mean']:.3f}",
            f"{line.measures['NDCG@10']['mean']:.4f}",
            "n/a" if change is None else f"{change['mean']:+.1%}",
            "yes" if line.on_front else "",
            f"{line.seconds:.1f}",
        )
    return table
