"""Other people's models, in a module of their own, which worker processes can import."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np

from finestrec.data.log import InteractionLog
from finestrec.data.sequences import Instances
from finestrec.errors import DataError
from finestrec.ranking import TopLists

FOLDER = "FINESTREC_STRANGERS"
"""Environment variable: where fits are counted, and where files steer what goes wrong."""


class Popular:
    """The most popular items, and nothing of ours."""

    def fit(self, log: InteractionLog, seed: int, incumbent: Any = None) -> "Popular":
        self.order = np.argsort(-log.item_counts, kind="stable").astype(np.int32)
        return self

    def rank(self, instances: Instances, k: int) -> TopLists:
        place = np.empty(len(self.order), dtype=np.int64)
        place[self.order] = np.arange(1, len(self.order) + 1)
        items = np.tile(self.order[:k], (len(instances), 1))
        return TopLists(items, place[instances.targets], np.zeros(items.shape, dtype=np.float32))


class ShortLists(Popular):
    """A model that ranks no more than its twelve best items."""

    def rank(self, instances: Instances, k: int) -> TopLists:
        return super().rank(instances, min(k, 12))


class Counted(Popular):
    """Leaves a file for each fit: its class, the edited log or D, the seed, the process."""

    def fit(self, log: InteractionLog, seed: int, incumbent: Any = None) -> "Popular":
        which = "D" if log.origin is None else "edited"
        name = f"{type(self).__name__}.{which}.{seed}"
        folder = Path(os.environ[FOLDER])
        (folder / f"{name}.{len(list(folder.glob('*')))}.{os.getpid()}").touch()
        return super().fit(log, seed, incumbent)


class Tuned(Counted):
    """Needs an incumbent that was fitted before."""

    def fit(self, log: InteractionLog, seed: int, incumbent: Any = None) -> "Popular":
        assert incumbent.order.shape == (log.n_items,)
        return super().fit(log, seed)


class Troubled(Counted):
    """On an edited log: refuses, breaks or dies, as a file in the folder says."""

    def fit(self, log: InteractionLog, seed: int, incumbent: Any = None) -> "Popular":
        fitted = super().fit(log, seed, incumbent)
        trouble = Path(os.environ[FOLDER]).parent / "trouble"
        word = trouble.read_text() if trouble.exists() and log.origin is not None else ""
        if word == "refuses":
            raise DataError("the edited log is not to its taste")
        if word == "breaks":
            raise ZeroDivisionError("a bug")
        if word == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        return fitted


def unsendable() -> "Unsendable":
    """A fitter whose result cannot leave its process."""
    return Unsendable()


class Unsendable(Popular):
    def fit(self, log: InteractionLog, seed: int, incumbent: Any = None) -> "Popular":
        self.secret = lambda: None
        return super().fit(log, seed, incumbent)
