"""The gate: expressions over a comparison, each of which fails the night if it is true.

::

    FRBO(p=0.9)@10 < 0.80                        a mean over users
    lower(Jaccard@10) < 0.7                      a bound of its 95% interval, lower or upper
    Jaccard@10@slice:country=DE < 0.6            in a slice of `--users`; also lower(Jaccard@10)@slice:country=DE
    excess(Jaccard@10) > 0.05                    churn above the floor of `--baseline`: how much less alike the lists
                                                 are than those of two seeds of one model (for a change: more changed)
    lower(change(NDCG@10)) < -0.01               accuracy not shown to be within 1%: non-inferiority
    NDCG@10 < 0.05, old(NDCG@10), NegativeFlips@10 > 0.02, LostUsers > 0.01, ...

The names are those of `finestrec.stability.comparison`. The floor is a number: its own uncertainty is not in a bound of
an excess.
"""

import math
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, get_args

import polars as pl
from pydantic import Field

from finestrec.data.places import shown
from finestrec.errors import OptionError
from finestrec.measures.names import MeasureKind, parse_measure
from finestrec.options import Options, read_toml, validated
from finestrec.stability.comparison import LOST_USERS, Comparison

WORST = 10
"""Users that a failure names."""
_OPERATORS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_EXPRESSION = re.compile(r"(?P<term>.+?)\s*(?P<op><=|>=|<|>)\s*(?P<number>[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?)")
_CALL = re.compile(r"(?P<function>lower|upper|excess)\s*\((?P<inside>.*)\)")
_LAST_DIGITS = 1e-12
_SLICE = "@slice:"
_HOW = {
    "gate": (
        "expected MEASURE OP NUMBER, e.g. 'FRBO(p=0.9)@10 < 0.8', 'lower(Jaccard@10) < 0.7',"
        " 'Jaccard@10@slice:country=DE < 0.6', 'excess(Jaccard@10) > 0.05' or 'lower(change(NDCG@10)) < -0.01';"
        " OP is <, <=, > or >="
    ),
    "budget": (
        "expected what has to hold as MEASURE OP NUMBER, e.g. 'FRBO(p=0.9)@10 >= 0.8' or 'lower(Jaccard@10) >= 0.7';"
        " OP is <, <=, > or >="
    ),
}


@dataclass(frozen=True)
class Check:
    """One expression.

    Attributes:
        text: The condition in which it fails.
        source: What messages call it: its kind, and it as it was written.
        measure: A name of `Comparison.names`.
        bound: lower or upper for a bound of the interval, else None.
        excess: Whether the floor is taken off.
        part: Column and value of a slice.
        op: Fails when this holds between the value and the threshold.
        threshold: The number.
    """

    text: str
    source: str
    measure: str
    bound: Literal["lower", "upper"] | None
    excess: bool
    part: tuple[str, str] | None
    op: str
    threshold: float

    @property
    def low_is_bad(self) -> bool:
        """Which users are the worst."""
        return not parse_measure(self.measure).is_change if self.excess else self.op.startswith("<")


@dataclass(frozen=True)
class Verdict:
    """What a check came to.

    Attributes:
        check: The expression.
        value: What was compared with the threshold.
        failed: Whether the expression is true.
        by: How far the value is on the failing side, or from it: 0 or more.
        users: Of how many users.
        worst: Of a failure, the users with the worst values, worst first: user_id and value.
    """

    check: Check
    value: float
    failed: bool
    by: float
    users: int
    worst: list[dict[str, Any]]

    def sentence(self) -> str:
        """The verdict in words."""
        if not self.failed:
            return f"ok: {self.check.text} does not hold: it is {self.value:.4g}, {self.by:.4g} from the threshold"
        text = f"FAILED: {self.check.text}: it is {self.value:.4g}, off by {self.by:.4g}, over {self.users:,} users"
        worst = ", ".join(f"{shown(user['user_id'])} ({user['value']:.3g})" for user in self.worst)
        return f"{text}; worst users: {worst}" if worst else text

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "expression": self.check.text,
            "measure": self.check.measure,
            "value": self.value,
            "threshold": self.check.threshold,
            "failed": self.failed,
            "by": self.by,
            "users": self.users,
            "worst": self.worst,
        }


