"""What a call of the command line comes to, and options that make a training small."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

TINY = ["--set", "model.hidden=16", "--set", "model.blocks=1", "--set", "finest.epochs=2", "--set", "finest.k=5"]
EPOCHS = ["--set", "training.epochs=3", "--threads", "1"]


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document of stdout."""
        document: dict[str, Any] = json.loads(self.out)
        return document


Finestrec = Callable[..., Outcome]
