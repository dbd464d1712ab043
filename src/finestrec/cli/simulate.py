"""`finestrec simulate`."""

from pathlib import Path
from typing import Annotated

import typer

from finestrec.cli.grouping import grouped
from finestrec.cli.options import Force, Output, Seed, refuse_existing


@grouped
def simulate(
    out: Annotated[Path, typer.Option(metavar="LOG", show_default=False, help="A .csv, .tsv or .parquet file.")],
    output: Output,
    users: Annotated[int | None, typer.Option(metavar="N", show_default=False, help="Users.")] = None,
    items: Annotated[int | None, typer.Option(metavar="N", show_default=False, help="Items.")] = None,
    mean_length: Annotated[
        float | None, typer.Option(metavar="X", show_default=False, help="Mean interactions of a user.")
    ] = None,
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Write a realistic log: popularity, drifting taste, order, repetition."""
    from finestrec.cli.show import described
    from finestrec.data.simulator import SimulatorOptions
    from finestrec.data.simulator import simulate as simulated
    from finestrec.data.sources import write_log
    from finestrec.options import validated

    terminal = output.terminal()
    given = {"users": users, "items": items, "mean_length": mean_length}
    options = validated(SimulatorOptions, {key: value for key, value in given.items() if value is not None})
    refuse_existing(out, force=force)
    log = simulated(options, seed)
    write_log(log, out)
    terminal.say(f"{out}: {described(log.summary())}")
    terminal.document({"out": out, "seed": seed, "log": vars(log.summary())})