def parse_check(text: str) -> Check:
    """Read an expression.

    Raises:
        OptionError: If it is none; says what is expected.

    Examples:
        >>> check = parse_check("lower(Jaccard@10)@slice:country=DE < 0.7")
        >>> check.measure, check.bound, check.part, check.op, check.threshold
        ('Jaccard@10', 'lower', ('country', 'DE'), '<', 0.7)
    """
    return _parsed(text, "gate")


def _parsed(text: str, kind: Literal["gate", "budget"]) -> Check:
    source, how = f"the {kind} {text!r}", _HOW[kind]
    found = _EXPRESSION.fullmatch(text.strip())
    if found is None:
        raise OptionError(f"cannot read {source}; {how}")
    term, has_slice, where = found["term"].partition(_SLICE)
    column, equals, value = (word.strip() for word in where.partition("="))
    if has_slice and not (column and equals and value):
        raise OptionError(f"{source} names no slice after {_SLICE}; expected column=value")
    functions = []
    term = term.strip()
    while call := _CALL.fullmatch(term):
        functions.append(call["function"])
        term = call["inside"].strip()
    bounds = [name for name in functions if name != "excess"]
    if functions not in ([], ["excess"], bounds, [*bounds, "excess"]) or len(bounds) > 1:
        raise OptionError(f"{source} has {'('.join(functions)}(...); expected one bound, around excess; {how}")
    return Check(
        text=text.strip(),
        source=source,
        measure=_named(term, source),
        bound=bounds[0] if bounds else None,  # type: ignore[arg-type]
        excess="excess" in functions,
        part=(column, value) if has_slice else None,
        op=found["op"],
        threshold=float(found["number"]),
    )


def _named(term: str, source: str) -> str:
    """A measure's name as it is printed."""
    if re.split(r"\W", term, maxsplit=1)[0] in get_args(MeasureKind):
        try:
            return parse_measure(term).name
        except OptionError as error:
            raise OptionError(f"cannot read {source}: {error}") from None
    return re.sub(r"\s+", "", term)


class _GateFile(Options):
    fail_if: list[str] = Field(min_length=1)
    """Expressions, as after --fail-if."""


def read_gate(path: Path) -> list[str]:
    """The expressions of a TOML file with one key: ``fail_if = ["Jaccard@10 < 0.7", ...]``.

    Raises:
        OptionError: If it is no such file.
    """
    return validated(_GateFile, {"fail_if": None, **read_toml(path)}).fail_if


def floors(document: Mapping[str, Any], source: str) -> dict[str, float]:
    """What another seed alone changes, by measure: the mean of an audit's rows of regime floor, other_seed.

    Args:
        document: The content of an audit's results.json.
        source: What messages call it.

    Raises:
        OptionError: If it has no such row.
    """
    rows = document.get("rows") if isinstance(document, Mapping) else None
    found = [
        row["measures"]
        for row in rows or []
        if isinstance(row, Mapping) and (row.get("regime"), row.get("method")) == ("floor", "other_seed")
    ]
    if not found:
        raise OptionError(
            f"{source} has no floor: expected the results of an audit, with a row of regime floor and method other_seed"
        )
    known = [name for name in found[0] if all(measures.get(name) is not None for measures in found)]
    return {name: fmean(measures[name] for measures in found) for name in known}


