"""Scores to ranked lists: the tie-break and the seen-item policy live here alone.

Lists are in order of (score descending, item index ascending), over all items, those already seen included
unless `seen="drop"` says otherwise.
"""

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from finestrec.data.sequences import Instances, SequenceBatch, ranges
from finestrec.errors import OptionError, TrainingError
from finestrec.models import NextItemModel

SeenPolicy = Literal["keep", "drop"]
Placement = Callable[[NDArray[np.int64], Tensor, int], tuple[Tensor, Tensor]]
"""How items get their places: of the numbers of some instances (n,), the scores of all items (n, N) and k, the items of
the lists and their scores, each (n, k), scores first."""

NO_TARGET = 0
"""The rank of a target that is not known."""
BEYOND_THE_LIST = -1
"""The rank of a target that is not in a list that ends before the catalogue does."""
POSITIONS_PER_BATCH = 1 << 14
"""Rows times length of the batches that models are asked for lists with."""
_SCORES_PER_CHUNK = 1 << 23


@dataclass(frozen=True, eq=False)
class TopLists:
    """The best items of each instance.

    Attributes:
        items: Item indices, best first, int32, shape (n, k); -1 ends a shorter row.
        target_ranks: Rank of the target among all items, from 1, int64, shape (n,); or `NO_TARGET`, or
            `BEYOND_THE_LIST`.
        scores: Scores of `items`, float32, shape (n, k).
    """

    items: NDArray[np.int32]
    target_ranks: NDArray[np.int64]
    scores: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.items)


