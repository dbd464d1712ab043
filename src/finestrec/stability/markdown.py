"""Markdown: tables, and text that comes from data."""

import re
from collections.abc import Sequence

_MARKS = re.compile(r"([\\`*_{}\[\]()#+!|~<>&@-])")


def table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table, and an empty one."""
    lines = [names, ["---"] * len(names), *rows]
    return [f"| {' | '.join(line)} |" for line in lines] + [""]


def escaped(text: str) -> str:
    """Text in which nothing is Markdown."""
    return _MARKS.sub(r"\\\1", text)
