"""The report of a comparison: two files of lists, and the gate between them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from finestrec.report.definitions import definitions
from finestrec.report.examples import chosen_users, histogram, user_lists
from finestrec.report.summary import Chapter, Distribution, Estimate, MovedItem, Result, SliceLine, Summary
from finestrec.stability.comparison import ACCURACY, Comparison, P
from finestrec.stability.verdict import counts, lost_users

TODAY: Final = "today"
YESTERDAY: Final = "yesterday"
_MOST_ITEMS: Final = 20


def comparison_chapter(
    comparison: Comparison, lists: pl.LazyFrame, *, title: str, explanation: str, wanted: Sequence[str] = ()
) -> Chapter:
    """What moved between two files of lists.

    Args:
        comparison: What was found.
        lists: Columns user_id, old and new, one line a user of both sides.
        title: Of the chapter.
        explanation: Whose lists these are.
        wanted: Raw ids of users to show, as text.

    Raises:
        DataError: If a wanted user is not there.
    """
    measure = f"FRBO(p={P})@{comparison.summary['k'][0]}"
    both = comparison.users.filter(pl.col("side") == "both").select("user_id", value=pl.col(measure))
    shown, note = chosen_users(both, wanted)
    found = lists.filter(pl.col("user_id").is_in(shown.implode())).collect()
    of_user = {row["user_id"]: row for row in found.iter_rows(named=True)}
    return Chapter(
        title=title,
        explanation=explanation,
        measure=measure,
        results=(_result(comparison),),
        distributions=(Distribution(TODAY, measure, histogram(both["value"])),),
        slices=tuple(
            SliceLine(row["column"], row["value"], TODAY, row["users"], _estimate(row, measure))
            for row in comparison.summary["rows"][1:]
        ),
        items=_moved(comparison.items),
        users=tuple(
            user_lists(user, [(YESTERDAY, of_user[user]["old"]), (TODAY, of_user[user]["new"])]) for user in shown
        ),
        user_note=note,
    )


def comparison_summary(
    comparison: Comparison, lists: pl.LazyFrame, facts: Sequence[tuple[str, str]], wanted: Sequence[str] = ()
) -> Summary:
    """The report of `finestrec compare`.

    Args:
        comparison: What was found.
        lists: See `comparison_chapter`.
        facts: Stand first among the facts: label and value.
        wanted: Raw ids of users to show, as text.

    Raises:
        DataError: If a wanted user is not there.
    """
    summary = comparison.summary
    gate: list[dict[str, Any]] = summary.get("gate", [])
    k = summary["k"][0]
    change = comparison.row()["measures"][f"Turnover@{k}"]
    verdict = [f"{change:.1%} of the items in a user's first {k} changed, on average over users."]
    verdict += [*lost_users(summary), *(_checked(check) for check in gate)]
    chapter = comparison_chapter(
        comparison,
        lists,
        title="Yesterday's lists and today's",
        explanation=" ".join(counts({**summary, "notes": []})),
        wanted=wanted,
    )
    return Summary(
        kind="compare",
        title="Comparison of lists",
        verdict=tuple(verdict),
        facts=(*facts, *((name, str(source)) for name, source in summary["sources"].items())),
        chapters=(chapter,),
        definitions=definitions([*chapter.results[0].measures, *chapter.results[0].accuracy]),
        passed=not any(check["failed"] for check in gate) if gate else None,
        notes=tuple(summary["notes"]),
    )


def _checked(check: Mapping[str, Any]) -> str:
    if not check["failed"]:
        return f"Passed: {check['expression']} does not hold; it is {check['value']:.4g}."
    worst = ", ".join(str(user["user_id"]) for user in check["worst"])
    text = f"Failed: {check['expression']}; it is {check['value']:.4g}, off by {check['by']:.4g}."
    return f"{text} Worst users: {worst}." if worst else text


def _result(comparison: Comparison) -> Result:
    row = comparison.row()
    names = [name for name in row["measures"] if "(" not in name.replace("(p=", "") and "p=" in name]
    names += [name for name in row["measures"] if name.partition("@")[0] in {"Jaccard", "Turnover", "Top1Change"}]
    accuracy = [name for name in row["measures"] if name.partition("@")[0] in ACCURACY]
    change = f"change(NDCG@{comparison.summary['k'][0]})"
    return Result(
        label=TODAY,
        measures={name: _estimate(row, name) for name in names},
        accuracy={name: _estimate(row, name) for name in accuracy},
        ndcg_change=_estimate(row, change) if change in row["measures"] else None,
    )


def _estimate(row: Mapping[str, Any], name: str) -> Estimate:
    return Estimate(row["measures"][name], row["lower"][name], row["upper"][name])


def _moved(items: pl.DataFrame) -> tuple[MovedItem, ...]:
    moves = pl.col("left") + pl.col("entered")
    most = items.filter(moves > 0).sort(-moves, "item_id").head(_MOST_ITEMS)
    return tuple(
        MovedItem(str(row["item_id"]), row["entered"], row["left"], row["old"]) for row in most.iter_rows(named=True)
    )
