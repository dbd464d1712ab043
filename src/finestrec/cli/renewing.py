"""A run brought up to date on a later log: what `stabilize` and `update` share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import typer

from finestrec.cli.options import GATE_FAILED, Budget, Choices, Entry
from finestrec.cli.show import comparison_table
from finestrec.cli.terminal import Terminal
from finestrec.config import Config
from finestrec.errors import OptionError
from finestrec.runs import Plan, Run, entered, load_run, read_results
from finestrec.runs.comparing import COMPARISON, read_comparison
from finestrec.runs.making import Maker
from finestrec.runs.night import Night, growing_night, next_night
from finestrec.stability.comparison import measure_names
from finestrec.stability.gate import Verdict, check_names, judged
from finestrec.stability.search import Found
from finestrec.stability.verdict import lost_users
from finestrec.stabilizers import Policy, Strategy, stabilizer
from finestrec.stabilizers.finest import FinestOptions
from finestrec.stabilizers.hysteresis import Hysteresis

_MOST = 0.5
"""Of what a run was trained on: with so much gone it is likely that another log was meant."""


@dataclass(frozen=True)
class Renewal:
    """What a command was given."""

    command: Literal["stabilize", "update"]
    folder: Path
    log: Path | None
    out: Path
    method: str
    choices: Choices
    entry: Entry
    terminal: Terminal
    budget: Budget

    def run(self) -> None:
        """Train, compare with the run, and show both.

        Raises:
            OptionError: If an option does not fit the run.
        """
        self.entry.refuse_inside(self.out, self.folder, self.log)
        if self.out.resolve() == self.folder.resolve():
            raise OptionError(f"--out names the run itself, {self.folder}, which is kept; choose another folder")
        incumbent = load_run(self.folder)
        config = self.choices.compose(below=[incumbent.config.to_layer()])
        _check_unchanged(config, incumbent.config)
        strategy = stabilizer(self.method, config.recipe)
        _check_can_be_kept(strategy, self.method)
        self.choices.refuse_unread(self.method, strategy)
        limits = self.budget.parsed()
        depth = min(config.lists.k, incumbent.config.lists.k)
        names = measure_names([depth], truth=False, catalogue=True, old_catalogue=True)
        check_names(limits.budget, names, None, "lists are of lists.k items")
        whole = incumbent.log if self.log is None else config.data.read(self.log, incumbent.log)
        night = (next_night if self.command == "stabilize" else growing_night)(incumbent, whole)
        inputs = self._inputs(incumbent, night)
        if limits.decide(
            self.method, config
        ):  # else a budget decides nothing, and may be another one when the run is looked at again
            inputs |= {"--budget fails where": [check.text for check in limits.budget]}
            inputs |= {"--max-accuracy-loss": limits.max_accuracy_loss}
            _check_is_open(self.method, config, incumbent.config)
        plan = Plan(self.command, config, inputs)
        with entered(self.out, plan, resume=self.entry.resume, force=self.entry.force) as new:
            self.terminal.say(_described(night))
            if new.finished:
                self.terminal.say(f"{self.out} is finished already")
            else:
                progress = self.terminal.progress(f"{self.method} of {config.model_name}")
                name = (self.log or self.folder).name
                maker = Maker(new, name, progress, limits, self.terminal.tell)
                (maker.stabilize if self.command == "stabilize" else maker.update)(incumbent, night, self.method)
        verdicts = judged(read_comparison(self.out / COMPARISON), limits.budget)
        found = read_results(self.out).get("search")
        is_met = not any(verdict.failed for verdict in verdicts) and (found is None or found["met"])
        self._show(incumbent, night, verdicts, is_met)
        if not is_met:
            raise typer.Exit(GATE_FAILED)

    def _inputs(self, incumbent: Run, night: Night) -> dict[str, Any]:
        return {
            "method": self.method,
            # Whole, as lists are of users and interactions that are not trained on, too.
            "fingerprint of the log": night.stored.whole.fingerprint,
            "fingerprint of the run's log": incumbent.log.fingerprint,
            "weights of the run": incumbent.weights_fingerprint,
        }

    def _show(self, incumbent: Run, night: Night, verdicts: Sequence[Verdict], is_met: bool) -> None:
        results, served = read_results(self.out), read_results(self.out / COMPARISON)
        row = results["rows"][0]
        before = {"measures": dict.fromkeys(row["measures"], None), "accuracy": row["reference_accuracy"]}
        after = (row["method"].replace("_", " "), row)
        found = results.get("search")
        self.terminal.show(
            comparison_table([("the run", before), after], "the models, on held-out interactions"),
            _served(served),
            *_lost(incumbent, night, served),
            *([Found.from_json(found).sentence()] if found else []),
            *(_budgeted(verdict) for verdict in verdicts),
            f"saved in {self.out}",
        )
        document = {"out": self.out, "log": night.summary(), "results": results, "comparison": served}
        if verdicts or found:
            document["within_budget"] = is_met
        self.terminal.document(document)


def _served(served: Mapping[str, Any]) -> str:
    row, k = served["rows"][0], served["k"][0]
    change = row["measures"][f"Turnover@{k}"]
    return f"the lists that are served: {change:.1%} of the items in a user's first {k} changed, on average over users"


def _lost(incumbent: Run, night: Night, served: Mapping[str, Any]) -> list[str]:
    """What the page's means do not show: they are of users who have a list on both sides."""
    lines, known = lost_users(served), len(incumbent.trained.log)
    if night.gone > _MOST * known:
        lines.append(
            f"{night.gone:,} of the {known:,} interactions that the run was trained on are not in the log: it has to be"
            " the whole one, not the new rows alone, with ids and times as they were"
        )
    return lines


