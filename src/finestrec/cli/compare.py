"""`finestrec compare`."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finestrec.cli.grouping import grouped
from finestrec.cli.options import GATE_FAILED, Entry, Output, Seed, refuse_existing

if TYPE_CHECKING:
    from finestrec.cli.terminal import Terminal
    from finestrec.stability.comparison import Comparison
    from finestrec.stability.gate import Check, Verdict


def _file(name: str, help_: str) -> Any:
    return typer.Option(name, metavar="FILE", show_default=False, help=help_)


@dataclass(frozen=True)
class About:
    """What is known beside the lists."""

    truth: Annotated[
        Path | None, _file("--truth", "Held-out interactions, user_id and item_id: adds accuracy and flips.")
    ] = None
    users: Annotated[Path | None, _file("--users", "One row a user: user_id, and columns to slice by.")] = None
    catalogue: Annotated[
        Path | None, _file("--catalogue", "item_id of today's catalogue: tells retired items from moved ones.")
    ] = None
    old_catalogue: Annotated[
        Path | None, _file("--old-catalogue", "item_id of yesterday's catalogue: tells new items from moved ones.")
    ] = None


@dataclass(frozen=True)
class Gate:
    """What fails the night."""

    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EXPR", show_default=False, help="Exit 1 if it holds, e.g. 'FRBO(p=0.9)@10 < 0.8'. Repeatable."
        ),
    ] = None
    gate: Annotated[Path | None, _file("--gate", 'Expressions in TOML: fail_if = ["...", ...].')] = None
    baseline: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR|JSON",
            show_default=False,
            help="An audit, for the floor of excess(...): its folder or results.",
        ),
    ] = None

    def checks(self) -> "list[Check]":
        """The expressions of the file, then those of the command line."""
        from finestrec.stability.gate import parse_check, read_gate

        texts = [*(read_gate(self.gate) if self.gate else []), *(self.fail_if or [])]
        return [parse_check(text) for text in texts]

    def floor(self) -> dict[str, float] | None:
        """What another seed alone changes, by measure; None without a baseline."""
        from finestrec.stability.gate import floors

        if self.baseline is None:
            return None
        return floors(_results(self.baseline), str(self.baseline))


@dataclass(frozen=True)
class Pages:
    """Files that are written beside the run folder."""

    markdown: Annotated[Path | None, _file("--markdown", "Write a summary for a pull request.")] = None
    junit: Annotated[Path | None, _file("--junit", "Write the checks as JUnit XML.")] = None


@grouped
def compare(
    old: Annotated[
        Path, typer.Argument(metavar="OLD", show_default=False, help="Yesterday's lists: Parquet, csv or tsv.")
    ],
    new: Annotated[Path, typer.Argument(metavar="NEW", show_default=False, help="Today's lists.")],
    about: About,
    gate: Gate,
    pages: Pages,
    entry: Entry,
    output: Output,
    k: Annotated[
        list[int] | None,
        typer.Option("--k", metavar="K", show_default=False, help="Depth, repeatable. \\[default: 10]"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", show_default=False, help="A run folder for all that was found.")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Compare yesterday's lists with today's, and fail if they moved too far."""
    from finestrec.stability.comparison import checked_depths, measure_names
    from finestrec.stability.comparison import compare as compared
    from finestrec.stability.gate import check_names, judged

    terminal = output.terminal()
    depths = checked_depths(k or [10])
    checks, floor = gate.checks(), gate.floor()
    sources = asdict(about)
    given = {name: path is not None for name, path in sources.items() if name != "users"}
    check_names(checks, measure_names(depths, **given), floor)
    inputs = {"OLD": old, "NEW": new, **{name: path for name, path in sources.items() if path is not None}}
    files = [path for path in (pages.markdown, pages.junit) if path is not None]
    refuse_existing(*files, force=entry.force, inputs=[*inputs.values(), gate.gate, gate.baseline])

    def made() -> "tuple[Comparison, list[Verdict]]":
        found = compared(old, new, k=depths, **sources, seed=seed)
        verdicts = judged(found, checks, floor)
        found.summary["gate"] = [verdict.to_json() for verdict in verdicts]
        return found, verdicts

    if out is None:
        found, verdicts = made()
    else:
        from finestrec.runs import Plan, entered, read_comparison, write_comparison

        entry.refuse_inside(out, *inputs.values(), gate.gate, gate.baseline)
        what = {
            **{f"fingerprint of {name}": _fingerprint(path) for name, path in inputs.items()},
            "k": depths,
            "seed": seed,
            "gate": [check.text for check in checks],
            "floor": floor,
        }
        with entered(out, Plan("compare", None, what), resume=entry.resume, force=entry.force) as folder:
            if folder.finished:
                terminal.say(f"{out} is finished already")
                found = read_comparison(out)
                verdicts = judged(found, checks, floor)
            else:
                found, verdicts = made()
                write_comparison(out, found)
    _tell(terminal, found, verdicts, pages)
    if out is not None:
        terminal.show(f"saved in {out}")
    failed = any(verdict.failed for verdict in verdicts)
    terminal.document({"out": out, "passed": not failed, "comparison": found.summary})
    if failed:
        raise typer.Exit(GATE_FAILED)


def _results(baseline: Path) -> Any:
    """The results of an audit, from its folder or from a file."""
    import json

    from finestrec.errors import OptionError

    if baseline.is_dir():
        from finestrec.runs import read_results, require_done

        require_done(baseline)
        return read_results(baseline)
    try:
        return json.loads(baseline.read_text(encoding="utf-8"))
    except ValueError as error:
        raise OptionError(f"{baseline} is not JSON ({error}); name an audit's folder or its results.json") from None


def _fingerprint(path: Path) -> str:
    import hashlib

    from finestrec.errors import DataError

    if not path.is_file():
        raise DataError(f"there is no file {path}")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _tell(terminal: "Terminal", found: "Comparison", verdicts: "list[Verdict]", pages: Pages) -> None:
    """Show the comparison and write it down."""
    from rich.markup import escape
    from rich.table import Table

    from finestrec.data.files import write_aside
    from finestrec.stability.verdict import counts, figure, headline, interval, junit, markdown

    row = found.row()
    table = Table("measure")
    for name in ("mean", "95% interval", "users"):
        table.add_column(name, justify="right")
    for name, mean in row["measures"].items():
        table.add_row(name, figure(mean), interval(row, name), f"{row['known'][name]:,}")
    lines = [*counts(found.summary), *(verdict.sentence() for verdict in verdicts), headline(found, verdicts)]
    terminal.show(table, *map(escape, lines))
    if pages.markdown is not None:
        write_aside(pages.markdown, markdown(found, verdicts))
    if pages.junit is not None:
        write_aside(pages.junit, junit(found, verdicts))
