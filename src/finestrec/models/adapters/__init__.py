"""Models of others as models of ours: any torch module."""

from finestrec.models.adapters.declaration import Declaration, with_ids, with_lengths
from finestrec.models.adapters.module import TorchModel
from finestrec.models.adapters.probe import adapt

__all__ = [
    "Declaration",
    "TorchModel",
    "adapt",
    "with_ids",
    "with_lengths",
]
