"""The report of an audit: a chapter for each regime and perturbation."""

import re
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Final

import polars as pl

from finestrec.report.definitions import SIMILARITIES, definitions
from finestrec.report.examples import chosen_users, histogram, user_lists
from finestrec.report.summary import Chapter, Distribution, Estimate, MovedItem, Result, SliceLine, Summary, UserLists
from finestrec.stability.findings import Finding, LoadTable
from finestrec.stability.moved import CHANGE
from finestrec.stability.results import ACCURACY, StabilityAudit
from finestrec.stability.rows import Regime

_EXPLAINED: Final[dict[Regime, str]] = {
    "anchored-update": "A nightly retraining: every model trained on the perturbed log is compared with the incumbent,"
    " trained on the log as it is.",
    "authors-protocol": "The paper's protocol: the same pipeline on both logs, fine-tuned with the lists of the model"
    " trained on the log as it is; the two results are compared.",
    "unanchored": "The same pipeline on both logs, each fine-tuned with its own model's lists; the two results are"
    " compared.",
}
_OF_A_NIGHT: Final[dict[Regime, str]] = {
    "anchored-update": "A nightly retraining: every model trained on the log with the night is compared with the"
    " incumbent, trained on the log before it. Floors, and rows where nothing changed, are of the log with the night.",
    "authors-protocol": "The paper's protocol: the same pipeline on the log before the night and on the log with it,"
    " fine-tuned with the lists of the model trained on the log before; the two results are compared.",
}
_FLOORS: Final = {"same_seed": "floor: the same run twice", "other_seed": "floor: another seed alone"}
_MOST_ITEMS: Final = 20
_SENTENCE_END: Final = re.compile(r"(?<=\.)\s(?=[A-Z])")


def audit_summary(
    found: StabilityAudit, load: LoadTable, facts: Sequence[tuple[str, str]], wanted: Sequence[str] = ()
) -> Summary:
    """The report of `finestrec audit`.

    Args:
        found: With its tables.
        load: Gives the table of a row's instances.
        facts: Stand first among the facts: label and value.
        wanted: Raw ids of users to show, as text.

    Raises:
        DataError: If a wanted user is not there.
    """
    first = found.rows[0]
    groups = dict.fromkeys((f.regime, f.perturbation) for f in found.findings if f.perturbation)
    chapters = [_chapter(found, load, regime, perturbation, wanted) for regime, perturbation in groups if perturbation]
    seeds = sorted({row.seed for row in found.rows})
    return Summary(
        kind="audit",
        title=f"Audit of {first.model} on {first.data}" if first.data else f"Audit of {first.model}",
        verdict=tuple(_SENTENCE_END.split(found.verdict())),
        facts=(
            *facts,
            ("model", first.model),
            ("training log", f"fingerprint {first.log_fingerprint}"),
            ("seeds", ", ".join(map(str, seeds))),
            ("test instances", f"{first.n_instances:,} of {first.n_users:,} users ({first.instances})"),
            *_excess(found),
        ),
        chapters=tuple(chapters),
        definitions=definitions([*SIMILARITIES, *ACCURACY]),
        notes=tuple(dict.fromkeys(note for row in found.rows for note in row.notes)),
    )


def _excess(found: StabilityAudit) -> list[tuple[str, str]]:
    return [
        (
            f"excess over seed noise, {each['perturbation']}",
            f"{value:+.4f} in {CHANGE} ({each['pairs']} pairs of seeds)",
        )
        for each in found.excess_over_seed_noise
        if (value := each["measures"][CHANGE]) is not None
    ]


