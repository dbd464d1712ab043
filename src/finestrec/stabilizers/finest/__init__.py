"""FINEST: references, losses, fine-tuning."""

from finestrec.stabilizers.finest.finetuning import AUTHORS_PRESETS, Finest, FinestOptions
from finestrec.stabilizers.finest.losses import rank_preserving_loss
from finestrec.stabilizers.finest.references import ReferenceLists, reference_lists

__all__ = [
    "AUTHORS_PRESETS",
    "Finest",
    "FinestOptions",
    "ReferenceLists",
    "rank_preserving_loss",
    "reference_lists",
]
