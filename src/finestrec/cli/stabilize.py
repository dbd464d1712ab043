"""`finestrec stabilize`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finestrec.cli.grouping import grouped
from finestrec.cli.options import Choices, Entry, Folder, OutFolder, Output

if TYPE_CHECKING:
    from finestrec.config import Config
    from finestrec.runs.night import Night


@grouped
def stabilize(
    folder: Folder,
    out: OutFolder,
    choices: Choices,
    entry: Entry,
    output: Output,
    log: Annotated[
        Path | None,
        typer.Option(metavar="NEWLOG", show_default=False, help="The whole new log; by default the run's own."),
    ] = None,
    method: Annotated[str, typer.Option(metavar="NAME", help="finest, warm_start or retrain.")] = "finest",
) -> None:
    """Bring a run up to date on a new log, its lists kept as they were as far as the data allows."""
    from finestrec.cli.show import comparison_table
    from finestrec.errors import OptionError
    from finestrec.runs import Plan, entered, load_run, read_results
    from finestrec.runs.making import Maker
    from finestrec.runs.night import next_night
    from finestrec.stabilizers import stabilizer_type

    terminal = output.terminal()
    entry.refuse_inside(out, folder, log)
    stabilizer_type(method)
    if out.resolve() == folder.resolve():
        raise OptionError(f"--out names the run itself, {folder}, which is kept; choose another folder")
    incumbent = load_run(folder)
    config = choices.compose(below=[incumbent.config.to_layer()])
    _check_unchanged(config, incumbent.config)
    whole = incumbent.log if log is None else config.data.read(log)
    night = next_night(incumbent, whole)
    inputs = {
        "method": method,
        "fingerprint of the log": night.train.fingerprint,
        "fingerprint of the run's log": incumbent.trained.log.fingerprint,
        "weights of the run": incumbent.weights_fingerprint,
    }
    with entered(out, Plan("stabilize", config, inputs), resume=entry.resume, force=entry.force) as new:
        terminal.say(_described(night))
        if new.finished:
            terminal.say(f"{out} is finished already")
        else:
            progress = terminal.progress(f"{method} of {config.model_name}")
            Maker(new, data=(log or folder).name, progress=progress).stabilize(incumbent, night, method)
    results = read_results(out)
    row = results["rows"][0]
    before = {"measures": dict.fromkeys(row["measures"], None), "accuracy": row["reference_accuracy"]}
    terminal.show(
        comparison_table([("the run", before), (method.replace("_", " "), row)], "against the run's own lists"),
        f"saved in {out}",
    )
    terminal.document({"out": out, "log": night.summary(), "results": results})


def _check_unchanged(config: "Config", before: "Config") -> None:
    from finestrec.errors import OptionError

    fixed = ("model.", "split.", "data.min_length")
    changed = [text for text in config.differences(before) if text.startswith(fixed)]
    if changed:
        raise OptionError(
            f"{'; '.join(changed)}: a run keeps its model, its split and its users; train a new one to change them"
        )


def _described(night: "Night") -> str:
    counts = night.summary()
    text = (
        f"training on {counts['training_interactions']:,} interactions: {counts['new']:,} are new and"
        f" {counts['gone']:,} of the run's are gone"
    )
    if counts["held_back"]:
        text += (
            f"; left out: {counts['held_back']:,} new interactions after a user's first held-out one (`train --split"
            " none` holds nothing out)"
        )
    if counts["other_users"]:
        text += f"; left out: {counts['other_users']:,} users whom the run was not trained on"
    return text
