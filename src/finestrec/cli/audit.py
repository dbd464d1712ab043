"""`finestrec audit`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finestrec.cli.grouping import grouped
from finestrec.cli.options import (
    SPEC_HELP,
    Choices,
    EngineOption,
    Entry,
    Jobs,
    LogFile,
    ModelName,
    OutFolder,
    Output,
    SplitMethod,
)

if TYPE_CHECKING:
    from finestrec.cli.terminal import Terminal
    from finestrec.stability.results import StabilityAudit

DELETION = "delete:random:0.001"


@grouped
def audit(
    log: LogFile,
    out: OutFolder,
    choices: Choices,
    entry: Entry,
    output: Output,
    model: ModelName = None,
    methods: Annotated[
        str, typer.Option(metavar="A,B", help="METHODs, NAME[:option=value...]; see `finestrec methods`.")
    ] = "retrain,warm_start,finest",
    perturb: Annotated[
        list[str] | None,
        typer.Option(metavar="SPEC", show_default=False, help=f"{SPEC_HELP} Repeatable. \\[default: {DELETION}]"),
    ] = None,
    regimes: Annotated[
        str, typer.Option(metavar="A,B", help="anchored-update, authors-protocol, unanchored.")
    ] = "anchored-update,authors-protocol",
    seeds: Annotated[
        str | None, typer.Option(metavar="N|A,B", show_default=False, help="A number of seeds, or a list: 3,7.")
    ] = None,
    split: SplitMethod = None,
    instances: Annotated[
        str, typer.Option(metavar="WHICH", help="Test instances that are compared: all, or each user's first.")
    ] = "all",
    jobs: Jobs = None,
    engine: EngineOption = "local",
    users: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="Users to slice by: a csv, tsv or Parquet file of user_id and other columns.",
        ),
    ] = None,
) -> None:
    """Retrain on perturbed logs and measure how far the lists move, with every method that should hold them."""
    from finestrec.data.tables import open_file
    from finestrec.data.usertables import read_user_table
    from finestrec.errors import OptionError
    from finestrec.runs import Plan, entered, read_results
    from finestrec.runs.auditing import audit_into, check_audit
    from finestrec.runs.making import prepare
    from finestrec.stability.results import StabilityAudit
    from finestrec.stability.slices import table_slices

    terminal = output.terminal()
    entry.refuse_inside(out, log, users)
    if seeds is not None and choices.seed is not None:
        raise OptionError("--seed and --seeds are given; --seeds says it all, e.g. --seeds 3,7")
    config = choices.compose(model__name=model, split__method=split)
    if config.device.threads is None and ((jobs or 1) > 1 or engine == "ray"):
        # Written down, since results are those of one thread, however many jobs a resumed audit runs at a time.
        config = choices.compose(model__name=model, split__method=split, device__threads=1)
    what: dict[str, Any] = {
        "perturbations": perturb or [DELETION],
        "methods": _listed(methods),
        "regimes": _listed(regimes),
        "seeds": [config.seed] if seeds is None else parse_seeds(seeds),
        "instances": instances,
    }
    whole = config.data.read(log)
    parts = prepare(whole, config).split
    check_audit(what, parts, engine, config.recipe)
    inputs = {"fingerprint of LOG": whole.fingerprint, **what}
    known = None if users is None else read_user_table(open_file(users, label="users"))
    if known is not None:
        table_slices(known, parts.log.vocabulary)  # refused now, not after the first training
        inputs["fingerprint of --users"] = known.fingerprint
    plan = Plan("audit", config, inputs)
    with entered(out, plan, resume=entry.resume, force=entry.force) as folder:
        if folder.finished:
            terminal.say(f"{out} is finished already")
        else:
            audit_into(
                out,
                parts,
                config.recipe,
                **what,
                data=log.name,
                users=known,
                jobs=jobs,
                engine=engine,
                on_event=terminal.tell,
                progress=terminal.jobs(),
            )
    results = read_results(out)
    found = StabilityAudit.from_json(results)
    _show(terminal, found, what)
    terminal.show(f"saved in {out}")
    terminal.document({"out": out, "verdict": found.verdict(), "results": results})


def _show(terminal: "Terminal", found: "StabilityAudit", what: Mapping[str, Any]) -> None:
    if found.verdict():
        terminal.show(found.verdict())
    for regime in what["regimes"]:
        for perturbation in what["perturbations"]:
            terminal.show(found.table(regime, perturbation))


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def parse_seeds(text: str) -> list[int]:
    """``3`` is three seeds, 0 to 2; ``3,7`` and ``3,`` are those.

    Raises:
        OptionError: If it is neither.
    """
    from finestrec.errors import OptionError

    parts = _listed(text)
    if not parts or not all(part.isdecimal() for part in parts):
        raise OptionError(f"--seeds is {text!r}; expected a number of seeds such as 3, or a list such as 3,7")
    if "," in text:
        seeds = [int(part) for part in parts]
        if len(set(seeds)) < len(seeds):
            raise OptionError(f"--seeds {text} names a seed twice")
        return seeds
    if int(text) < 1:
        raise OptionError("--seeds is 0; an audit needs at least one seed")
    return list(range(int(text)))
