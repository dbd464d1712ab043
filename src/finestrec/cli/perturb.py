"""`finestrec perturb`."""

from pathlib import Path
from typing import Annotated

import typer

from finestrec.cli.grouping import grouped
from finestrec.cli.options import SPEC_HELP, Force, LogChoices, LogFile, Output, SplitMethod, refuse_existing

_SPEC = SPEC_HELP.replace(" influence,", "")
"""Influence needs a trained model."""


@grouped
def perturb(
    log: LogFile,
    spec: Annotated[str, typer.Argument(metavar="SPEC", show_default=False, help=_SPEC)],
    out: Annotated[Path, typer.Option(metavar="LOG2", show_default=False, help="A .csv, .tsv or .parquet file.")],
    choices: LogChoices,
    output: Output,
    split: SplitMethod = None,
    force: Force = False,
) -> None:
    """Edit the training part of a log, and write the whole log and the list of edits.

    Deleting users or items erases their held-out interactions too, and those of
    named users whom a run would not train on. append:cut:DAYS edits nothing:
    LOG2 is the log, and beside it stands the log before the last days of training.

    What is written has the columns user_id, item_id and timestamp, the latter in
    numbers of the log's own unit, whatever else the log has.
    """
    import numpy as np

    from finestrec.cli.show import described
    from finestrec.data.lists import write_lists
    from finestrec.data.sources import write_log
    from finestrec.perturbation.spec import Perturbation
    from finestrec.perturbation.whole import before_night, edit_whole, erase_whole
    from finestrec.runs.making import prepare

    terminal = output.terminal()
    perturbation = Perturbation.parse(spec)
    config = choices.compose(below=[{"model": {"name": "lrurec"}}], split__method=split)
    files = {"edits": out.with_name(f"{out.stem}.edits{out.suffix}")}
    if perturbation.kind == "append":
        files["base"] = out.with_name(f"{out.stem}.base{out.suffix}")
    refuse_existing(out, *files.values(), force=force, inputs=[log, perturbation.ids])
    whole = config.data.read(log)
    train = prepare(whole, config).split.train
    # Who has to be forgotten is named by who keeps the log, whether a run would train on them or not.
    from_whole = perturbation.erases is not None and perturbation.ids is not None
    perturbed = perturbation.apply(whole if from_whole else train, config.seed, config.recipe.training.max_length)
    if perturbation.erases:
        if not from_whole:
            perturbed = erase_whole(whole, train, perturbed.edits, perturbation.erases)
        edited, edits = perturbed.log, perturbed.edits.to_frame(whole.vocabulary)
    else:
        edits = perturbed.edits.to_frame(train.vocabulary)
        if perturbation.kind == "append":
            edited = whole
            write_log(before_night(whole, perturbed.edits), files["base"])
        else:
            edited = edit_whole(whole, train, perturbed.edits)
    trained_on = int(np.isin(perturbed.edits.interaction_ids, train.interaction_ids).sum())
    write_log(edited, out)
    write_lists(edits, files["edits"])
    verb = {"delete": "deleted", "replace": "replaced", "insert": "inserted", "append": "appended"}[perturbation.kind]
    held_out = f", and {len(edits) - trained_on:,} held-out or unused ones" if perturbation.erases else ""
    names = {"edits": "the edits", "base": "the log before"}
    terminal.say(f"{log}: {described(whole.summary())}")
    terminal.say(
        f"{trained_on:,} interactions {verb}, of {len(train):,} training interactions{held_out}; {out} has"
        f" {len(edited):,} rows, {', '.join(f'{path.name} {names[key]}' for key, path in files.items())}"
    )
    terminal.document(
        {
            "out": out,
            **files,
            "perturbation": str(perturbation),
            "seed": config.seed,
            "edited": len(edits),
            "training_interactions": len(train),
            "interactions": len(edited),
        }
    )
