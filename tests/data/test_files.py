import os
from pathlib import Path

import polars as pl
import pytest

from finestrec.data.files import aside, write_aside


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("content", "expected"), [("naïve ☃\n", "naïve ☃\n".encode()), (b"\x00\xff\r\n", b"\x00\xff\r\n")]
)
def test_writes_text_as_utf8_and_bytes_as_they_are(tmp_path: Path, content: str | bytes, expected: bytes) -> None:
    write_aside(tmp_path / "a.txt", content)
    assert (tmp_path / "a.txt").read_bytes() == expected
    assert names(tmp_path) == ["a.txt"]


def test_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a longer old text")
    write_aside(path, "new")
    assert path.read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_text("old")
    with aside(path) as temporary:
        assert temporary.parent == tmp_path, "a rename is atomic within one file system only"
        assert temporary.suffix == ".parquet", "some writers choose the format by the suffix"
        temporary.write_text("half")
        assert path.read_text() == "old"
    assert path.read_text() == "half"


def interrupted(path: Path) -> None:
    path.write_text("half")
    raise KeyboardInterrupt


@pytest.mark.parametrize("old", [None, "old"])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path, old: str | None) -> None:
    path = tmp_path / "a.txt"
    if old is not None:
        path.write_text(old)
    with pytest.raises(KeyboardInterrupt), aside(path) as temporary:
        interrupted(temporary)
    assert names(tmp_path) == ([] if old is None else ["a.txt"])
    assert old is None or path.read_text() == old


def test_the_content_is_synced_before_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    at_sync: list[tuple[int, bool]] = []
    monkeypatch.setattr(os, "fsync", lambda handle: at_sync.append((os.fstat(handle).st_size, path.exists())))
    write_aside(path, "12345")
    assert at_sync[0] == (5, False)


def test_a_failing_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError("no space left")

    path = tmp_path / "a.txt"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        write_aside(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_others_may_read_the_file(tmp_path: Path) -> None:
    write_aside(tmp_path / "a.txt", "x")
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o644


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_aside(tmp_path / "missing" / "a.txt", "x")


@pytest.mark.parametrize("names", [True, False])
def test_a_failure_names_the_file_that_was_to_be_written(tmp_path: Path, names: bool) -> None:
    path = tmp_path / "weights"
    with pytest.raises(OSError, match="weights") as caught, aside(path) as temporary:
        raise OSError(28, "No space left on device", *([str(temporary)] if names else []))
    assert caught.value.filename == str(path)
    other = OSError(2, "No such file", "elsewhere")
    with pytest.raises(OSError, match="elsewhere"), aside(path):
        raise other
    assert list(tmp_path.iterdir()) == []


def test_a_parquet_file_that_cannot_be_written_is_an_error_of_its_path(tmp_path: Path) -> None:
    """polars has a word of its own for a full disk."""
    path = tmp_path / "a.parquet"
    with pytest.raises(OSError, match=r"a\.parquet") as caught, aside(path):
        raise pl.exceptions.ComputeError("parquet: File too large (os error 27)\nand more")
    assert (caught.value.filename, caught.value.strerror) == (str(path), "parquet: File too large (os error 27)")
    assert names(tmp_path) == []
    with pytest.raises(FileNotFoundError) as missing:
        write_aside(tmp_path / "nowhere" / "a.txt", "")
    assert missing.value.filename == str(tmp_path / "nowhere" / "a.txt")
