"""`finestrec recommend`."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finestrec.cli.grouping import grouped
from finestrec.cli.options import Folder, Force, Output, refuse_existing

if TYPE_CHECKING:
    import polars as pl

_SHOWN = 20


class Missing(StrEnum):
    """What unknown users get."""

    SKIP = "skip"
    POPULAR = "popular"


class Seen(StrEnum):
    """What happens to items that the user had before."""

    KEEP = "keep"
    DROP = "drop"


@grouped
def recommend(
    folder: Folder,
    out: Annotated[
        Path, typer.Option(metavar="LISTS", show_default=False, help="A .parquet, .csv or .tsv file of lists.")
    ],
    output: Output,
    k: Annotated[int, typer.Option(metavar="K", min=1, help="Items a list.")] = 10,
    users: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="One user id a line, or a file with a column user_id. \\[default: all]",
        ),
    ] = None,
    seen: Annotated[Seen, typer.Option(help="Items that the user had before.")] = Seen.KEEP,
    missing: Annotated[Missing, typer.Option(help="Users of whom no item is known.")] = Missing.SKIP,
    threads: Annotated[int | None, typer.Option(metavar="N", min=1, show_default=False, help="CPU threads.")] = None,
    force: Force = False,
) -> None:
    """Write the list of every user of a run, from the whole stored log."""
    import polars as pl
    import torch

    from finestrec.data.lists import check_ending, read_ids_file, write_lists
    from finestrec.recommendation import popular, servable
    from finestrec.runs import load_run

    terminal = output.terminal()
    check_ending(out)
    refuse_existing(out, force=force, inputs=[users])
    if threads is not None:
        torch.set_num_threads(threads)
    run = load_run(folder)
    asked = run.log.vocabulary.users
    foreign = pl.Series(dtype=pl.String)
    if users is not None:
        asked, foreign = read_ids_file(users, asked.dtype, "user_id")
    unknown = asked.filter(~servable(run.trained, run.log, asked))
    lists = run.recommend(k, users=asked, seen=seen.value)
    if missing is Missing.POPULAR:
        lists = pl.concat(
            [
                lists.with_columns(source=pl.lit("model")),
                popular(run.trained, unknown, k, retired=run.retired).with_columns(source=pl.lit("popular")),
            ]
        )
    write_lists(lists, out)
    if k > run.trained.model.n_items:
        terminal.say(f"the catalogue has {run.trained.model.n_items:,} items, so lists are no longer than that")
    if len(unknown):
        fate = "not written" if missing is Missing.SKIP else "given the most popular items"
        terminal.warn(f"{len(unknown):,} unknown users, {fate}: {_listed(unknown)}")
    if len(foreign):
        terminal.warn(
            f"{len(foreign):,} unknown users, not written, because all ids of the run are integers: {_listed(foreign)}"
        )
    served = lists["user_id"].n_unique()
    terminal.say(f"{out}: lists of {served:,} users")
    terminal.document({"out": out, "users": served, "unknown": [*unknown, *foreign], "lines": len(lists)})


def _listed(ids: "pl.Series") -> str:
    more = f" and {len(ids) - _SHOWN:,} more" if len(ids) > _SHOWN else ""
    return ", ".join(map(str, ids.head(_SHOWN))) + more
