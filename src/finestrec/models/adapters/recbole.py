"""Sequential models of RecBole 1.2 (https://recbole.io): GRU4Rec, SASRec, BERT4Rec and what works like them.

They answer once a row, through `full_sort_predict`, which is differentiable: a fine-tuning step sees each training
instance in a row of its own, as RecBole's own training does. BERT4Rec is asked in training as it is in serving, with
a mask behind the row, and not with its own random masks: the lists that are to hold are those that are served.

The loss is the next-item loss of `training.loss` over the items, without RecBole's column of padding.
"""

from typing import Any

from torch import Tensor, nn

from finestrec.data.log import InteractionLog
from finestrec.errors import OptionError
from finestrec.models.adapters.catalogue import Unknown, under_catalogue
from finestrec.models.adapters.declaration import Declaration
from finestrec.models.adapters.module import TorchModel
from finestrec.models.adapters.probe import adapt

_NEEDED = ("full_sort_predict", "ITEM_SEQ", "ITEM_SEQ_LEN", "ITEM_ID", "n_items", "max_seq_length")


def adapt_recbole(model: nn.Module) -> TorchModel:
    """A RecBole model as a model of ours, in place; its item ids 1..N are items 0..N-1.

    Args:
        model: A sequential recommender, trained or with initial weights.

    Raises:
        OptionError: If it is none, or needs more than sequences of items.
    """
    missing = [name for name in _NEEDED if not hasattr(model, name)]
    if missing:
        raise OptionError(
            f"{type(model).__name__} has no {', '.join(missing)}; expected a sequential recommender of RecBole"
        )
    host: Any = model
    return adapt(model, host.n_items - 1, host.max_seq_length, Declaration(positions="last", call=_full_sort))


def from_recbole(
    model: nn.Module, dataset: Any, log: InteractionLog, *, unknown: Unknown = "refuse"
) -> tuple[TorchModel, InteractionLog]:
    """A trained RecBole model, and a log under its catalogue: what `TrainedModel.of` takes, once the log is split.

    Args:
        model: A sequential recommender.
        dataset: The dataset that it was made with; its tokens are the log's raw ids.
        log: The log.
        unknown: refuse: items of the log that the model does not have are an error; drop: their interactions are left
            out. Items that the log lacks are kept, and listed.

    Raises:
        OptionError: If the model is not usable.
        DataError: If the items do not fit.
    """
    adapted = adapt_recbole(model)
    host: Any = model
    ids: dict[str, int] = dataset.field2token_id[host.ITEM_ID]
    tokens = sorted(ids, key=ids.__getitem__)[1:]  # the first is the padding
    return adapted, under_catalogue(log, tokens, unknown, f"RecBole's {type(model).__name__}")


def _full_sort(module: nn.Module, ids: Tensor, lengths: Tensor) -> Tensor:
    host: Any = module
    # A plain dict is all that models read of RecBole's Interaction.
    scores: Tensor = host.full_sort_predict({host.ITEM_SEQ: ids, host.ITEM_SEQ_LEN: lengths})
    return scores.view(len(ids), -1)  # some models flatten
