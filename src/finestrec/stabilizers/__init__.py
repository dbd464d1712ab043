"""What makes lists hold: one strategy a file behind one interface."""

from typing import Final

from finestrec.errors import OptionError
from finestrec.stabilizers.base import Fitter, Ranker, Recipe, Strategy
from finestrec.stabilizers.finetuning import FinestTuning, WarmStart
from finestrec.stabilizers.retraining import Continue, Retrain

STABILIZERS: Final[dict[str, type[Strategy]]] = {
    "retrain": Retrain,
    "warm_start": WarmStart,
    "finest": FinestTuning,
}
"""Every strategy by the name that `--method` takes."""


def stabilizer_type(name: str) -> type[Strategy]:
    """The class of a strategy by its name.

    Raises:
        OptionError: If the name is unknown; lists the choices.
    """
    if name not in STABILIZERS:
        raise OptionError(f"unknown method {name!r}; known are {', '.join(STABILIZERS)}")
    return STABILIZERS[name]


__all__ = [
    "STABILIZERS",
    "Continue",
    "FinestTuning",
    "Fitter",
    "Ranker",
    "Recipe",
    "Retrain",
    "Strategy",
    "WarmStart",
    "stabilizer_type",
]
