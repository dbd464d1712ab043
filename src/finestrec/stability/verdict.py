"""A comparison and its gate as text: for a pull request (Markdown) and for a build server (JUnit XML)."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from finestrec.data.places import shown
from finestrec.stability.comparison import Comparison
from finestrec.stability.gate import Verdict
from finestrec.stability.markdown import escaped, table

_ITEMS = 5
_FEW = 0.5
"""Share of OLD's users below which a mean over those of both sides says little of OLD, and needs saying so."""
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def headline(comparison: Comparison, verdicts: Sequence[Verdict]) -> str:
    """One line: whether the gate held, how much changed, and whether that is of few of the users."""
    row, k, users = comparison.row(), comparison.summary["k"][0], comparison.summary["users"]
    change = f"{row['measures'][f'Turnover@{k}']:.1%} of the items in a user's first {k} changed, on average"
    before = users["both"] + users["only_old"]
    if users["both"] < _FEW * before:
        change += f" over {users['both']:,} of {before:,} users: the others have no list in NEW (gate LostUsers)"
    if not verdicts:
        return change
    failed = sum(verdict.failed for verdict in verdicts)
    word = f"failed: {failed} of {len(verdicts)} checks" if failed else f"passed: {len(verdicts)} checks"
    return f"Gate {word}. {change}"


def markdown(comparison: Comparison, verdicts: Sequence[Verdict]) -> str:
    """A summary for a pull request; everything that comes from data is escaped."""
    summary = comparison.summary
    lines = [f"## {headline(comparison, verdicts)}", ""]
    if verdicts:
        lines += table(
            ["check (fails if)", "value", "off by", "", "worst users"],
            [
                [
                    escaped(verdict.check.text),
                    f"{verdict.value:.4g}",
                    f"{verdict.by:.4g}" if verdict.failed else "",
                    "**failed**" if verdict.failed else "ok",
                    ", ".join(escaped(shown(user["user_id"])) for user in verdict.worst),
                ]
                for verdict in verdicts
            ],
        )
    lines += table(
        ["measure", "mean", "95% interval", "users"],
        [
            [f"`{name}`", figure(mean), interval(comparison.row(), name), f"{comparison.row()['known'][name]:,}"]
            for name, mean in comparison.row()["measures"].items()
        ],
    )
    lines += [f"{sentence}  " for sentence in map(escaped, counts(summary))] + [""]
    for name, verb in (("most_left", "left"), ("most_entered", "entered")):
        items = summary["items"][name][:_ITEMS]
        if items:
            told = ", ".join(f"{escaped(shown(item['item_id']))} ({item[verb]:,})" for item in items)
            lines.append(f"Items that {verb} most lists: {told}  ")
    return "\n".join(lines) + "\n"


def counts(summary: Mapping[str, Any]) -> list[str]:
    """Which users and items were compared, in sentences."""
    users, items = summary["users"], summary["items"]
    sentences = [f"Users with a list on both sides: {users['both']:,}."]
    for side, other in (("only_old", "NEW"), ("only_new", "OLD")):
        if users[side]:
            examples = ", ".join(map(shown, users[f"{side}_examples"][:_ITEMS]))
            more = ", ..." if users[side] > _ITEMS else ""
            sentences.append(f"Users without a list in {other}: {users[side]:,} ({examples}{more}).")
    if "with_truth" in users:
        sentences.append(
            f"Of them with held-out interactions: {users['with_truth']:,}; such users without two lists:"
            f" {users['truth_without_lists']:,}."
        )
    moved = f"Items that left the first {items['k']}, over all users: {items['left']:,}"
    moved += f" ({items['left_retired']:,} of them retired)" if "left_retired" in items else ""
    moved += f"; that entered: {items['entered']:,}"
    moved += f" ({items['entered_new']:,} of them new)" if "entered_new" in items else ""
    return [*sentences, f"{moved}.", *(f"{note}." for note in summary["notes"])]


def lost_users(summary: Mapping[str, Any]) -> list[str]:
    """A sentence about users without a list in NEW, of whom means say nothing; none without any."""
    gone = summary["users"]["only_old"]
    before = gone + summary["users"]["both"]
    return [f"{gone:,} of {before:,} users have no list any more."] if gone else []


def figure(value: float | None) -> str:
    """A mean as tables show it."""
    return "n/a" if value is None else f"{value:.4f}"


def interval(row: Mapping[str, Any], name: str) -> str:
    """The interval of a measure as tables show it."""
    if row["lower"][name] is None:
        return ""
    return f"{row['lower'][name]:.4f} to {row['upper'][name]:.4f}"


def junit(comparison: Comparison, verdicts: Sequence[Verdict]) -> bytes:
    """A test suite with a test case for each check, in UTF-8."""
    failures = sum(verdict.failed for verdict in verdicts)
    suite = ElementTree.Element(
        "testsuite", name="finestrec compare", tests=str(len(verdicts)), failures=str(failures), errors="0"
    )
    for verdict in verdicts:
        case = ElementTree.SubElement(
            suite, "testcase", classname="finestrec.compare", name=_NO_XML.sub("\ufffd", verdict.check.text)
        )
        if verdict.failed:
            text = _NO_XML.sub("\ufffd", verdict.sentence())
            ElementTree.SubElement(case, "failure", message=text, type="gate").text = text
    out = ElementTree.SubElement(suite, "system-out")
    out.text = _NO_XML.sub("\ufffd", "\n".join(counts(comparison.summary)))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return document
