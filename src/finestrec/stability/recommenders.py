"""Recommenders that are no torch modules: a function that fits, and a function that lists.

Nothing but their lists is known, one a user, so they are audited on each user's first test instance and to the depth
of the lists; they cannot be fine-tuned.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finestrec.data.identifiers import positions
from finestrec.data.log import NO_ITEM, InteractionLog
from finestrec.data.sequences import Instances
from finestrec.errors import DataError, OptionError, UnsupportedError
from finestrec.ranking import BEYOND_THE_LIST, NO_TARGET, TopLists

if TYPE_CHECKING:
    import pandas as pd

Lists: TypeAlias = "Sequence[Sequence[Any] | None] | NDArray[Any] | pl.DataFrame | pd.DataFrame"
Recommend: TypeAlias = Callable[[list[Any], int], Lists]
"""(raw user ids, k) -> their lists."""


@dataclass(frozen=True)
class ListFitter:
    """A `Fitter` of something that only returns lists; `from_callable` makes it.

    Attributes:
        function: fit(log) -> recommend.
        k: Length of the lists.
    """

    function: Callable[..., Recommend]
    k: int

    @property
    def name(self) -> str:
        """What rows call it."""
        function = self.function if hasattr(self.function, "__qualname__") else type(self.function)
        return f"{function.__module__}.{function.__qualname__}"

    def fit(self, log: InteractionLog, seed: int, incumbent: Any = None) -> "ListRanker":  # noqa: ARG002
        """Fit from the start, with the seed if the function has a parameter of that name."""
        frame = log.to_frame().select("user_id", "item_id", "timestamp")
        seeded = {"seed": seed} if "seed" in inspect.signature(self.function).parameters else {}
        recommend = self.function(frame, **seeded)
        if not callable(recommend):
            raise DataError(
                f"{self.name} returned a {type(recommend).__name__}; expected a function recommend(users, k)"
            )
        return ListRanker(recommend, self.k, self.name, log.lengths > 0)


@dataclass(frozen=True)
class ListRanker:
    """A fitted recommender.

    Attributes:
        recommend: recommend(users, k) -> lists.
        k: Length of the lists.
        name: What messages call it.
        known: Which users it was fitted on, shape (U,); it is not asked for others, such as erased ones, whose lists
            are empty.
    """

    recommend: Recommend
    k: int
    name: str
    known: NDArray[np.bool_]

    def rank(self, instances: Instances, k: int) -> TopLists:
        """The lists of the instances' users, at most `self.k` long; there are no scores.

        Raises:
            UnsupportedError: If a user is asked for twice.
            DataError: If a list is not one.
        """
        if not instances.is_first.all():
            raise UnsupportedError(
                f"{self.name} gives one list a user, so it is audited on each user's first test instance: pass"
                " instances='first'"
            )
        log = instances.log
        k = min(k, self.k, log.n_items)
        users = log.vocabulary.users.gather(instances.users)
        items = np.full((len(users), k), NO_ITEM, dtype=np.int32)
        is_known = self.known[instances.users]
        if is_known.any():
            asked = users.filter(is_known)
            items[is_known] = self._indexed(self._listed(asked, k), asked, log, k)
        place = items == instances.targets[:, None]
        ranks = np.where(place.any(1), place.argmax(1) + 1, BEYOND_THE_LIST)
        ranks[instances.targets < 0] = NO_TARGET
        return TopLists(items, ranks, np.full(items.shape, np.nan, dtype=np.float32))

    def _listed(self, users: pl.Series, k: int) -> list[list[Any]]:
        found: Any = self.recommend(users.to_list(), k)
        if not isinstance(found, pl.DataFrame) and hasattr(found, "to_dict"):
            found = pl.DataFrame({str(name): found[name].to_numpy() for name in found.columns})
        if isinstance(found, pl.DataFrame):
            return self._from_frame(found, users)
        if len(found) != len(users):
            raise DataError(f"{self.name} returned {len(found):,} lists for {len(users):,} users")
        return [[] if row is None else list(row) for row in found]

    def _from_frame(self, frame: pl.DataFrame, users: pl.Series) -> list[list[Any]]:
        missing = {"user_id", "item_id", "rank"} - set(frame.columns)
        if missing:
            raise DataError(f"the lists of {self.name} have no column {', '.join(sorted(missing))}")
        if frame["user_id"].dtype != users.dtype:
            raise DataError(f"{self.name} returned users of type {frame['user_id'].dtype}; the log's are {users.dtype}")
        grouped = frame.sort("rank", maintain_order=True).group_by("user_id").agg("item_id")
        lists = dict(zip(grouped["user_id"], grouped["item_id"].to_list(), strict=True))
        return [lists.get(user, []) for user in users]

    def _indexed(self, lists: list[list[Any]], users: pl.Series, log: InteractionLog, k: int) -> NDArray[np.int32]:
        lists = [row[:k] for row in lists]
        lengths = np.array([len(row) for row in lists])
        row = np.repeat(np.arange(len(lists)), lengths)
        vocabulary = log.vocabulary.items
        raw = [item for some in lists for item in some]
        try:
            ids = pl.Series(raw, dtype=vocabulary.dtype)
        except (TypeError, pl.exceptions.PolarsError) as error:
            raise DataError(f"{self.name} lists items that are not of type {vocabulary.dtype}: {error}") from None
        index = positions(ids, vocabulary).fill_null(-1).to_numpy()
        if (index < 0).any():
            first = int(np.argmax(index < 0))
            raise DataError(
                f"{self.name} lists the item {raw[first]!r} for the user {users[int(row[first])]!r}; the log has no"
                " such item"
            )
        items = np.full((len(lists), k), NO_ITEM, dtype=np.int32)
        items[row, np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)] = index
        return items


def from_callable(fit: Callable[..., Recommend], k: int = 10) -> ListFitter:
    """Make a recommender of any kind auditable.

    ``audit(split, {"retrain": from_callable(fit)}, instances="first")`` audits it.

    Args:
        fit: Takes a polars frame of user_id, item_id and timestamp (raw ids, by user and time) and, if it has a
            parameter of that name, a seed. Returns recommend(users, k), for users of the frame: a list of raw item ids
            for each user, best first, None or empty where there is none; or a polars or pandas frame of user_id,
            item_id and rank. Longer lists are cut at k.
        k: Length of the lists that are asked for. Measures that look deeper are null.

    Raises:
        OptionError: If k is below 1, or `fit` is no function.
    """
    if k < 1:
        raise OptionError(f"k is {k}; a list needs at least 1 item")
    if not callable(fit):
        raise OptionError(
            f"fit is a {type(fit).__name__}; expected a function fit(log) that returns recommend(users, k)"
        )
    return ListFitter(fit, k)
