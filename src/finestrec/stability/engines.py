"""Where the work of an audit is done: in this process, in worker processes of this machine, or on a Ray cluster.

Worker processes are plain `multiprocessing` ones, spawned, each with a pipe of its own. The pools of
`concurrent.futures`, joblib and loky were rejected: when one worker dies they fail all that is running and cannot say
whose death it was, and here the others go on.
"""

import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from typing import Any, Protocol

import torch

from finestrec.errors import OptionError
from finestrec.models import ModelFactory, model_name
from finestrec.stability.work import Failed, Outcome, Rankers, Workbench

OnMove = Callable[[str, float], None]
"""Told the key of a training and how many of its epochs are left."""
_LOOK_SECONDS = 0.2
_GRACE_SECONDS = 5.0


class Engine(Protocol):
    """Does work somewhere.

    Attributes:
        slots: How many pieces of work are taken at a time; None for any number.
    """

    slots: int | None

    def submit(self, key: str, rankers: Rankers) -> None:
        """Take a piece of work whose needs are done."""

    def wait(self, on_move: OnMove) -> Sequence[tuple[str, Outcome]]:
        """What has been finished since; waits a moment if there is nothing."""

    def close(self) -> None:
        """End all that is running, at once."""


class InProcess:
    """One piece of work after another in this process, with torch's threads or the recipe's."""

    slots: int | None = 1

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._next: tuple[str, Rankers] | None = None

    def submit(self, key: str, rankers: Rankers) -> None:
        """See `Engine`."""
        self._next = key, rankers

    def wait(self, on_move: OnMove) -> Sequence[tuple[str, Outcome]]:
        """See `Engine`."""
        assert self._next is not None
        key, rankers = self._next
        return [(key, self._bench.perform(key, rankers, lambda left: on_move(key, left)))]

    def close(self) -> None:
        """See `Engine`."""


class WorkerProcesses:
    """Several processes of this machine; a worker that dies fails its own piece of work and is replaced.

    Args:
        bench: Sent to each worker once.
        count: How many; no more are started than there is work at a time.
    """

    def __init__(self, bench: Workbench, count: int) -> None:
        self.slots: int | None = count
        self._bench = bench
        self._sent = pickle.dumps(bench)
        self._idle: list[_Worker] = []
        self._busy: dict[str, _Worker] = {}

    def submit(self, key: str, rankers: Rankers) -> None:
        """See `Engine`."""
        # Known before it is started, so that it is ended whenever an interruption comes.
        worker = self._busy[key] = self._idle.pop() if self._idle else _Worker(self._sent)
        worker.submit(key, rankers, self._bench.epochs(key), self._bench.threads)

    def wait(self, on_move: OnMove) -> Sequence[tuple[str, Outcome]]:
        """See `Engine`."""
        ready = wait_for([worker.pipe for worker in self._busy.values()], _LOOK_SECONDS)
        finished = []
        for key, worker in [*self._busy.items()]:
            if worker.pipe in ready:
                outcome = worker.outcome()
                if outcome is None:
                    continue
                del self._busy[key]
                if worker.is_alive:
                    self._idle.append(worker)
                finished.append((key, outcome))
            else:
                on_move(key, worker.left)
        return finished

    def close(self) -> None:
        """See `Engine`."""
        workers = [worker for worker in (*self._idle, *self._busy.values()) if worker.process.pid is not None]
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.end()


