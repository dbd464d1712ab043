"""The report of a run that was brought up to date: its lists beside the incumbent's."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import polars as pl

from finestrec.report.definitions import SIMILARITIES, definitions
from finestrec.report.of_comparison import comparison_chapter
from finestrec.report.summary import Chapter, Estimate, Result, Summary
from finestrec.stability.comparison import Comparison
from finestrec.stability.findings import equally_accurate
from finestrec.stability.moved import CHANGE
from finestrec.stability.results import ACCURACY
from finestrec.stability.verdict import lost_users


def run_summary(
    kind: Literal["stabilize", "update"],
    row: Mapping[str, Any],
    served: Comparison,
    lists: pl.LazyFrame,
    facts: Sequence[tuple[str, str]],
    wanted: Sequence[str] = (),
) -> Summary:
    """The report of `finestrec stabilize` and `finestrec update`.

    Args:
        kind: The command.
        row: The row of results.json.
        served: The incumbent's served lists and the run's.
        lists: Those lists, see `comparison_chapter`.
        facts: Stand first among the facts: label and value.
        wanted: Raw ids of users to show, as text.

    Raises:
        DataError: If a wanted user is not there.
    """
    method = row["method"].replace("_", " ")
    k = served.summary["k"][0]
    turnover = served.row()["measures"][f"Turnover@{k}"]
    verdict = [f"{method} changed {turnover:.1%} of the items in a user's first {k}, on average over users."]
    verdict += lost_users(served.summary)
    chapters = [
        comparison_chapter(
            served,
            lists,
            title="The lists that are served",
            explanation="Every user's list from the run before and from this one, each after all that was known then.",
            wanted=wanted,
        )
    ]
    if row["n_instances"]:
        result = _result(method, row)
        verdict.append(_accuracy(result))
        chapters.append(
            Chapter(
                title="The models on held-out interactions",
                explanation="Both models after the same histories: what differs is the model alone.",
                measure=CHANGE,
                results=(result,),
            )
        )
    names = [name for chapter in chapters for name in chapter.results[0].measures]
    return Summary(
        kind=kind,
        title=f"{row['data']}: {method} of {row['model']}" if row["data"] else f"{method} of {row['model']}",
        verdict=tuple(verdict),
        facts=(
            *facts,
            ("model", row["model"]),
            ("training log", f"fingerprint {row['log_fingerprint']}"),
            ("seed", str(row["seed"])),
            ("training", f"{row['seconds']:.1f} s"),
        ),
        chapters=tuple(chapters),
        definitions=definitions([*names, *ACCURACY]),
        notes=(*row["notes"], *served.summary["notes"]),
    )


def _result(method: str, row: Mapping[str, Any]) -> Result:
    change = row["ndcg_change"]
    return Result(
        label=method,
        measures={name: _estimate(row, "measures", name) for name in SIMILARITIES if name in row["measures"]},
        accuracy={name: _estimate(row, "accuracy", name) for name in ACCURACY},
        ndcg_change=None if change is None else Estimate(**change),
        equally_accurate=equally_accurate(change),
    )


def _estimate(row: Mapping[str, Any], group: Literal["measures", "accuracy"], name: str) -> Estimate:
    return Estimate(row[group][name], **row["intervals"].get(name, {}))


def _accuracy(result: Result) -> str:
    change = result.ndcg_change
    if change is None or change.mean is None:
        return "Accuracy could not be compared."
    words = "Accuracy is equal" if result.equally_accurate else "Accuracy is not shown to be equal"
    return f"{words}: NDCG@10 changed by {change.mean:+.1%} (95% interval {change.lower:+.1%} to {change.upper:+.1%})."
