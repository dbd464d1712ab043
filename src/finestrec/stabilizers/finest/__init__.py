"""FINEST: references, losses, fine-tuning."""

from finestrec.stabilizers.finest.finetuning import AUTHORS_PRESETS, Finest, FinestOptions, PreservingLoss
from finestrec.stabilizers.finest.losses import rank_preserving_loss
from finestrec.stabilizers.finest.references import ReferenceLists, TeacherLists, reference_lists

__all__ = [
    "AUTHORS_PRESETS",
    "Finest",
    "FinestOptions",
    "PreservingLoss",
    "ReferenceLists",
    "TeacherLists",
    "rank_preserving_loss",
    "reference_lists",
]
