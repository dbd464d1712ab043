"""The gate on a comparison whose numbers are known by hand."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import polars as pl
import pytest

from finestrec.errors import OptionError
from finestrec.stability.comparison import Comparison, compare
from finestrec.stability.gate import Check, check_names, floors, judged, parse_check, read_gate
from finestrec.stability.verdict import counts, headline, junit, markdown

HOSTILE = "<script>alert(1)</script> | `x` \u202e\x1b[31m\n@team" + "x" * 10_000


def lists(rows: dict[Any, str]) -> pl.DataFrame:
    return pl.DataFrame({"user_id": list(rows), "item_id": [list(items) for items in rows.values()]})


@pytest.fixture(scope="module")
def found() -> Comparison:
    """Users 1 to 4 keep 2, 2, 1 and 0 of 2 items; 5 has no list today; 3 loses its hit and 4 has none."""
    return compare(
        lists({1: "ab", 2: "ab", 3: "ab", 4: "ab", 5: "ab"}),
        lists({1: "ab", 2: "ab", 3: "ac", 4: "cd"}),
        k=2,
        truth=pl.DataFrame({"user_id": [1, 3, 4], "item_id": ["a", "b", "z"]}),
        users=pl.DataFrame({"user_id": [1, 2, 3, 4], "plan": ["free", "free", "a < 1", "a < 1"]}),
    )


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("FRBO(p=0.9)@10 < 0.8", ("FRBO(p=0.9)@10", None, False, None, "<", 0.8)),
        (" FRBO( p = 0.90 )@010<.8 ", ("FRBO(p=0.9)@10", None, False, None, "<", 0.8)),
        ("lower(Jaccard@10) <= 7e-1", ("Jaccard@10", "lower", False, None, "<=", 0.7)),
        ("upper( Turnover@10 ) > 1", ("Turnover@10", "upper", False, None, ">", 1.0)),
        ("Jaccard@10@slice:country=DE >= 0.6", ("Jaccard@10", None, False, ("country", "DE"), ">=", 0.6)),
        ("lower(Jaccard@10)@slice:a b=x < 1 y < 0.6", ("Jaccard@10", "lower", False, ("a b", "x < 1 y"), "<", 0.6)),
        ("excess(Jaccard@10) > 0.05", ("Jaccard@10", None, True, None, ">", 0.05)),
        ("lower(excess(Jaccard@10)) > 0.05", ("Jaccard@10", "lower", True, None, ">", 0.05)),
        ("lower(change(NDCG@10)) < -0.01", ("change(NDCG@10)", "lower", False, None, "<", -0.01)),
        ("old( NDCG@10 ) < +1", ("old(NDCG@10)", None, False, None, "<", 1.0)),
        ("LostUsers > 0", ("LostUsers", None, False, None, ">", 0.0)),
    ],
)
def test_the_grammar(text: str, check: tuple[Any, ...]) -> None:
    found = parse_check(text)
    assert (found.measure, found.bound, found.excess, found.part, found.op, found.threshold) == check
    assert found.text == text.strip()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Jaccard@10", "cannot read the gate 'Jaccard@10'; expected MEASURE OP NUMBER"),
        ("Jaccard@10 = 0.7", "OP is <, <=, > or >="),
        ("Jaccard@10 == 0.7", "cannot read"),
        ("Jaccard@10 < seven", "cannot read"),
        ("< 0.7", "cannot read"),
        ("", "cannot read"),
        ("Jaccard@10 < 0.7 and Top1Change > 1", r"cannot read the gate|needs its depth|choices"),
        ("FRBO@10 < 0.7", "FRBO needs its p"),
        ("Jaccard < 0.7", "Jaccard needs its depth"),
        ("Jaccard@10@slice:country < 0.7", "names no slice"),
        ("Jaccard@10@slice:=DE < 0.7", "names no slice"),
        ("lower(upper(Jaccard@10)) < 0.7", "expected one bound, around excess"),
        ("excess(lower(Jaccard@10)) < 0.7", "expected one bound, around excess"),
        ("excess(excess(Jaccard@10)) < 0.7", "expected one bound, around excess"),
    ],
)
def test_what_is_no_expression(text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        parse_check(text)


@pytest.mark.parametrize(
    ("text", "value", "failed", "worst"),
    [
        ("Jaccard@2 < 0.6", (1 + 1 + 1 / 3 + 0) / 4, True, [4, 3]),
        ("Jaccard@2 < 0.58", (1 + 1 + 1 / 3 + 0) / 4, False, []),
        ("Turnover@2 >= 0.375", 0.375, True, [4, 3]),
        ("Turnover@2 > 0.375", 0.375, False, []),
        ("upper(Turnover@2) > 0", None, True, [4, 3]),
        ("Turnover@2@slice:plan=free > 0", 0.0, False, []),
        ("Jaccard@2@slice:plan=a < 1 < 0.5", 1 / 6, True, [4, 3]),
        ("excess(Jaccard@2) > 0.3", 0.9 - 7 / 12, True, [4, 3, 1, 2]),
        ("excess(Jaccard@2) > 0.32", 0.9 - 7 / 12, False, []),
        ("excess(Turnover@2) > 0.1", 0.375 - 0.2, True, [4, 3, 1, 2]),
        ("Recall@2 < 0.5", 1 / 3, True, [3, 4]),
        ("old(Recall@2) < 0.5", 2 / 3, False, []),
        ("change(Recall@2) < -0.01", -0.5, True, [3]),
        ("NegativeFlips@2 > 0.3", 1 / 3, True, [3]),
        ("LostUsers > 0.1", 0.2, True, [5]),
        ("RankDisplacement@2 > 0", 0.0, False, []),
    ],
)  # fmt: skip
def test_verdicts_by_hand(found: Comparison, text: str, value: float | None, failed: bool, worst: list[int]) -> None:
    [verdict] = judged(found, [parse_check(text)], {"Jaccard@2": 0.9, "Turnover@2": 0.2})
    if value is not None:
        assert verdict.value == pytest.approx(value)
        assert verdict.by == pytest.approx(abs(value - verdict.check.threshold))
    assert verdict.failed == failed
    assert [user["user_id"] for user in verdict.worst] == worst
    assert verdict.sentence().startswith("FAILED: " if failed else "ok: ")
    assert all(str(user) in verdict.sentence() for user in worst)
    assert json.loads(json.dumps(verdict.to_json()))["expression"] == text


@pytest.mark.parametrize(("text", "failed"), [("> 0.1", False), (">= 0.1", True), ("< 0.1", False), ("<= 0.1", True)])
def test_a_mean_that_is_the_threshold_is_on_it(text: str, failed: bool) -> None:
    """Three users with one of ten items changed: their mean misses 0.1 by a last digit."""
    both = [lists(dict.fromkeys(range(3), first)) for first in ("abcdefghij", "abcdefghix")]
    [verdict] = judged(compare(*both, k=10), [parse_check(f"Turnover@10 {text}")], {})
    assert (verdict.failed, verdict.value, verdict.by) == (failed, 0.1, 0)


def test_bounds_of_an_excess_are_those_of_the_other_side(found: Comparison) -> None:
    floor, row = {"Jaccard@2": 0.9, "Turnover@2": 0.2}, found.row()
    texts = ["lower(excess(Jaccard@2)) > 9", "upper(excess(Jaccard@2)) > 9", "lower(excess(Turnover@2)) > 9"]
    low, high, change = (verdict.value for verdict in judged(found, list(map(parse_check, texts)), floor))
    assert low == pytest.approx(0.9 - row["upper"]["Jaccard@2"])
    assert high == pytest.approx(0.9 - row["lower"]["Jaccard@2"])
    assert change == pytest.approx(row["lower"]["Turnover@2"] - 0.2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Jaccard@10 < 0.7", r"asks for Jaccard@10, which this run does not measure; it measures RBO\(p=0.9\)@2"),
        ("FRBO(p=0.8)@2 < 0.7", "does not measure"),
        ("NDCG@20 < 0.7", "does not measure"),
        ("churn > 1", "asks for churn"),
        ("excess(FRBO(p=0.9)@2) > 0", "baseline has no floor of FRBO"),
        ("lower(LostUsers) > 0", "neither an interval nor slices"),
        ("Jaccard@2@slice:country=DE < 1", "no slices by 'country'; there are plan"),
        ("Jaccard@2@slice:plan=paid < 1", "no user with plan 'paid' was compared; there are a < 1, free"),
    ],
)
def test_what_a_run_lacks(found: Comparison, text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        judged(found, [parse_check(text)], {"Jaccard@2": 0.9})


def test_what_has_no_value() -> None:
    lost = lists({1: "ab"})
    truth = pl.DataFrame({"user_id": [1], "item_id": ["z"]})
    found = compare(lost, lists({1: "cd"}), k=2, truth=truth)
    for text in ("RankDisplacement@2 > 0", "change(NDCG@2) < 0"):
        with pytest.raises(OptionError, match="has no value here"):
            judged(found, [parse_check(text)])
    with pytest.raises(OptionError, match="needs --baseline"):
        check_names([parse_check("excess(Jaccard@2) > 0")], found.names, None)


def floor_row(value: float | None, **kind: str) -> dict[str, Any]:
    return {"regime": "floor", "method": "other_seed", "measures": {"Jaccard@10": value, "RBO(p=0.9)": 0.5}} | kind


def test_the_floor_of_an_audit() -> None:
    rows = [
        floor_row(0.6),
        floor_row(0.8),
        floor_row(1.0, method="same_seed"),
        floor_row(0.1, regime="anchored-update"),
    ]
    assert floors({"rows": rows}, "audit") == pytest.approx({"Jaccard@10": 0.7, "RBO(p=0.9)": 0.5})
    assert floors({"rows": [floor_row(0.6), floor_row(None)]}, "audit") == {"RBO(p=0.9)": 0.5}
    for document in ({"rows": rows[2:]}, {"rows": []}, {}, [1]):
        with pytest.raises(OptionError, match="audit has no floor"):
            floors(document, "audit")  # type: ignore[arg-type]


def test_a_file_of_expressions(tmp_path: Path) -> None:
    path = tmp_path / "gate.toml"
    path.write_text('fail_if = ["Jaccard@10 < 0.7", "LostUsers > 0.01"]\n')
    assert read_gate(path) == ["Jaccard@10 < 0.7", "LostUsers > 0.01"]
    for content, message in (
        ("fail_iff = []", "unknown option fail_iff .did you mean fail_if"),
        ("fail_if = []", "at least 1"),
        ("", "fail_if"),
        ("fail_if = [3]", "fail_if"),
        ("fail_if = =", "not TOML"),
    ):
        path.write_text(content)
        with pytest.raises(OptionError, match=message):
            read_gate(path)


def test_pages_escape_what_comes_from_data() -> None:
    old, new = (pl.DataFrame({"user_id": [HOSTILE], "item_id": [[item]]}) for item in (HOSTILE, "b"))
    found = compare(old, new, k=1)
    verdicts = judged(found, [parse_check("Jaccard@1 < 0.5")])
    page = markdown(found, verdicts)
    assert "<script>" not in page
    assert r"\<script\>" in page
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert max(map(len, page.splitlines())) < 1000
    [line] = [line for line in page.splitlines() if line.startswith("| Jaccard")]
    assert line.replace(r"\|", "").count("|") == 6
    assert "\x1b" not in verdicts[0].sentence()
    root = ElementTree.fromstring(junit(found, verdicts))
    [suite] = root
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")
    [failure] = suite.findall("testcase/failure")
    assert "off by 0.5" in (failure.text or "")
    assert headline(found, verdicts).startswith("Gate failed: 1 of 1 checks. 100.0% of the items")


def test_words(found: Comparison) -> None:
    sentences = counts(found.summary)
    assert sentences[:2] == ["Users with a list on both sides: 4.", "Users without a list in NEW: 1 (5)."]
    assert headline(found, []) == "37.5% of the items in a user's first 2 changed, on average"
    assert headline(found, judged(found, [parse_check("Jaccard@2 < 0.1")])).startswith("Gate passed: 1 checks.")
    few = compare(lists(dict.fromkeys(range(5), "ab")), lists({0: "ab", 9: "ab"}), k=2)
    assert headline(few, judged(few, [parse_check("Jaccard@2 < 0.1")])) == (
        "Gate passed: 1 checks. 0.0% of the items in a user's first 2 changed, on average over 1 of 5 users: the others"
        " have no list in NEW (gate LostUsers)"
    )
    assert isinstance(parse_check("Jaccard@2 < 0.1"), Check)
    assert "**failed**" not in markdown(found, judged(found, [parse_check("Jaccard@2 < 0.1")]))