class _Worker:
    """A process, and our end of its pipe. It says that it is ready, and then answers each piece of work."""

    def __init__(self, bench: bytes) -> None:
        context = get_context("spawn")
        self.pipe, self._theirs = context.Pipe()
        # Without a lock, which a worker could be killed with.
        self._left = context.RawValue("d", 0.0)
        # The bench is sent when the process says that it is there. As an argument it would be written while the process
        # starts, and one that never reads it, for lack of `if __name__ == "__main__":`, would stop us for ever.
        self.process = context.Process(target=_serve, args=(self._theirs, self._left), name="finestrec-worker")
        self.is_alive = True
        self._bench = bench
        self._first: tuple[str, Rankers] | None = None

    @property
    def left(self) -> float:
        """Epochs that are left of the training it is at."""
        return float(self._left.value)

    def submit(self, key: str, rankers: Rankers, epochs: float, threads: int | None) -> None:
        """Send a piece of work; a dead worker is noticed when its answer is asked for."""
        self._left.value = epochs
        if self.process.pid is None:
            with _start_of_a_worker(threads):
                self.process.start()
            self._theirs.close()
            self._first = key, rankers
            return
        with suppress(BrokenPipeError):
            self.pipe.send((key, rankers))

    def outcome(self) -> Outcome | None:
        """The answer that has come, or why there is none; None if the worker has only said that it is ready.

        Raises:
            OptionError: If the process could not even start.
        """
        try:
            answer: Outcome | None = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.end()
            if self._first is not None:
                raise OptionError(
                    f"a worker process did not start ({_death(self.process.exitcode)}); a script that calls audit with"
                    ' jobs above 1 has to do so under `if __name__ == "__main__":`, since each worker imports it'
                ) from None
            return Failed(f"its worker process died: {_death(self.process.exitcode)}")
        if self._first is not None:
            with suppress(BrokenPipeError, ConnectionResetError):
                self.pipe.send_bytes(self._bench)
                self.pipe.send(self._first)
            self._first = None
        return answer

    def end(self) -> None:
        """Make sure that the process is gone."""
        self.is_alive = False
        self.process.join(_GRACE_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()


def _serve(pipe: Connection, left: Any) -> None:
    """What a worker process does: it answers until it is ended, or its parent is gone."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()

    def report(epochs: float) -> None:
        left.value = epochs

    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent is gone
        pipe.send(None)
        workbench: Workbench = pickle.loads(pipe.recv_bytes())  # noqa: S301 - our parent made it a moment ago
        torch.set_num_threads(workbench.threads or 1)
        while True:
            key, rankers = pipe.recv()
            outcome = workbench.perform(key, rankers, report)
            try:
                pipe.send(outcome)
            except (pickle.PicklingError, TypeError, AttributeError) as error:
                pipe.send(Failed(f"what its fitter returned cannot be sent to another process ({error}); use jobs=1"))


def _leave_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _start_of_a_worker(threads: int | None) -> Iterator[None]:
    """A child starts deaf to SIGINT, which a terminal sends to it as well, and with a number of threads.

    Its parent ends it; and its libraries look for the number when they are loaded. Until it has begun its parent is not
    interrupted: a child that never hears what it was started for ends with a traceback.
    """
    count = {"OMP_NUM_THREADS": str(threads or 1)}
    before = {name: os.environ.get(name) for name in count}
    os.environ.update(count)
    mask = None
    if hasattr(signal, "pthread_sigmask"):
        # The first start of a process starts this one too, which would unblock the signal again.
        resource_tracker.ensure_running()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    terminated: list[int] = []
    handler = signal.getsignal(signal.SIGTERM)
    is_ours = callable(handler) and threading.current_thread() is threading.main_thread()
    if is_ours:
        signal.signal(signal.SIGTERM, lambda number, _: terminated.append(number))
    try:
        yield
    finally:
        if is_ours:
            signal.signal(signal.SIGTERM, handler)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if terminated:
            signal.raise_signal(signal.SIGTERM)


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"it was ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    return f"exit code {code}"


def check_factories(recipe: Mapping[str, Any]) -> None:
    """Whether strangers' fitters can be made in another process.

    Raises:
        OptionError: If one is not made by a class or function that a module has under its own name.
    """
    for method, factory in recipe.items():
        name = f"{getattr(factory, '__module__', None)}.{getattr(factory, '__qualname__', type(factory).__qualname__)}"
        is_fitter = not isinstance(factory, type) and hasattr(factory, "fit")
        try:
            if is_fitter or not callable(factory):
                raise TypeError(f"it is an object of {type(factory).__qualname__}")
            if pickle.loads(pickle.dumps(factory)) is not factory:  # noqa: S301 - made in this expression
                raise TypeError(f"{name} is an object, no function or class")
        except (pickle.PicklingError, TypeError, AttributeError, ImportError) as error:
            raise OptionError(
                f"the fitter of {method!r} cannot be made in another process ({error}); give a class or a function of"
                " no arguments that stands at the top level of a module, in place of the fitter, or use jobs=1"
            ) from None


def check_model_factory(factory: ModelFactory) -> None:
    """Whether the factory of a model of your own can be sent to another process.

    Raises:
        OptionError: If it is not at the top level of a module.
    """
    try:
        pickle.dumps(factory)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise OptionError(
            f"the factory {model_name(factory)} cannot be sent to another process ({error}); give a function that"
            " stands at the top level of a module, or functools.partial of one, or use jobs=1"
        ) from None
