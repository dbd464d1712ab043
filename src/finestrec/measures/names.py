"""The printed names of the list similarities: one spelling for tables, reports and gates.

A name carries everything that the number depends on, because "RBO" alone does not say which of several
conventions was computed::

    RBO(p=0.9)           RBO(p=0.9)@10       RBOtruncated(p=0.9)@10   FRBO(p=0.9)@10
    AverageOverlap@all   AverageOverlap@10   Jaccard@10               Turnover@10      Top1Change
    RankDisplacement@10  TopOut@10
"""

import re
from dataclasses import dataclass
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from finestrec.errors import OptionError
from finestrec.measures._checks import checked_k, checked_p
from finestrec.measures.movement import rank_displacement, top_out
from finestrec.measures.overlap import (
    average_overlap,
    frbo,
    jaccard,
    rbo_depth,
    rbo_extrapolated,
    rbo_truncated,
    top1_change,
    turnover,
)

MeasureKind = Literal[
    "RBO",
    "RBOtruncated",
    "FRBO",
    "AverageOverlap",
    "Jaccard",
    "Turnover",
    "Top1Change",
    "RankDisplacement",
    "TopOut",
]

_NEEDS_P = frozenset({"RBO", "RBOtruncated", "FRBO"})
_NEEDS_K = frozenset({"RBOtruncated", "FRBO", "Jaccard", "Turnover", "RankDisplacement", "TopOut"})
_CHANGES = frozenset({"Turnover", "Top1Change", "RankDisplacement", "TopOut"})
_FORMS = (
    "RBO(p=0.9), RBO(p=0.9)@10, RBOtruncated(p=0.9)@10, FRBO(p=0.9)@10, AverageOverlap@all,"
    " AverageOverlap@10, Jaccard@10, Turnover@10, Top1Change, RankDisplacement@10, TopOut@10"
    " (with any p between 0 and 1 and any whole number after @)"
)
_NAME = re.compile(r"(?P<kind>\w+)(?:\(\s*p\s*=\s*(?P<p>[^()\s]+)\s*\))?(?:@(?P<k>all|[0-9]+))?", re.ASCII)


@dataclass(frozen=True)
class Measure:
    """A list similarity with its parameters; calling it compares two arrays of lists.

    Attributes:
        kind: What is computed, the first word of the name.
        p: Persistence of the rank-biased kinds, strictly between 0 and 1; None for the others.
        k: Ranks that are looked at, 1 or more; None for all that the lists have.

    Raises:
        OptionError: If a parameter is missing, out of range or not one of this kind.

    Examples:
        >>> Measure("FRBO", p=0.9, k=10).name
        'FRBO(p=0.9)@10'
    """

    kind: MeasureKind
    p: float | None = None
    k: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(MeasureKind):
            raise OptionError(f"unknown measure {self.kind!r}; the choices are {_FORMS}")
        if (self.p is not None) != (self.kind in _NEEDS_P):
            problem = "needs its p, as in (p=0.9)" if self.p is None else "has no parameter p"
            raise OptionError(f"measure {self.kind} {problem}; the choices are {_FORMS}")
        if self.k is None and self.kind in _NEEDS_K:
            raise OptionError(f"measure {self.kind} needs its depth, as in @10; the choices are {_FORMS}")
        if self.k is not None and self.kind == "Top1Change":
            raise OptionError(f"measure Top1Change looks at the first item and has no @; the choices are {_FORMS}")
        # Plain float and int, so that equal measures print and hash alike whatever number type came in.
        if self.p is not None:
            object.__setattr__(self, "p", checked_p(self.p))
        if self.k is not None:
            object.__setattr__(self, "k", checked_k(self.k))

    @property
    def name(self) -> str:
        """The name as printed; `parse_measure` reads it back."""
        p = "" if self.p is None else f"(p={self.p!r})"
        k = f"@{self.k}" if self.k is not None else "@all" if self.kind == "AverageOverlap" else ""
        return f"{self.kind}{p}{k}"

    @property
    def is_change(self) -> bool:
        """Whether 0 means that nothing changed; for all other kinds 1 does."""
        return self.kind in _CHANGES

    def depth(self, n_items: int) -> int:
        """How many ranks of each list the measure needs, in a catalogue of `n_items`.

        Examples:
            >>> parse_measure("RBO(p=0.9)").depth(952), parse_measure("Jaccard@10").depth(952)
            (394, 10)
        """
        if self.k is not None:
            return min(self.k, n_items)
        if self.kind == "Top1Change":
            return min(1, n_items)
        return n_items if self.p is None else rbo_depth(self.p, n_items)

    def __call__(self, a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
        """The measure of each pair of rows, shape (pairs,); NaN where `RankDisplacement` or `TopOut` has no value.

        Args:
            a: Item indices, shape (pairs, depth_a), best first, -1 ends a shorter row. Without a k the
                rows are taken as they are, so they must have the depth that `depth` asks for.
            b: Item indices, shape (pairs, depth_b).

        Raises:
            DataError: If the arrays are not lists as `finestrec.measures.overlap` describes them.

        Examples:
            >>> import numpy as np
            >>> parse_measure("Jaccard@2")(np.array([[0, 1, 2]]), np.array([[1, 0, 3]]))
            array([1.])
        """
        # These three functions take whole lists: their @k means shorter lists.
        head_a, head_b = np.asarray(a)[..., : self.k], np.asarray(b)[..., : self.k]
        match self:
            case Measure("RBO", p=float(p)):
                value = rbo_extrapolated(head_a, head_b, p)
            case Measure("RBOtruncated", p=float(p)):
                value = rbo_truncated(head_a, head_b, p)
            case Measure("AverageOverlap"):
                value = average_overlap(head_a, head_b)
            case Measure("FRBO", p=float(p), k=int(k)):
                value = frbo(a, b, p, k)
            case Measure("Jaccard", k=int(k)):
                value = jaccard(a, b, k)
            case Measure("Turnover", k=int(k)):
                value = turnover(a, b, k)
            case Measure("RankDisplacement", k=int(k)):
                value = rank_displacement(a, b, k)
            case Measure("TopOut", k=int(k)):
                value = top_out(a, b, k)
            case _:
                value = top1_change(a, b)
        return value

    def __str__(self) -> str:
        return self.name


def parse_measure(text: str) -> Measure:
    """Read a printed name.

    Args:
        text: As in the module's table, e.g. `FRBO(p=0.9)@10`; case matters, blanks around it do not.

    Raises:
        OptionError: If the name is not one of the known forms; lists the choices.

    Examples:
        >>> parse_measure("FRBO(p=0.9)@10")
        Measure(kind='FRBO', p=0.9, k=10)
    """
    found = _NAME.fullmatch(text.strip())
    if found is None:
        raise OptionError(f"cannot read the measure {text!r}; the choices are {_FORMS}")
    kind, p, k = found["kind"], found["p"], found["k"]
    if kind == "AverageOverlap" and k is None:
        raise OptionError(f"measure AverageOverlap needs its depth, @all or e.g. @10; the choices are {_FORMS}")
    if kind != "AverageOverlap" and k == "all":
        raise OptionError(f"{kind}@all is not a measure; the choices are {_FORMS}")
    try:
        persistence = None if p is None else float(p)
    except ValueError:
        raise OptionError(f"p is {p!r} in the measure {text!r}; it must be a number between 0 and 1") from None
    # An unknown kind is refused by Measure itself.
    return Measure(cast(MeasureKind, kind), p=persistence, k=None if k in (None, "all") else int(k))
