"""Files that are whole or absent: written aside, synced, renamed."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` for the caller to write; synced and renamed to `path` on success.

    Raises:
        OSError: If it cannot be written, as on a full disk; names `path`.
    """
    name: str | None = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        # A write that fails names no file, and nobody knows the temporary one.
        if error.errno is not None and _is_ours(error.filename, path):
            error.filename = str(path)
        raise
    except pl.exceptions.ComputeError as error:  # polars' word for a write that fails
        raise OSError(errno.EIO, str(error).split("\n", maxsplit=1)[0], str(path)) from None
    finally:
        if name is not None:
            Path(name).unlink(missing_ok=True)


def _is_ours(filename: object, path: Path) -> bool:
    return filename is None or Path(str(filename)).name.startswith(f".{path.name}.")


def write_aside(path: Path, content: bytes | str) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part."""
    with aside(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
