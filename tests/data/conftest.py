"""Fixtures of the data tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

REAL_LOGS = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture
def real_log() -> Callable[[str], Path]:
    def find(name: str) -> Path:
        path = REAL_LOGS / name
        if not path.exists():
            pytest.skip(f"the public log {name} is not beside this checkout (../shared/data)")
        return path

    return find


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    def write_file(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file
