"""`finestrec train`."""

from finestrec.cli.grouping import grouped
from finestrec.cli.options import Choices, Entry, LogFile, ModelName, OutFolder, Output, SplitMethod


@grouped
def train(
    log: LogFile,
    out: OutFolder,
    choices: Choices,
    entry: Entry,
    output: Output,
    model: ModelName = None,
    split: SplitMethod = None,
) -> None:
    """Train a recommender and keep it, its lists and its accuracy in a run folder."""
    from finestrec.cli.show import accuracy_table, described
    from finestrec.runs import Plan, entered, read_results
    from finestrec.runs.making import Maker, prepare

    terminal = output.terminal()
    entry.refuse_inside(out, log)
    config = choices.compose(model__name=model, split__method=split)
    whole = config.data.read(log)
    stored = prepare(whole, config)
    plan = Plan("train", config, {"fingerprint of LOG": whole.fingerprint})
    with entered(out, plan, resume=entry.resume, force=entry.force) as folder:
        terminal.say(f"{log}: {described(whole.summary())}")
        terminal.say(
            f"{stored.split.log.n_users:,} users with {config.data.min_length} or more interactions,"
            f" {stored.split.log.n_items:,} items: {len(stored.split.train):,} interactions to train on,"
            f" {len(stored.test_ids):,} held out"
        )
        if folder.finished:
            terminal.say(f"{out} is finished already")
        else:
            progress = terminal.progress(f"training {config.model_name}")
            Maker(folder, data=log.name, progress=progress).train(stored)
    results = read_results(out)
    terminal.show(accuracy_table(results["rows"][0]), f"saved in {out}")
    terminal.document({"out": out, "log": vars(whole.summary()), "results": results})