def top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k highest scores of each row and their columns, equal scores by ascending column.

    `torch.topk` leaves the order of ties open, which would look like instability. Rows that have a tie within
    or at the border of their top k are sorted again, stably.

    Args:
        scores: Shape (rows, N).
        k: 1 to N.

    Raises:
        TrainingError: If a score is NaN.
    """
    values, columns = scores.topk(min(k + 1, scores.shape[1]))
    # topk puts NaN first
    _refuse_nan(values[:, 0])
    tied = torch.nonzero((values[:, 1:] == values[:, :-1]).any(1)).squeeze(1)
    values, columns = values[:, :k], columns[:, :k]
    if len(tied):
        sorted_values, sorted_columns = scores[tied].sort(dim=1, descending=True, stable=True)
        values[tied], columns[tied] = sorted_values[:, :k], sorted_columns[:, :k]
    return values, columns


def _refuse_nan(scores: Tensor) -> None:
    if bool(scores.isnan().any()):
        raise TrainingError(
            "the model's scores are NaN; its weights are damaged: train it again, with a lower learning rate"
        )


def target_ranks(scores: Tensor, targets: Tensor) -> Tensor:
    """1 + higher scores + equal scores of a smaller index, shape (rows,); 0 where the target is -1."""
    known = targets >= 0
    own = scores.gather(1, targets.clamp(min=0)[:, None])
    before = torch.arange(scores.shape[1], device=scores.device) < targets[:, None]
    ranks = 1 + (scores > own).sum(1) + ((scores == own) & before).sum(1)
    return torch.where(known, ranks, 0)


def hidden_chunks(
    model: NextItemModel, batches: Iterable[tuple[NDArray[np.int64], SequenceBatch]]
) -> Generator[tuple[NDArray[np.int64], Tensor, Tensor]]:
    """Hidden states in evaluation mode, of few enough instances at a time that all items can be scored for them.

    Args:
        model: Put into evaluation mode while it is asked, where its first parameter is.
        batches: Of `model.ranking_batches` or `model.reference_batches`. They depend on the instances only, so two
            models are asked in the same order.

    Yields:
        Numbers of the instances (rows,), hidden states (rows, D), targets (rows,).
    """
    device = next(model.parameters()).device
    rows_per_chunk = max(1, _SCORES_PER_CHUNK // model.n_items)
    was_training = model.training
    model.eval()
    try:
        for members, on_host in batches:
            batch = on_host.to(device)
            # Left before each yield: the mode is the thread's, and several models may be asked in turns.
            with torch.inference_mode():
                hidden = batch.at_positions(model.hidden(batch))
            for begin in range(0, len(members), rows_per_chunk):
                chunk = slice(begin, begin + rows_per_chunk)
                yield members[chunk], hidden[chunk], batch.targets[chunk]
    finally:
        model.train(was_training)


def score_chunks(
    model: NextItemModel, batches: Iterable[tuple[NDArray[np.int64], SequenceBatch]]
) -> Generator[tuple[NDArray[np.int64], Tensor, Tensor]]:
    """Scores of all items for the chunks of `hidden_chunks`.

    Yields:
        Numbers of the instances (rows,), scores (rows, N), targets (rows,).
    """
    with closing(hidden_chunks(model, batches)) as chunks:  # a reader that stops gives the mode back at once
        for members, hidden, targets in chunks:
            with torch.inference_mode():
                scores = model.scores(hidden)
            yield members, scores, targets


def rank(
    model: NextItemModel,
    instances: Instances,
    k: int,
    *,
    seen: SeenPolicy = "keep",
    unlisted: NDArray[np.bool_] | None = None,
    placement: Placement | None = None,
) -> TopLists:
    """Rank all items for each instance.

    Args:
        model: Put into evaluation mode for the call.
        instances: What to rank for; any targets they name are ranked too.
        k: Length of the lists, capped at the number of items.
        seen: drop: items that the user had before the instance are not listed, wherever in the history they
            stand; lists may then end early. Targets are ranked among all items either way.
        unlisted: Items that stand in no list and rank below all others, shape (N,); none by default.
        placement: How items get their places, by default by their scores; an item of minus infinity, which may not be
            listed, ends the list. Targets are ranked by their scores either way.

    Returns:
        Lists in the order of the instances.

    Raises:
        OptionError: If `k` is below 1, or the policy is unknown.
        TrainingError: If a score is NaN.
    """
    if k < 1:
        raise OptionError(f"k is {k}; a list needs at least 1 item")
    if seen not in get_args(SeenPolicy):
        raise OptionError(f"unknown policy for seen items {seen!r}; known are {', '.join(get_args(SeenPolicy))}")
    k = min(k, model.n_items)
    items = np.empty((len(instances), k), dtype=np.int32)
    values = np.empty((len(instances), k), dtype=np.float32)
    ranks = np.zeros(len(instances), dtype=np.int64)
    for members, scores, targets in score_chunks(model, model.ranking_batches(instances, POSITIONS_PER_BATCH)):
        if unlisted is not None:
            _refuse_nan(scores)
            scores = scores.masked_fill(torch.from_numpy(unlisted).to(scores.device), -torch.inf)  # noqa: PLW2901
        ranks[members] = target_ranks(scores, targets).cpu().numpy()
        if seen == "drop":
            _refuse_nan(scores)
            scores = _without_seen(scores, instances.subset(members))  # noqa: PLW2901
        best, columns = top_k(scores, k) if placement is None else placement(members, scores, k)
        items[members] = columns.to(torch.int32).cpu().numpy()
        values[members] = best.float().cpu().numpy()
    if seen == "drop" or unlisted is not None:
        items[np.isneginf(values)] = -1
    return TopLists(items=items, target_ranks=ranks, scores=values)


def _without_seen(scores: Tensor, instances: Instances) -> Tensor:
    """Scores, shape (n, N), with minus infinity for the items that each instance's user had before it."""
    first = instances.log.offsets[instances.users]
    lengths = instances.end - first
    rows = np.repeat(np.arange(len(instances)), lengths)
    items = instances.log.items[np.repeat(first, lengths) + ranges(lengths)].astype(np.int64)
    where = (torch.from_numpy(rows).to(scores.device), torch.from_numpy(items).to(scores.device))
    return scores.index_put(where, torch.tensor(-torch.inf, dtype=scores.dtype, device=scores.device))
