"""One process a folder. The lock is the system's: it is gone when its process is, however that ended."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from finestrec.errors import RunFolderError


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a folder for the time of a block; on systems without `flock` nothing is held.

    Raises:
        RunFolderError: If another process holds it.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    handle = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunFolderError(
                f"another process is writing {path}; wait for it, or choose another folder with --out"
            ) from None
        except OSError:
            pass  # a file system without locks, such as some network ones
        yield
    finally:
        os.close(handle)
