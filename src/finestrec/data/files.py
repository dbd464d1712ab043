"""Files that are whole or absent: written aside, synced, renamed."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` for the caller to write; synced and renamed to `path` on success.

    Raises:
        OSError: If it cannot be written, as on a full disk; names `path`.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        # A write that fails names no file, and nobody knows the temporary one.
        if error.errno is not None and error.filename in {None, name}:
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_aside(path: Path, content: bytes | str) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part."""
    with aside(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
