"""finestrec: measure, prevent and guard against the churn of retrained sequential recommenders.

Rooms, each importing only from those before it::

    measures, randomness, errors, options   ground: pure functions over arrays; streams; errors; options
    data            what happened: the log, its sources, splits, windows
    perturbation    what might have happened: edits and what selects them
    models          who predicts: one paper a file
    ranking         scores to lists
    training        how it learns: objectives and the loop
    stabilizers     what makes lists hold: retraining, warm start, FINEST
    stability       did they hold: the audit; two files of lists, and the gate
    report          say it: a summary, one offline page
    runs, config    a run folder; the composed options
    cli             one command a file

The names below are loaded when they are first used, so that ``import finestrec`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from finestrec.data.log import InteractionLog
    from finestrec.data.simulator import simulate
    from finestrec.data.sources import read_log
    from finestrec.data.splits import split
    from finestrec.models import MODELS
    from finestrec.perturbation.spec import Perturbation
    from finestrec.recommendation import recommend
    from finestrec.stability.audit import audit
    from finestrec.stability.comparison import compare
    from finestrec.stability.results import StabilityAudit
    from finestrec.stabilizers import Recipe
    from finestrec.stabilizers.finest import reference_lists
    from finestrec.stabilizers.finetuning import finest
    from finestrec.training.trained import TrainedModel, fit

__all__ = [
    "MODELS",
    "InteractionLog",
    "Perturbation",
    "Recipe",
    "StabilityAudit",
    "TrainedModel",
    "audit",
    "compare",
    "finest",
    "fit",
    "read_log",
    "recommend",
    "reference_lists",
    "simulate",
    "split",
]

_HOMES = {
    "MODELS": "models",
    "InteractionLog": "data.log",
    "Perturbation": "perturbation.spec",
    "Recipe": "stabilizers",
    "StabilityAudit": "stability.results",
    "TrainedModel": "training.trained",
    "audit": "stability.audit",
    "compare": "stability.comparison",
    "finest": "stabilizers.finetuning",
    "fit": "training.trained",
    "read_log": "data.sources",
    "recommend": "recommendation",
    "reference_lists": "stabilizers.finest",
    "simulate": "data.simulator",
    "split": "data.splits",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'finestrec' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"finestrec.{_HOMES[name]}"), name)
