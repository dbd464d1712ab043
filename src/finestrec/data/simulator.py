"""A realistic log from a seed.

Every item belongs to a cluster and has a popularity that falls like Zipf's law; every item has a few usual
successors, mostly of its own cluster. Every user has favourite clusters, which drift. A user's next item is

- one of the successors of the last item (`transition_share`),
- or an item from the user's recent history (`repeat_share`),
- or else an item of the favourite cluster of this session, by popularity.

So there is an order to learn, repetition as in real logs, and a popularity that alone explains little. The
users are simulated side by side, one position of their histories at a time.
"""

from typing import NamedTuple, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field, model_validator

from finestrec.data.log import InteractionLog, Vocabulary
from finestrec.options import Options
from finestrec.randomness import generator

EPOCH = 1_704_067_200
"""The earliest time, in seconds: 2024-01-01, midnight UTC."""
_DAY = 86_400
_SPREAD = 30 * _DAY
_FAVOURITES = 3


class SimulatorOptions(Options):
    """How large the log is and how much order it has. The defaults train in seconds."""

    users: int = Field(default=1_500, ge=1)
    """Number of users."""
    items: int = Field(default=400, ge=1)
    """Number of items to choose from; a rare one may never be chosen."""
    interactions: int | None = Field(default=None, ge=1)
    """Exact number of interactions; None leaves it to `mean_length`."""
    mean_length: float = Field(default=25.0, ge=1)
    """Mean number of interactions of a user; not used when `interactions` is given."""
    min_length: int = Field(default=10, ge=1)
    """Every user has at least this many interactions."""
    clusters: int = Field(default=20, ge=1)
    """Number of groups of items that are liked together, at most one an item."""
    successors: int = Field(default=5, ge=1)
    """Number of items that usually follow an item, the first most often."""
    popularity_exponent: float = Field(default=0.8, ge=0)
    """Exponent of Zipf's law; 0 makes items equally popular."""
    transition_share: float = Field(default=0.4, ge=0, le=1)
    """Share of interactions that follow the last one: what a sequential model can learn."""
    repeat_share: float = Field(default=0.2, ge=0, le=1)
    """Share of interactions with an item from the user's recent history."""
    drift: float = Field(default=0.1, ge=0, le=1)
    """Probability that a user replaces a favourite cluster when a session begins."""
    session_length: float = Field(default=4.0, ge=1)
    """Median number of interactions in a session."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.transition_share + self.repeat_share > 1:
            raise ValueError(
                f"transition_share {self.transition_share} and repeat_share {self.repeat_share} add up to"
                " more than 1; lower one"
            )
        if self.interactions is not None and self.interactions < self.users * self.min_length:
            raise ValueError(
                f"{self.interactions:,} interactions are too few for {self.users:,} users of at least"
                f" {self.min_length} each; ask for {self.users * self.min_length:,} or more"
            )
        if self.interactions is None and self.mean_length < self.min_length:
            raise ValueError(f"mean_length {self.mean_length} is below min_length {self.min_length}; raise it")
        return self


class _Catalogue(NamedTuple):
    """The items' side of the world; items are in order of cluster here.

    Attributes:
        cumulative: Popularity mass of the items up to and including each, shape (N,).
        starts: First item of each cluster and N, shape (C + 1,).
        successors: Usual next items, shape (N, S).
        follow: Cumulative probability of the S successors, shape (S,).
    """

    cumulative: NDArray[np.float64]
    starts: NDArray[np.int64]
    successors: NDArray[np.int64]
    follow: NDArray[np.float64]

    def draw(self, clusters: NDArray[np.int64], uniform: NDArray[np.float64]) -> NDArray[np.int64]:
        """An item of each given cluster, by popularity; shape (n,)."""
        before = np.concatenate(([0.0], self.cumulative))[self.starts]
        low, high = before[clusters], before[clusters + 1]
        items: NDArray[np.int64] = np.searchsorted(self.cumulative, low + uniform * (high - low), side="right")
        first, last = self.starts[clusters], self.starts[clusters + 1] - 1
        np.clip(items, first, last, out=items)
        return items


def simulate(options: SimulatorOptions | None = None, seed: int = 0) -> InteractionLog:
    """A log with popularity, taste, drift, order, repetition and sessions.

    Args:
        options: Size and amount of order; by default those of the demo.
        seed: 0 or more. The same options and seed give the same log.

    Returns:
        A log with times in seconds and raw ids such as "user-0012" and "item-0034". Interaction ids are the
        row numbers of the log in order of time, as if it had been written to a file and read.
    """
    options = options or SimulatorOptions()
    rng = generator(seed, "simulator")
    # Long histories first: the users who are still active at a position are then a prefix.
    lengths = np.sort(_history_lengths(options, rng))[::-1]
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    catalogue = _catalogue(options, rng)
    items, times = _histories(options, rng, catalogue, lengths, offsets)
    return _log(options, rng, items, times, lengths)


def _history_lengths(options: SimulatorOptions, rng: np.random.Generator) -> NDArray[np.int64]:
    """At least `min_length` each and log-normal above it, with the exact sum asked for; shape (U,)."""
    total = options.interactions or round(options.users * options.mean_length)
    surplus = total - options.users * options.min_length
    share = rng.lognormal(sigma=1.0, size=options.users)
    extra: NDArray[np.int64] = np.floor(share * (surplus / share.sum())).astype(np.int64)
    extra[: surplus - extra.sum()] += 1
    extra += options.min_length
    return extra


def _catalogue(options: SimulatorOptions, rng: np.random.Generator) -> _Catalogue:
    n_items, n_clusters = options.items, min(options.clusters, options.items)
    popularity = rng.permutation(np.arange(1, n_items + 1, dtype=np.float64) ** -options.popularity_exponent)
    starts = np.linspace(0, n_items, n_clusters + 1).astype(np.int64)
    cluster = np.repeat(np.arange(n_clusters), np.diff(starts))
    # Most successors are of the item's own cluster, so a session keeps its subject while it moves on.
    shape = (n_items, options.successors)
    width = np.diff(starts)[cluster][:, None]
    inside = starts[cluster][:, None] + (rng.random(shape) * width).astype(np.int64)
    successors = np.where(rng.random(shape) < 0.8, inside, rng.integers(n_items, size=shape))
    weights = 0.5 ** np.arange(options.successors)
    return _Catalogue(np.cumsum(popularity), starts, successors, np.cumsum(weights) / weights.sum())


def _histories(
    options: SimulatorOptions,
    rng: np.random.Generator,
    catalogue: _Catalogue,
    lengths: NDArray[np.int64],
    offsets: NDArray[np.int64],
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Items and times of all users, packed; `lengths` is descending. Shapes (n,)."""
    n_users, n_clusters = len(lengths), len(catalogue.starts) - 1
    items = np.empty(offsets[-1], dtype=np.int32)
    times = np.empty(offsets[-1], dtype=np.int64)
    favourites = rng.integers(n_clusters, size=(n_users, _FAVOURITES))
    cluster = favourites[:, 0].copy()
    left_in_session = np.zeros(n_users, dtype=np.int64)
    clock = EPOCH + rng.integers(_SPREAD, size=n_users)
    # How many users have more than t interactions, t = 0 .. longest - 1.
    active = np.searchsorted(-lengths, -np.arange(lengths[0]), side="left")
    for t, count in enumerate(active):
        users = np.arange(count)
        begins = np.flatnonzero(left_in_session[:count] == 0)
        drifting = begins[rng.random(len(begins)) < options.drift]
        favourites[drifting, rng.integers(_FAVOURITES, size=len(drifting))] = rng.integers(
            n_clusters, size=len(drifting)
        )
        # The first favourite is the subject of half of the sessions.
        preferred = np.searchsorted([0.5, 0.8], rng.random(len(begins)), side="right")
        cluster[begins] = favourites[begins, preferred]
        session = rng.lognormal(np.log(options.session_length), 0.6, size=len(begins))
        left_in_session[begins] = np.maximum(np.rint(session), 1).astype(np.int64)
        left_in_session[:count] -= 1

        pause = rng.lognormal(np.log(90), 1.0, size=count)
        pause[begins] = rng.lognormal(np.log(1.5 * _DAY), 0.8, size=len(begins))
        clock[:count] += np.maximum(pause, 1).astype(np.int64)
        at = offsets[:count] + t
        times[at] = clock[:count]

        chosen = catalogue.draw(cluster[:count], rng.random(count))
        if t > 0:
            kind = rng.random(count)
            follows = users[kind < options.transition_share]
            last = items[offsets[follows] + t - 1]
            rank = np.searchsorted(catalogue.follow, rng.random(len(follows)), side="right")
            chosen[follows] = catalogue.successors[last, np.minimum(rank, options.successors - 1)]
            repeats = users[kind >= 1 - options.repeat_share]
            lag = np.minimum(rng.geometric(0.3, size=len(repeats)), t)
            chosen[repeats] = items[offsets[repeats] + t - lag]
        items[at] = chosen
    return items, times


