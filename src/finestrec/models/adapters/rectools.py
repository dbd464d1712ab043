"""Transformers of RecTools 0.19 (https://github.com/MobileTeleSystems/RecTools): SASRecModel and BERT4RecModel.

SASRecModel answers at every position of rows padded on the left to its full length (it does not hide padding, so the
length matters), and is trained on all of them, as by RecTools. BERT4RecModel is asked for what stands at a mask behind
the row, in fine-tuning as in serving, each training instance in a row of its own: the lists that are to hold are
those that are served.
"""

from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from finestrec.data.log import InteractionLog
from finestrec.errors import OptionError
from finestrec.models.adapters.catalogue import Unknown, under_catalogue
from finestrec.models.adapters.declaration import Declaration
from finestrec.models.adapters.module import TorchModel
from finestrec.models.adapters.probe import adapt


def adapt_rectools(model: Any) -> TorchModel:
    """A fitted RecTools transformer as a model of ours, in place: its `torch_model` is what is trained.

    Args:
        model: SASRecModel or BERT4RecModel, after `fit`.

    Raises:
        OptionError: If it is none, is not fitted, or needs more than sequences of items.
    """
    if not hasattr(type(model), "torch_model"):
        raise OptionError(
            f"{type(model).__name__} is no transformer of RecTools; expected SASRecModel or BERT4RecModel"
        )
    if not model.is_fitted:
        raise OptionError(f"{type(model).__name__} is not fitted, so it has no catalogue; call fit first")
    preparator, module = model.data_preparator, model.torch_model
    first = int(preparator.n_item_extra_tokens)
    mask = preparator.extra_token_ids.get("MASK")
    return adapt(
        module,
        len(preparator.get_known_item_ids()),
        int(preparator.session_max_len) - (mask is not None),
        Declaration(
            padding="left",
            first_id=first,
            positions="all" if mask is None else "last",
            fixed_length=not module.use_key_padding_mask,
            call=_all_positions if mask is None else partial(_at_mask, mask=int(mask)),
        ),
    )


def from_rectools(model: Any, log: InteractionLog, *, unknown: Unknown = "refuse") -> tuple[TorchModel, InteractionLog]:
    """A fitted RecTools transformer, and a log under its catalogue: what `TrainedModel.of` takes, once it is split.

    Args:
        model: SASRecModel or BERT4RecModel, after `fit`.
        log: The log; its raw ids are the external ids of the dataset.
        unknown: refuse: items of the log that the model does not have are an error; drop: their interactions are left
            out. RecTools knows the items of the last `session_max_len` interactions of each user only. Items that the
            log lacks are kept, and listed.

    Raises:
        OptionError: If the model is not usable.
        DataError: If the items do not fit.
    """
    adapted = adapt_rectools(model)
    return adapted, under_catalogue(
        log, model.data_preparator.get_known_item_ids(), unknown, f"RecTools' {type(model).__name__}"
    )


def _all_positions(module: nn.Module, ids: Tensor, lengths: Tensor) -> Tensor:  # noqa: ARG001
    logits: Tensor = module({"x": ids})
    return logits


def _at_mask(module: nn.Module, ids: Tensor, lengths: Tensor, mask: int) -> Tensor:  # noqa: ARG001
    logits: Tensor = module({"x": F.pad(ids, (0, 1), value=mask)})
    return logits[:, -1]
