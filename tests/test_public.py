"""The public names: few, all there, and free until they are used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import finestrec as fr


def test_every_public_name_is_there_and_comes_from_where_the_types_say() -> None:
    tree = ast.parse(Path(fr.__file__).read_text())
    typed = {
        alias.name: f"finestrec.{fr._HOMES[alias.name]}" == node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("finestrec.")
        for alias in node.names
    }
    assert sorted(typed) == sorted(fr.__all__) == sorted(fr._HOMES)
    assert all(typed.values())
    assert len(fr.__all__) <= 15
    for name in fr.__all__:
        assert getattr(fr, name) is not None


def test_an_unknown_name_lists_the_choices() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'audits'; it has MODELS, .*audit"):
        fr.__getattr__("audits")


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, finestrec; print(sorted({'torch', 'polars', 'numpy', 'pydantic'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
