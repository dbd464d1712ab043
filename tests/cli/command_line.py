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


def refused(outcome: Outcome, *words: str) -> None:
    """Exit 2 with a sentence that has these words, and nothing on stdout."""
    assert outcome.code == 2, outcome.err
    assert "Traceback" not in outcome.err
    assert outcome.out == ""
    missing = [word for word in words if word not in " ".join(outcome.err.split())]
    assert not missing, outcome.err
