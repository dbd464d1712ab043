"""Compiling loops over arrays, for one thread or for all that torch has."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
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


_ALONE = threading.Lock()


def threaded(signature: Any, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a function whose loops over `numba.prange` are shared among as many threads as torch uses.

    Torch is there before, so numba, where its threads are those of GNU's OpenMP, finds torch's copy of that and both
    share one pool. Two would each keep a processor busy with waiting while the other works.

    Args:
        signature: As `numba.njit` takes it.
        **options: Further options of `numba.njit`.
    """
    import torch
    from numba import config, set_num_threads
    from numba.np.ufunc.parallel import threading_layer

    most: int = config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]

    def compile_(function: Callable[..., Any]) -> Callable[..., Any]:
        count = torch.get_num_threads()
        run = compiled(signature, parallel=True, **options)(function)
        # Numba starts its threads by telling OpenMP, and so torch, to use all processors.
        torch.set_num_threads(count)
        # The threads that it has where there is no OpenMP end the process if two callers meet.
        alone: AbstractContextManager[object] = _ALONE if threading_layer() == "workqueue" else nullcontext()  # type: ignore[no-untyped-call]

        @wraps(function)
        def on_torchs_threads(*arguments: Any) -> None:
            with alone:
                set_num_threads(min(torch.get_num_threads(), most))
                run(*arguments)

        return on_torchs_threads

    return compile_
