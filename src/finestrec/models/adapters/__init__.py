"""Models of others as models of ours: any torch module, RecBole, RecTools. Nothing of a host is imported here."""

from finestrec.models.adapters.declaration import Declaration, with_ids, with_lengths
from finestrec.models.adapters.module import TorchModel
from finestrec.models.adapters.probe import adapt
from finestrec.models.adapters.recbole import adapt_recbole, from_recbole
from finestrec.models.adapters.rectools import adapt_rectools, from_rectools

__all__ = [
    "Declaration",
    "TorchModel",
    "adapt",
    "adapt_recbole",
    "adapt_rectools",
    "from_recbole",
    "from_rectools",
    "with_ids",
    "with_lengths",
]
