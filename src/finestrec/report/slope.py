"""Lists side by side with a line from each item to itself: where the parts of that picture stand."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from finestrec.report.summary import ShownList

ROW: Final = 22
"""Height of one rank, in pixels."""
COLUMN: Final = 190
GAP: Final = 90
_LONGEST: Final = 24

Fate = Literal["kept", "entered", "left"]


@dataclass(frozen=True)
class Entry:
    """An item in a list.

    Attributes:
        x: Left edge of the text.
        y: Its baseline.
        rank: From 1.
        text: The item, shortened to fit.
        full: The item.
        fate: Against the first list; items of the first list against the second.
    """

    x: int
    y: int
    rank: int
    text: str
    full: str
    fate: Fate


@dataclass(frozen=True)
class Slope:
    """The picture of one user's lists.

    Attributes:
        width: In pixels.
        height: In pixels.
        heads: Left edge and label of each list.
        entries: Of all lists.
        lines: x1, y1, x2, y2 of an item in neighbouring lists.
    """

    width: int
    height: int
    heads: tuple[tuple[int, str], ...]
    entries: tuple[Entry, ...]
    lines: tuple[tuple[int, int, int, int], ...]


def slope(lists: Sequence[ShownList]) -> Slope:
    """Lay out one user's lists."""
    left = [number * (COLUMN + GAP) for number in range(len(lists))]
    entries = [
        Entry(left[number], _y(rank), rank + 1, _short(item), item, _fate(item, number, lists))
        for number, each in enumerate(lists)
        for rank, item in enumerate(each.items)
    ]
    lines = []
    for number in range(len(lists) - 1):
        after = {item: rank for rank, item in enumerate(lists[number + 1].items)}
        for rank, item in enumerate(lists[number].items):
            if item in after:
                begin = left[number] + _text_width(f"{rank + 1}. {_short(item)}")
                ends = (begin, _y(rank) - 5, left[number + 1] - 8, _y(after[item]) - 5)
                lines.append(ends)
    depth = max((len(each.items) for each in lists), default=0)
    return Slope(
        width=left[-1] + COLUMN if lists else 0,
        height=_y(depth),
        heads=tuple((x, each.label) for x, each in zip(left, lists, strict=True)),
        entries=tuple(entries),
        lines=tuple(lines),
    )


def _y(rank: int) -> int:
    return 42 + rank * ROW


def _text_width(text: str) -> int:
    """About what a text takes at 13 pixels, with a margin; the column's width at most."""
    return min(COLUMN, 12 + 8 * len(text))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _fate(item: str, number: int, lists: Sequence[ShownList]) -> Fate:
    if number == 0:
        return "kept" if len(lists) == 1 or item in lists[1].items else "left"
    return "kept" if item in lists[0].items else "entered"
