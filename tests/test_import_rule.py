"""Rooms import downwards only, never each other's private names; the ground imports nothing of ours."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import finestrec

PACKAGE = Path(finestrec.__path__[0])
PROJECT = Path(__file__).parents[1] / "pyproject.toml"
SOURCES = sorted(PACKAGE.rglob("*.py"))
GROUND = {
    "compiled": set[str](),
    "errors": set[str](),
    "options": {"errors"},
    "randomness": {"errors"},
    "measures": {"errors", "compiled"},
}
"""What each room of the ground may import of ours."""


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def is_private(part: str) -> bool:
    return part.startswith("_") and not part.startswith("__")


def our_imports(source: str, module: str, is_package: bool = False) -> Iterator[tuple[str, str, str]]:
    """What a source imports of ours: the module, the name in it or "", and the name it is bound to."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "finestrec":
                    yield alias.name, "", alias.asname or "finestrec"
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                above = module.split(".")[: len(module.split(".")) - node.level + is_package]
                origin = ".".join([*above, *filter(None, [origin])])
            if origin.split(".")[0] == "finestrec":
                for alias in node.names:
                    yield origin, alias.name, alias.asname or alias.name


def strangers(source: str, module: str, is_package: bool = False) -> list[str]:
    """Private names of other rooms that a source imports, or reads as attributes of what it imports."""
    found, bound = [], set()
    for origin, name, local in our_imports(source, module, is_package):
        full = f"{origin}.{name}" if name else origin
        if room_of(full) != room_of(module):
            bound.add(local)
            if any(map(is_private, full.split("."))):
                found.append(full)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            base = node.value
            while isinstance(base, ast.Attribute):
                base = base.value
            if isinstance(base, ast.Name) and base.id in bound:
                found.append(ast.unparse(node))
    return found


def layers() -> list[set[str]]:
    """Rooms of each layer of the contract, highest first."""
    (contract,) = tomllib.loads(PROJECT.read_text())["tool"]["importlinter"]["contracts"]
    return [{room_of(module) for module in re.split(r"\s*[|:]\s*", layer)} for layer in contract["layers"]]


def test_the_contract_of_import_linter_is_kept() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    command = [linter, "--config", PROJECT, "--no-cache", "--no-logo"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 kept, 0 broken" in done.stdout


@pytest.mark.parametrize(
    "upwards",
    [
        ["errors", "data", "perturbation", "stabilizers"],
        ["data", "models", "training", "stabilizers", "stability", "runs", "cli"],
        ["models", "ranking", "stabilizers"],
        ["randomness", "data"],
        ["measures", "data"],
        ["config", "runs", "cli"],
    ],
    ids=" <- ".join,
)
def test_the_contract_says_what_the_design_says(upwards: list[str]) -> None:
    heights = {room: -number for number, layer in enumerate(layers()) for room in layer}
    assert [heights[room] for room in upwards] == sorted({heights[room] for room in upwards})


def test_every_room_has_its_place_in_the_contract() -> None:
    rooms = {room_of(name_of(path)) for path in SOURCES} - {"", "__main__"}
    assert rooms == set().union(*layers())


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_module_uses_private_names_of_another_room(path: Path) -> None:
    assert strangers(path.read_text(), name_of(path), path.name == "__init__.py") == []


@pytest.mark.parametrize("room", sorted(GROUND))
def test_the_ground_imports_nothing_of_ours_but_what_is_allowed(room: str) -> None:
    paths = [path for path in SOURCES if room_of(name_of(path)) == room]
    assert paths
    for path in paths:
        for origin, name, _ in our_imports(path.read_text(), name_of(path), path.name == "__init__.py"):
            imported = room_of(f"{origin}.{name}" if name else origin)
            assert imported in GROUND[room] | {room}, f"{name_of(path)} imports {origin}"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from finestrec.data.sequences import _pad", ["finestrec.data.sequences._pad"]),
        ("from finestrec.measures._checks import checked_k", ["finestrec.measures._checks.checked_k"]),
        ("import finestrec.measures._checks", ["finestrec.measures._checks"]),
        ("from ..data.sequences import _pad", ["finestrec.data.sequences._pad"]),
        ("def f():\n    from finestrec.data import _x as y", ["finestrec.data._x"]),
        ("from finestrec.data import sequences\nsequences._pad(1)", ["sequences._pad"]),
        ("import finestrec.data.sequences as s\ns._pad", ["s._pad"]),
        ("import finestrec\nfinestrec.data.sequences._pad", ["finestrec.data.sequences._pad"]),
        ("from finestrec.perturbation.edits import _mine\nfrom .edits import _too", []),
        ("from finestrec.data.log import InteractionLog\nInteractionLog.__name__", []),
        ("from numpy import _core\nself._x = 1", []),
    ],
)
def test_the_search_for_private_names_finds_them(source: str, found: list[str]) -> None:
    assert strangers(source, "finestrec.perturbation.spec") == found