def _log(
    options: SimulatorOptions,
    rng: np.random.Generator,
    items: NDArray[np.int32],
    times: NDArray[np.int64],
    lengths: NDArray[np.int64],
) -> InteractionLog:
    """Forget the working order: users and items are renumbered at random, unused items are dropped."""
    starts = np.cumsum(lengths) - lengths
    user_order = rng.permutation(len(lengths))
    new_lengths = lengths[user_order]
    new_offsets = np.concatenate(([0], np.cumsum(new_lengths)))
    rows = np.repeat(starts[user_order] - new_offsets[:-1], new_lengths) + np.arange(len(items))
    number = rng.permutation(options.items)[items[rows]]
    used = np.bincount(number, minlength=options.items) > 0
    times = times[rows]
    ids = np.empty(len(times), dtype=np.int64)
    ids[np.argsort(times, kind="stable")] = np.arange(len(times))
    return InteractionLog(
        items=(np.cumsum(used) - 1)[number].astype(np.int32),
        times=times,
        interaction_ids=ids,
        offsets=new_offsets,
        vocabulary=Vocabulary(
            users=_names("user", len(lengths)), items=_names("item", options.items).filter(pl.Series(used))
        ),
    )


def _names(kind: str, count: int) -> pl.Series:
    """`user-0001`, `user-0002`, ...: text that ascends, and numbers that are nobody's index."""
    digits = max(4, len(str(count)))
    numbers = pl.Series(np.arange(1, count + 1)).cast(pl.String).str.zfill(digits)
    return f"{kind}-" + numbers
