"""The trainings of an audit: each done once, kept on disk when there is a folder, shared by all that need it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from finestrec.data.files import write_aside
from finestrec.data.log import InteractionLog
from finestrec.data.sequences import Instances
from finestrec.errors import RunFolderError
from finestrec.stability.comparing import Judged, judge
from finestrec.stability.memory import peak_bytes, reset_peak
from finestrec.stabilizers import Fitter, Ranker, Strategy

OnEvent = Callable[[str], None]


class Jobs:
    """Trainings and comparisons by key; a rerun does what is missing.

    Args:
        folder: Where finished work is kept, or None to keep it in memory only.
        identity: What the work depends on; a folder of another identity is refused.
        on_event: Told in words what is done.

    Raises:
        RunFolderError: If the folder holds work of another identity.
    """

    def __init__(self, folder: Path | None, identity: dict[str, Any], on_event: OnEvent) -> None:
        self._folder = folder
        self._on_event = on_event
        self._rankers: dict[str, Ranker] = {}
        self._judged: dict[str, Judged] = {}
        self._on_disk: set[str] = set()
        self._costs: dict[str, dict[str, float]] = {}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._check_identity(folder / "identity.json", json.loads(json.dumps(identity)))

    @staticmethod
    def _check_identity(path: Path, identity: dict[str, Any]) -> None:
        if not path.exists():
            write_aside(path, json.dumps(identity, indent=1))
            return
        stored = json.loads(path.read_text())
        different = sorted(key for key in stored.keys() | identity.keys() if stored.get(key) != identity.get(key))
        if different:
            raise RunFolderError(
                f"{path.parent} holds trainings with other {', '.join(different)}"
                f" ({', '.join(f'{key}: {stored.get(key)} there, {identity.get(key)} now' for key in different)});"
                " use another folder"
            )

    def train(self, key: str, fitter: Fitter, log: InteractionLog, seed: int, incumbent: Ranker | None = None) -> str:
        """Have a training done, unless it is; returns the key."""
        if key in self._rankers:
            return key
        self._on_event(f"training {key}")
        checkpoint = cost_file = None
        if self._folder is not None and isinstance(fitter, Strategy):
            checkpoint, cost_file = self._folder / f"{key}.safetensors", self._folder / f"{key}.json"
        reset_peak()
        if isinstance(fitter, Strategy):
            trained = fitter.fit(log, seed, incumbent, checkpoint=checkpoint)  # type: ignore[arg-type]
            cost = {"seconds": sum(record.seconds for record in trained.state.history)}
            self._rankers[key] = trained
        else:
            self._rankers[key] = fitter.fit(log, seed, incumbent)
            cost = {"seconds": 0.0}
        cost["peak_memory"] = peak_bytes()
        if checkpoint is not None:
            self._on_disk.add(key)
        if cost_file is not None and cost_file.exists():
            cost = json.loads(cost_file.read_text())
        elif cost_file is not None:
            write_aside(cost_file, json.dumps(cost))
        self._costs[key] = cost
        return key

    def ranker(self, key: str) -> Ranker:
        """The result of a training."""
        return self._rankers[key]

    def cost(self, key: str) -> dict[str, float]:
        """Seconds and peak memory (bytes) of a training."""
        return self._costs[key]

    def judged(self, key: str, instances: Instances) -> Judged:
        """The lists of a training's result on the test instances."""
        if key not in self._judged:
            self._judged[key] = judge(self._rankers[key], instances)
        return self._judged[key]

    def remembered(self, key: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """A small finished result, by key: from the folder, or made and kept there."""
        path = self._folder / f"{key}.json" if self._folder is not None else None
        if path is not None and path.exists():
            loaded: dict[str, Any] = json.loads(path.read_text())
            return loaded
        made = make()
        if path is not None:
            write_aside(path, json.dumps(made))
        return made

    def forget(self) -> None:
        """Free models and lists that are on disk."""
        for key in self._on_disk:
            self._rankers.pop(key, None)
            self._judged.pop(key, None)
