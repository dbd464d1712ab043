"""The work of an audit on a Ray cluster.

Every machine has to see the audit's folder under the same path: checkpoints stand there. A machine that is lost costs
its unfinished epoch: Ray starts its work elsewhere, from the checkpoint.
"""

import signal
import threading
from collections.abc import Sequence
from typing import Any

from finestrec.errors import OptionError
from finestrec.stability.engines import OnMove
from finestrec.stability.work import Failed, Outcome, Rankers, Workbench

_LOOK_SECONDS = 0.2


class RayCluster:
    """Each piece of work is a Ray task of as many CPUs as it has threads.

    Args:
        bench: Put into Ray's object store once.
        count: How many tasks at a time; None leaves that to Ray.

    Raises:
        OptionError: If Ray is not installed, or its cluster cannot be reached.
    """

    def __init__(self, bench: Workbench, count: int | None) -> None:
        try:
            import ray
        except ImportError:
            raise OptionError(
                "the engine ray needs Ray, which is not installed: pip install 'finestrec[ray]'"
            ) from None
        self._ray: Any = ray
        self._owner = not ray.is_initialized()
        if self._owner:
            handler = signal.getsignal(signal.SIGTERM)
            try:
                ray.init(log_to_driver=False, logging_level="warning")
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise OptionError(f"the Ray cluster cannot be reached ({error}); see RAY_ADDRESS") from None
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, handler)  # Ray takes it for itself, and the exit code with it
        self.slots = count
        self._bench = ray.put(bench)
        # Ray's own retries: for machines and processes that are lost, not for errors, which are outcomes here.
        self._perform = ray.remote(num_cpus=bench.threads or 1, max_retries=3)(_perform)
        self._keys: dict[Any, str] = {}

    def submit(self, key: str, rankers: Rankers) -> None:
        """See `Engine`."""
        self._keys[self._perform.remote(self._bench, key, rankers)] = key

    def wait(self, on_move: OnMove) -> Sequence[tuple[str, Outcome]]:  # noqa: ARG002 - no word from other machines
        """See `Engine`."""
        ready, _ = self._ray.wait([*self._keys], timeout=_LOOK_SECONDS)
        return [(self._keys.pop(task), self._outcome(task)) for task in ready]

    def _outcome(self, task: Any) -> Outcome:
        try:
            outcome: Outcome = self._ray.get(task)
        except self._ray.exceptions.RayError as error:
            return Failed(f"Ray gave it up: {error}")
        return outcome

    def close(self) -> None:
        """See `Engine`."""
        for task in self._keys:
            self._ray.cancel(task, force=True)
        if self._owner:
            self._ray.shutdown()


def _perform(bench: Workbench, key: str, rankers: Rankers) -> Outcome:
    return bench.perform(key, rankers, lambda _: None)
