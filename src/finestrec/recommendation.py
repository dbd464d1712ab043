"""The list that a user is served: a trained model asked after the last interactions of each user."""

from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finestrec.data.identifiers import positions
from finestrec.data.log import NEW_INTERACTION, NO_ITEM, InteractionLog
from finestrec.data.sequences import Instances
from finestrec.errors import DataError, OptionError
from finestrec.ranking import Placement, SeenPolicy, rank
from finestrec.training.trained import TrainedModel


class Keeper(Protocol):
    """What is kept of the lists that users were shown before."""

    def placement(self, users: pl.Series, items: pl.Series) -> Placement:
        """How items get their places, for instances of these users (n,) and these items (N,), as raw ids."""
        ...


def recommend(
    trained: TrainedModel,
    log: InteractionLog,
    k: int = 10,
    *,
    users: pl.Series | None = None,
    seen: SeenPolicy = "keep",
    retired: pl.Series | None = None,
    keeper: Keeper | None = None,
) -> pl.DataFrame:
    """The k best items of every user with at least one known item.

    Args:
        trained: The model; it knows the items of its training log's vocabulary.
        log: Everything that is known of the users, trained on or not; items that the model does not know are
            skipped. Its vocabulary need not be the model's.
        k: Length of the lists, capped at the catalogue.
        users: Raw ids of the users to serve, in the order of the result; those that cannot be served are left
            out (`servable` tells which). By default all.
        retired: Raw ids of items that are no longer offered.
        seen: keep: items that the user had before may be listed; drop: they never are, so a list may be shorter.
        keeper: What is kept of earlier lists; by default items are placed by their scores.

    Returns:
        Columns user_id, item_id, rank (from 1) and score, one line an item.

    Raises:
        OptionError: If k is below 1.
        DataError: If ids of users or items are of another type than the log's.
    """
    if k < 1:
        raise OptionError(f"k is {k}; a list needs at least 1 item")
    known = log.with_items(trained.log.vocabulary.items)
    index = _served(known, users)
    end = known.offsets[index + 1]
    instances = Instances(
        log=known,
        start=np.maximum(known.offsets[index], end - trained.options.max_length),
        end=end,
        targets=np.full(len(index), NO_ITEM, dtype=np.int32),
        ids=np.full(len(index), NEW_INTERACTION, dtype=np.int64),
    )
    items = known.vocabulary.items
    unlisted = None if retired is None else items.is_in(retired.implode()).to_numpy()
    served = known.vocabulary.users.gather(index)
    placement = None if keeper is None else keeper.placement(served, items)
    lists = rank(trained.model, instances, k, seen=seen, unlisted=unlisted, placement=placement)
    row, column = np.nonzero(lists.items != NO_ITEM)
    return pl.DataFrame(
        {
            "user_id": served.gather(row),
            "item_id": items.gather(lists.items[row, column]),
            "rank": (column + 1).astype(np.int32),
            "score": lists.scores[row, column],
        }
    )


def servable(trained: TrainedModel, log: InteractionLog, users: pl.Series | None = None) -> pl.Series:
    """Which users `recommend` can serve: a boolean for each of `users`, or for each user of the log.

    Raises:
        DataError: If ids of users or items are of another type than the log's.
    """
    known = log.with_items(trained.log.vocabulary.items)
    has_item = pl.Series(known.lengths > 0)
    if users is None:
        return has_item
    index = _positions(users, known)
    return index.is_not_null() & has_item.gather(index.fill_null(0))


def popular(trained: TrainedModel, users: pl.Series, k: int = 10, *, retired: pl.Series | None = None) -> pl.DataFrame:
    """The same list for users of whom nothing is known: the most popular items of the training log.

    Args:
        trained: Its training log is counted; ties go to the lowest index.
        users: Raw ids, shape (n,).
        k: Length of the lists, capped at the catalogue.
        retired: Raw ids of items that are no longer offered.

    Returns:
        As `recommend`, with the count as the score.
    """
    counts = trained.log.item_counts
    items = trained.log.vocabulary.items
    best = np.argsort(-counts, kind="stable")
    if retired is not None:
        best = best[~items.is_in(retired.implode()).to_numpy()[best]]
    best = best[:k]
    each = pl.DataFrame(
        {
            "item_id": items.gather(best),
            "rank": np.arange(1, len(best) + 1, dtype=np.int32),
            "score": counts[best].astype(np.float32),
        }
    )
    return pl.DataFrame({"user_id": users}).join(each, how="cross", maintain_order="left_right")


def _served(known: InteractionLog, users: pl.Series | None) -> NDArray[np.int64]:
    if users is None:
        return np.flatnonzero(known.lengths > 0)
    index: NDArray[np.int64] = _positions(users, known).drop_nulls().to_numpy()
    return np.asarray(index[known.lengths[index] > 0])


def _positions(users: pl.Series, log: InteractionLog) -> pl.Series:
    ids = log.vocabulary.users
    if users.dtype != ids.dtype:
        raise DataError(
            f"the users are of type {users.dtype}, those of the log of type {ids.dtype}; give both as integers or"
            " both as text"
        )
    return positions(users, ids)