def check_names(
    checks: Sequence[Check],
    names: Sequence[str],
    floor: Mapping[str, float] | None,
    others: str = "other depths by --k, accuracy by --truth",
) -> None:
    """Refuse before any list is read what the run will lack.

    Args:
        checks: The gate.
        names: What the run measures.
        floor: By measure; None without a baseline.
        others: How it would measure more.

    Raises:
        OptionError: If a check asks for anything else; lists what there is.
    """
    for check in checks:
        if check.measure not in names:
            raise OptionError(
                f"{check.source} asks for {check.measure}, which this run does not measure; it measures"
                f" {', '.join(names)} ({others})"
            )
        if check.measure == LOST_USERS and (check.bound or check.part):
            raise OptionError(f"{check.source}: {LOST_USERS} has neither an interval nor slices")
        if check.excess and floor is None:
            raise OptionError(f"{check.source} needs --baseline, the results of an audit with floors")
        if check.excess and floor is not None and check.measure not in floor:
            raise OptionError(
                f"{check.source}: the baseline has no floor of {check.measure}; it has {', '.join(floor)}"
            )


def parse_budget(text: str) -> Check:
    """Read a condition that has to hold of all users, as the check that fails where it does not.

    Raises:
        OptionError: If it is none; says what is expected.

    Examples:
        >>> parse_budget("Jaccard@10 >= 0.8").text
        'Jaccard@10 < 0.8'
    """
    check = _parsed(text, "budget")
    if check.part or check.excess:
        what = "a slice" if check.part else "an excess"
        raise OptionError(
            f"{check.source} is of {what}, and a run is not compared by slices or with a floor; {_HOW['budget']}"
        )
    op = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}[check.op]
    term, _, number = check.text.rpartition(check.op)
    return replace(check, op=op, text=f"{term.strip()} {op} {number.strip()}")


def judged(comparison: Comparison, checks: Sequence[Check], floor: Mapping[str, float] | None = None) -> list[Verdict]:
    """Hold a comparison against a gate.

    Args:
        comparison: What was found.
        checks: The gate.
        floor: What to take off for an excess, by measure.

    Raises:
        OptionError: If the comparison lacks a measure, a slice, or a value.
    """
    check_names(checks, comparison.names, floor)
    return [_verdict(comparison, check, floor or {}) for check in checks]


def _verdict(comparison: Comparison, check: Check, floor: Mapping[str, float]) -> Verdict:
    row = comparison.row(check.part)
    key: str = check.bound or "measures"
    if check.excess and check.low_is_bad:
        key = {"lower": "upper", "upper": "lower"}.get(key, key)
    value = row[key][check.measure]
    if value is None:
        raise OptionError(
            f"{check.source}: {check.measure} has no value here, because no user has one (or, for a change,"
            " because it was 0 in OLD)"
        )
    if check.excess:
        value = floor[check.measure] - value if check.low_is_bad else value - floor[check.measure]
    # A mean over users misses the number that it is by a last digit or two.
    is_on_it = math.isclose(value, check.threshold, rel_tol=_LAST_DIGITS, abs_tol=_LAST_DIGITS)
    value = check.threshold if is_on_it else value
    failed = bool(_OPERATORS[check.op](value, check.threshold))
    worst = _worst(comparison, check) if failed else []
    users = row["known"][check.measure]
    return Verdict(check, float(value), failed, abs(value - check.threshold), users, worst)


def _worst(comparison: Comparison, check: Check) -> list[dict[str, Any]]:
    users = comparison.users
    if check.measure == LOST_USERS:
        return users.filter(pl.col("side") == "old").select("user_id", value=pl.lit(1.0)).head(WORST).to_dicts()
    if check.part is not None:
        users = users.filter(pl.col(f"slice:{check.part[0]}") == check.part[1])
    changed = re.fullmatch(r"change\((.*)\)", check.measure)
    value = pl.col(changed[1]) - pl.col(f"old({changed[1]})") if changed else pl.col(check.measure)
    known = users.select("user_id", value=value).drop_nulls()
    if changed:
        known = known.filter(pl.col("value") < 0 if check.low_is_bad else pl.col("value") > 0)
    elif not check.excess:
        known = known.filter(_OPERATORS[check.op](pl.col("value"), check.threshold))
    order = known.sort("value", "user_id", descending=[not check.low_is_bad, False])
    return order.head(WORST).to_dicts()