def _chapter(
    found: StabilityAudit, load: LoadTable, regime: Regime, perturbation: str, wanted: Sequence[str]
) -> Chapter:
    shown = [f for f in found.findings if f.regime == regime and f.perturbation in {perturbation, None}]
    floors = [f for f in found.findings if f.regime == "floor"] if regime == "anchored-update" else []
    methods = {f.method: _label(f) for f in shown if f.perturbation}
    here = (pl.col("regime") == regime) & (pl.col("perturbation") == perturbation)
    users = found.tables["users"].filter(here)
    first = next(iter(methods))
    items = found.tables["moved_items"].filter(here & (pl.col("method") == first)).head(_MOST_ITEMS)
    explained = _EXPLAINED | (_OF_A_NIGHT if perturbation.startswith("append:") else {})
    seeds = next(f.seeds for f in shown if f.perturbation)
    examples, note = _examples(found, load, regime, perturbation, users, wanted)
    return Chapter(
        title=f"{regime}: {perturbation}",
        explanation=explained[regime],
        measure=CHANGE,
        results=tuple(_result(f) for f in [*shown, *floors]),
        distributions=tuple(
            Distribution(label, CHANGE, histogram(_by_user(users.filter(pl.col("method") == method))["value"]))
            for method, label in methods.items()
        ),
        slices=_slices(found.tables["slices"].filter(here & (pl.col("measure") == CHANGE)), methods),
        items=tuple(
            MovedItem(str(row["item_id"]), row["entered"], row["left"], row["old_lists"])
            for row in items.iter_rows(named=True)
        ),
        item_note=f"Lists of ten at every test interaction{f', over {seeds} seeds' if seeds > 1 else ''}, by {first}."
        if len(items)
        else "",
        users=examples,
        user_note=note,
    )


def _result(finding: Finding) -> Result:
    def estimates(names: Sequence[str]) -> dict[str, Estimate]:
        return {name: _estimate(finding, name) for name in names if name in finding.measures}

    change = finding.ndcg_change
    return Result(
        label=_label(finding),
        measures=estimates(SIMILARITIES),
        accuracy=estimates(ACCURACY),
        ndcg_change=None if change is None else Estimate(**change),
        equally_accurate=finding.equally_accurate,
        is_floor=finding.regime == "floor",
    )


def _label(finding: Finding) -> str:
    if finding.regime == "floor":
        return _FLOORS[finding.method]
    name = finding.method.replace("_", " ")
    return name if finding.perturbation else f"{name}, nothing changed"


def _estimate(finding: Finding, name: str) -> Estimate:
    bounds = finding.intervals.get(name)
    mean = finding.measures[name]
    return Estimate(mean) if bounds is None else Estimate(mean, bounds["lower"], bounds["upper"])


def _slices(lines: pl.DataFrame, methods: Mapping[str, str]) -> tuple[SliceLine, ...]:
    return tuple(
        SliceLine(
            line["slice"],
            line["group"],
            methods[line["method"]],
            line["users"],
            Estimate(line["mean"], line["lower"], line["upper"]),
        )
        for line in lines.iter_rows(named=True)
    )


def _by_user(users: pl.DataFrame) -> pl.DataFrame:
    """Means over comparisons: user_id and value."""
    return users.group_by("user_id", maintain_order=True).agg(value=pl.col(CHANGE).mean())


def _examples(
    found: StabilityAudit,
    load: LoadTable,
    regime: Regime,
    perturbation: str,
    users: pl.DataFrame,
    wanted: Sequence[str],
) -> tuple[tuple[UserLists, ...], str]:
    """Lists before, and after by each method, at the instance of the user that the first method changed most."""
    rows = [r for r in found.rows if (r.regime, r.perturbation, r.other_seed) == (regime, perturbation, None)]
    rows = [row for row in rows if row.seed == rows[0].seed]
    # Elsewhere every method has lists of its own before.
    if regime != "anchored-update":
        return (), ""
    shown, note = chosen_users(_by_user(users.filter(pl.col("comparison") == rows[0].comparison)), wanted)
    keys = ["user_id", "interaction_id"]
    tables = [load(row).filter(pl.col("user_id").is_in(shown.implode())) for row in rows]
    merged = tables[0].sort(CHANGE, maintain_order=True).unique("user_id", keep="first", maintain_order=True)
    merged = merged.select(*keys, pl.col("old_items").alias("before"), pl.col("new_items").alias(rows[0].method))
    for row, table in zip(rows[1:], tables[1:], strict=True):
        merged = merged.join(table.select(*keys, pl.col("new_items").alias(row.method)), on=keys)
    of_user = {line["user_id"]: line for line in merged.iter_rows(named=True)}
    names = ["before", *(row.method for row in rows)]
    examples = tuple(
        user_lists(user, [(name.replace("_", " "), of_user[user][name]) for name in names]) for user in shown
    )
    n_most = fmean(len(example.lists[0].items) for example in examples) if examples else 0
    seed = f" Lists of seed {rows[0].seed}, the first {n_most:.0f} items, at the test interaction that changed most."
    return examples, note + seed