def _budgeted(verdict: Verdict) -> str:
    word = "the budget is not met" if verdict.failed else "the budget is met"
    return f"{word}: {verdict.check.measure} is {verdict.value:.4g}, {verdict.by:.4g} from {verdict.check.threshold:g}"


def _check_is_open(method: str, config: Config, before: Config) -> None:
    strategy = stabilizer(method, config.recipe)
    if not isinstance(strategy.options, FinestOptions) or strategy.strength is None:
        return
    value = getattr(config.finest, strategy.strength)
    if value != getattr(before.finest, strategy.strength):
        raise OptionError(
            f"finest.{strategy.strength} is set to {value:g} and would be searched too; leave it out, or say"
            f" --method {method}:{strategy.strength}={value:g} to hold the limits against that strength alone"
        )


def _check_can_be_kept(strategy: Strategy, method: str) -> None:
    """A run folder holds one model and the lists that were served before."""
    if isinstance(strategy, Policy) and not isinstance(strategy, Hysteresis):
        raise OptionError(
            f"the method {method!r} asks the model before too whenever lists are made, and a run folder holds one"
            " model; `finestrec audit --methods` measures it. Of the policies of serving, hysteresis needs no more than"
            " the lists that were served"
        )


def _check_unchanged(config: Config, before: Config) -> None:
    fixed = ("model.", "split.", "data.min_length")
    changed = [text for text in config.differences(before) if text.startswith(fixed)]
    if changed:
        raise OptionError(
            f"{'; '.join(changed)}: a run keeps its model, its split and its users; train a new one to change them"
        )


def _described(night: Night) -> str:
    counts = night.summary()
    text = (
        f"training on {counts['training_interactions']:,} interactions: {counts['new']:,} are new and"
        f" {counts['gone']:,} of the run's are gone"
    )
    if counts["new_users"] or counts["new_items"]:
        text += f"; new users: {counts['new_users']:,}, new items: {counts['new_items']:,}"
    if counts["retired_items"]:
        text += f"; items gone from the log, which are not listed any more: {counts['retired_items']:,}"
    if counts["held_back"]:
        text += (
            f"; left out: {counts['held_back']:,} new interactions after a user's first held-out one (`train --split"
            " none` holds nothing out)"
        )
    if counts["other_users"]:
        text += f"; left out: {counts['other_users']:,} other users"
    return text
