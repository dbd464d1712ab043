"""Compiling a loop over arrays."""

from collections.abc import Callable
from typing import Any


def compiled(signature: Any, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a function for one signature, to run without Python's lock, and keep the code on disk.

    It imports numba, so it is called where a compiled function is first needed and not when a room is imported.

    Args:
        signature: As `numba.njit` takes it.
        **options: Further options of `numba.njit`.
    """
    from numba import njit

    def compile_(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            return njit(signature, nogil=True, cache=True, **options)(function)  # type: ignore[no-any-return]
        except RuntimeError:  # no folder to write the compiled code to, e.g. a read-only container without a home
            return njit(signature, nogil=True, **options)(function)  # type: ignore[no-any-return]

    return compile_
