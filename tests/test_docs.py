"""Every command and snippet of the documentation, page by page, as a reader would paste them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from finestrec.stabilizers import STABILIZERS

DOCS = Path(__file__).parents[1] / "docs"
ELSEWHERE = {"nightly-gate.md"}
"""Pages about files that they do not make themselves, which tests of their own do."""
PAGES = sorted(
    page for part in ("tutorials", "how-to") for page in (DOCS / part).glob("*.md") if page.name not in ELSEWHERE
)


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def ran(arguments: list[str], script: str, folder: Path) -> None:
    """Fail with what the page's code printed."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        arguments,
        input=script,
        cwd=folder,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_a_page_does_what_it_says(page: Path, tmp_path: Path) -> None:
    commands, snippets = blocks(page, "sh"), blocks(page, "python")
    assert commands or snippets, "a tutorial or how-to page without anything to run"
    if commands:
        ran(["bash", "-eu"], "\n".join(commands), tmp_path)
    if snippets:
        ran([sys.executable, "-"], "\n".join(snippets), tmp_path)


def test_there_are_pages() -> None:
    assert len(PAGES) >= 4


def test_the_table_of_methods_is_complete() -> None:
    page = (DOCS / "reference" / "methods.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| .* \| (?:`(\w+)` )?\|$", page, flags=re.MULTILINE)
    assert dict(rows) == {name: strategy.strength or "" for name, strategy in STABILIZERS.items()}
