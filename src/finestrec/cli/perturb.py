"""`finestrec perturb`."""

from pathlib import Path
from typing import Annotated

import typer

from finestrec.cli.grouping import grouped
from finestrec.cli.options import Choices, Force, LogFile, Output, SplitMethod, refuse_existing


@grouped
def perturb(
    log: LogFile,
    spec: Annotated[
        str, typer.Argument(metavar="SPEC", show_default=False, help="KIND:SELECTOR:AMOUNT, e.g. delete:random:0.001.")
    ],
    out: Annotated[Path, typer.Option(metavar="LOG2", show_default=False, help="A .csv, .tsv or .parquet file.")],
    choices: Choices,
    output: Output,
    split: SplitMethod = None,
    force: Force = False,
) -> None:
    """Edit the training part of a log, and write the whole log and the list of edits."""
    from finestrec.cli.show import described
    from finestrec.data.lists import write_lists
    from finestrec.data.sources import write_log
    from finestrec.perturbation.spec import Perturbation
    from finestrec.perturbation.whole import edit_whole
    from finestrec.runs.making import prepare

    terminal = output.terminal()
    perturbation = Perturbation.parse(spec)
    config = choices.compose(below=[{"model": {"name": "lrurec"}}], split__method=split)
    edits_file = out.with_name(f"{out.stem}.edits{out.suffix}")
    refuse_existing(out, edits_file, force=force, inputs=[log])
    whole = config.data.read(log)
    train = prepare(whole, config).split.train
    perturbed = perturbation.apply(train, config.seed)
    edited = edit_whole(whole, train, perturbed.edits)
    write_log(edited, out)
    write_lists(perturbed.edits.to_frame(train.vocabulary), edits_file)
    verb = {"delete": "deleted", "replace": "replaced", "insert": "inserted"}[perturbation.kind]
    terminal.say(f"{log}: {described(whole.summary())}")
    terminal.say(
        f"{len(perturbed.edits):,} interactions {verb}, of {len(train):,} training interactions; {out} has"
        f" {len(edited):,} rows, {edits_file.name} the edits"
    )
    terminal.document(
        {
            "out": out,
            "edits": edits_file,
            "perturbation": str(perturbation),
            "seed": config.seed,
            "edited": len(perturbed.edits),
            "training_interactions": len(train),
            "interactions": len(edited),
        }
    )
