"""What a report says, before it is a page: typed, frozen, and the same as JSON."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

SCHEMA = 1


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95% interval.

    Attributes:
        mean: None where the measure cannot be had.
        lower: None where there is no interval.
        upper: None where there is no interval.
    """

    mean: float | None
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True)
class Result:
    """One line of the comparison: a method, or a floor.

    Attributes:
        label: What it is called on the page.
        measures: Similarity of its lists to those before, by printed name; 1 is nothing changed.
        accuracy: By printed name.
        ndcg_change: Relative change of NDCG@10 against the lists before; None without targets.
        equally_accurate: Whether that is above minus the margin with 95% certainty; None without targets.
        is_floor: Whether it is noise to compare with, and not a method.
    """

    label: str
    measures: dict[str, Estimate]
    accuracy: dict[str, Estimate] = field(default_factory=dict)
    ndcg_change: Estimate | None = None
    equally_accurate: bool | None = None
    is_floor: bool = False


@dataclass(frozen=True)
class Distribution:
    """How the similarity of their lists is distributed over users.

    Attributes:
        label: Of the result.
        measure: Its printed name.
        counts: Users in each of equal bins of 0..1, the upper border in the last one.
    """

    label: str
    measure: str
    counts: tuple[int, ...]


@dataclass(frozen=True)
class SliceLine:
    """A group of users or instances.

    Attributes:
        slice: What the groups are made by.
        group: Its name.
        label: Of the result.
        users: How many.
        value: The mean of the chapter's measure.
    """

    slice: str
    group: str
    label: str
    users: int
    value: Estimate


@dataclass(frozen=True)
class MovedItem:
    """An item and how many lists it entered and left."""

    item: str
    entered: int
    left: int
    before: int


@dataclass(frozen=True)
class ShownList:
    """A list of items of one side, best first."""

    label: str
    items: tuple[str, ...]


@dataclass(frozen=True)
class UserLists:
    """One user's lists side by side, that before first.

    Attributes:
        user: Raw id.
        kept: Items of the first list that are still in the second.
    """

    user: str
    kept: int
    lists: tuple[ShownList, ...]


@dataclass(frozen=True)
class Chapter:
    """Results that may be compared with one another: one regime and one perturbation, or one night.

    Attributes:
        title: Names it.
        explanation: Who is compared with whom.
        measure: The similarity that distributions and slices show.
        results: Floors last.
        distributions: One a result that has them.
        slices: Means by group.
        items: Those that moved most.
        item_note: Of which lists.
        users: Examples.
        user_note: Which examples they are.
    """

    title: str
    explanation: str
    measure: str
    results: tuple[Result, ...]
    distributions: tuple[Distribution, ...] = ()
    slices: tuple[SliceLine, ...] = ()
    items: tuple[MovedItem, ...] = ()
    item_note: str = ""
    users: tuple[UserLists, ...] = ()
    user_note: str = ""


@dataclass(frozen=True)
class Summary:
    """A whole report.

    Attributes:
        kind: What it is of.
        title: Of the page.
        verdict: Paragraphs, the first what a reader in a hurry should take along.
        passed: Whether the gate was passed; None without one.
        facts: Label and value: data, fingerprint, model, seeds, version.
        chapters: At least one.
        definitions: Name and meaning of every measure on the page.
        notes: What cannot be had and why.
    """

    kind: Literal["audit", "stabilize", "update", "compare"]
    title: str
    verdict: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    chapters: tuple[Chapter, ...]
    definitions: tuple[tuple[str, str], ...]
    passed: bool | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"schema": SCHEMA, **asdict(self)}
