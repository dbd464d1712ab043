"""`finestrec demo`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finestrec.cli.grouping import grouped
from finestrec.cli.options import Entry, Output

if TYPE_CHECKING:
    from finestrec.cli.terminal import Terminal
    from finestrec.data.log import InteractionLog
    from finestrec.runs import RunFolder
    from finestrec.stability.findings import Finding
    from finestrec.stability.results import StabilityAudit

# Small enough for two minutes on two cores, and long enough at a high enough rate for a deletion to spread.
USERS, ITEMS = 800, 1_000
OPTIONS: dict[str, Any] = {
    "model": {"name": "lrurec", "hidden": 64},
    "training": {"epochs": 12, "lr": 5e-3},
    "finest": {"epochs": 4, "lr": 2e-4, "weight": 5.0},
}
DELETION = "delete:random:0.001"


@grouped
def demo(
    entry: Entry,
    output: Output,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to make.")] = Path("finestrec-demo"),
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="Drives every random stream.")] = 0,
    threads: Annotated[int | None, typer.Option(metavar="N", min=1, show_default=False, help="CPU threads.")] = None,
) -> None:
    """Tell the whole story on a simulated log: training, a small deletion, retraining, stabilizing."""
    from finestrec.cli.options import Choices
    from finestrec.data.simulator import SimulatorOptions, simulate
    from finestrec.runs import Plan, entered, read_results
    from finestrec.stability.results import StabilityAudit

    terminal = output.terminal()
    config = Choices(seed=seed, threads=threads).compose(below=[OPTIONS])
    log = simulate(SimulatorOptions(users=USERS, items=ITEMS), seed)
    plan = Plan("demo", config, {"fingerprint of the log": log.fingerprint, "perturbation": DELETION})
    with entered(out, plan, resume=entry.resume, force=entry.force) as folder:
        if not folder.finished:
            _tell(terminal, folder, log, entry)
    results = read_results(out)
    found = StabilityAudit.from_json(results)
    sentence = verdict(found)
    terminal.show(found.table("anchored-update", DELETION), sentence, _files(out))
    terminal.document({"out": out, "verdict": sentence, "results": results})


def _tell(terminal: "Terminal", folder: "RunFolder", log: "InteractionLog", entry: Entry) -> None:
    """Simulate, train, and audit what a deletion does."""
    from finestrec.cli.show import described
    from finestrec.data.sources import read_log, write_log
    from finestrec.perturbation.spec import Perturbation
    from finestrec.runs import Plan, entered, read_state, write_results
    from finestrec.runs.folder import STATE
    from finestrec.runs.making import Maker, prepare
    from finestrec.stability.audit import audit

    config, log_file = folder.config, folder.path / "log.tsv"
    write_log(log, log_file)
    whole = read_log(log_file)
    stored = prepare(whole, config)
    train = stored.split.train
    terminal.say(f"A simulated log, {log_file}: {described(whole.summary())}.")
    terminal.say(f"A recommender ({config.model_name}) is trained on the first nine tenths of each user's history.")
    plan, run = Plan("train", config, {"fingerprint of LOG": whole.fingerprint}), folder.path / "run"
    # Of a demo before this one, where that was replaced and this one stopped before it came here.
    stale = (run / STATE).is_file() and bool(plan.differences(read_state(run)))
    with entered(run, plan, resume=entry.resume and not stale, force=entry.force or stale) as inner:
        if not inner.finished:
            Maker(inner, data=log_file.name, progress=terminal.progress("training")).train(stored)
    count = len(Perturbation.parse(DELETION).rows(train, config.seed))
    terminal.say(
        f"{count} of {len(train):,} training interactions {'is' if count == 1 else 'are'} deleted. On what is left it"
        " is trained again from the start, by a warm start, and by FINEST; each is compared with the model before,"
        " and with the noise of a second seed."
    )
    found = audit(
        stored.split,
        config.recipe,
        perturbations=[DELETION],
        regimes=["anchored-update"],
        seeds=[config.seed],
        folder=folder.path / "jobs",
        data=log_file.name,
        on_event=terminal.tell,
        progress=terminal.jobs(),
    )
    write_results(folder.path, found.to_json(), found.tables)


def verdict(found: "StabilityAudit") -> str:
    """What the numbers say, in one sentence."""
    by_method = {f.method: f for f in found.findings if f.perturbation == DELETION}
    retrain, warm, finest = (by_method[name] for name in ("retrain", "warm_start", "finest"))
    changed = [_of_ten(finding) for finding in (retrain, warm, finest)]
    change = finest.ndcg_change
    best = changed[2] < min(changed[:2])
    accuracy = ""
    if change is not None:
        equal = "and accuracy is equal" if finest.equally_accurate else "but accuracy is not shown to be equal"
        accuracy = (
            f", {equal} (NDCG@10 {change['mean']:+.1%} against the model before the deletion, 95% interval"
            f" {change['lower']:+.1%} to {change['upper']:+.1%})"
        )
    return (
        f"After the deletion of 0.1% of the interactions, retraining changed {changed[0]:.1f} of the 10 items of a"
        f" user's list and a warm start {changed[1]:.1f}; FINEST {'' if best else 'did no better, it '}changed"
        f" {changed[2]:.1f}{accuracy}."
    )


def _of_ten(finding: "Finding") -> float:
    return 10 * (finding.measures["Turnover@10"] or 0.0)


def _files(out: Path) -> str:
    return (
        f"Files in {out}: log.tsv (the log), run (the trained model and its lists, for `finestrec recommend"
        f" {out / 'run'}` and `stabilize`), results.json and results.parquet (every number), events.log, jobs (all"
        " trainings)."
    )
