"""Which interactions a perturbation touches (METHOD, section 4).

A selector picks row positions of a training log, distinct and ascending. Draws are keyed by what is drawn, the id of
an interaction or the index of a user or item, so two logs that differ in one interaction are touched almost alike.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from finestrec.data.identifiers import positions
from finestrec.data.lists import read_ids_file
from finestrec.data.log import InteractionLog
from finestrec.data.sequences import ranges
from finestrec.errors import DataError, OptionError
from finestrec.perturbation.cascade import Cascade, ScoreMethod
from finestrec.perturbation.keys import hashed_rows
from finestrec.randomness import StreamName, hashed, lowest

Unit = Literal["interactions", "users", "items"]
Candidates = Literal["roots", "all"]
Score = Callable[[str], NDArray[np.float64]]
"""A number for each row of a log, by a word that says which."""

_SHOWN = 5


def random_rows(
    log: InteractionLog, count: int, seed: int, *indices: int, stream: StreamName = "perturbation"
) -> NDArray[np.int64]:
    """Rows drawn uniformly without replacement.

    The draw is keyed by interaction id: two logs that differ in one interaction lose almost the same rows, so
    runs on them stay coupled. Rows without a lasting id are keyed by their position.
    """
    return lowest(hashed_rows(log, np.arange(len(log)), seed, stream, *indices), count)


def earliest_rows(log: InteractionLog, count: int, seed: int) -> NDArray[np.int64]:
    """The first interactions of users drawn uniformly; if more are asked than users, their next ones likewise."""
    return _by_place(log, ranges(log.lengths), count, seed)


def latest_rows(log: InteractionLog, count: int, seed: int) -> NDArray[np.int64]:
    """The last interactions of users drawn uniformly; if more are asked than users, those before them likewise."""
    return _by_place(log, np.repeat(log.lengths, log.lengths) - 1 - ranges(log.lengths), count, seed)


def _by_place(log: InteractionLog, place: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Rows in order of (place, a draw of the user): all of the first places, and some of the next."""
    upto = np.cumsum(np.bincount(place, minlength=1))
    last = int(np.searchsorted(upto, count))
    whole = int(upto[last - 1]) if last else 0
    at_last = np.flatnonzero(place == last)
    drawn = lowest(hashed(log.users[at_last], seed, "perturbation"), count - whole)
    return np.sort(np.concatenate((np.flatnonzero(place < last), at_last[drawn])))


def casper_rows(
    log: InteractionLog,
    count: int,
    seed: int,
    *,
    max_length: int = 50,
    candidates: Candidates = "roots",
    scores: ScoreMethod = "auto",
) -> NDArray[np.int64]:
    """The rows of the highest cascading scores (see `finestrec.perturbation.cascade`).

    Args:
        log: The training log.
        count: How many, 0 or more.
        seed: Draws the ranks of sketches; exact scores do not depend on it.
        max_length: L, the longest input in training.
        candidates: roots: only interactions to which no edge leads; all.
        scores: exact, sketch, or auto: exact up to a million interactions.

    Raises:
        OptionError: If there are fewer candidates, or a word is unknown.
    """
    cascade, mask = _candidates(log, count, max_length, candidates)
    return rows_with_highest(log, cascade.scores(scores, seed=seed), count, mask)


def check_casper(log: InteractionLog, count: int, *, max_length: int = 50, candidates: Candidates = "roots") -> None:
    """Refuse what `casper_rows` would, without the scores."""
    _candidates(log, count, max_length, candidates)


def _candidates(
    log: InteractionLog, count: int, max_length: int, candidates: Candidates
) -> tuple[Cascade, NDArray[np.bool_]]:
    if candidates not in get_args(Candidates):
        raise OptionError(f"unknown candidates {candidates!r}; known are {', '.join(get_args(Candidates))}")
    cascade = Cascade.of(log, max_length)
    mask = cascade.is_root() if candidates == "roots" else np.ones(len(log), dtype=bool)
    if count > mask.sum():
        raise OptionError(
            f"{count:,} interactions were asked for, but only {int(mask.sum()):,} of {len(log):,} are roots of the"
            " cascades; ask for fewer, or take candidates=all"
        )
    return cascade, mask


def influence_rows(
    log: InteractionLog,
    count: int,
    seed: int,  # noqa: ARG001 - the seed's model is in the score
    *,
    score: Score | None = None,
    on: Literal["test", "self"] = "test",
) -> NDArray[np.int64]:
    """The rows of the largest absolute influence.

    Args:
        log: The training log.
        count: How many.
        seed: Not used.
        score: Gives the influence of each row, shape (n,), from a trained model (`finestrec.stability.influence`).
        on: What is influenced: the test loss, or the interaction's own.

    Raises:
        OptionError: If there is no score.
    """
    if score is None:
        raise OptionError(
            "influence is that of a trained model, and there is none here: `finestrec audit` trains one; in Python,"
            " hand its scores over (finestrec.stability.influence, apply(score=))"
        )
    return rows_with_highest(log, np.abs(score(on)), count)


def rows_with_highest(
    log: InteractionLog, scores: NDArray[np.float64], count: int, candidates: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """The rows of the highest scores, ties to the lowest interaction id: any score can select.

    Args:
        log: The training log.
        scores: One a row, shape (n,).
        count: How many, at most the candidates.
        candidates: Which rows may be taken, shape (n,); by default all.

    Returns:
        Row positions, ascending, shape (count,).

    Raises:
        DataError: If a score is NaN or they are not as many as rows.
        OptionError: If `count` is negative or more than there are candidates.
    """
    if scores.shape != (len(log),):
        raise DataError(f"the scores are of shape {scores.shape}; expected one a row, ({len(log)},)")
    if np.isnan(scores).any():
        raise DataError(f"the score of row {int(np.isnan(scores).argmax())} is NaN; expected a number for every row")
    rows = np.arange(len(log)) if candidates is None else np.flatnonzero(candidates)
    if not 0 <= count <= len(rows):
        raise OptionError(f"{count} were asked for, but there are {len(rows)}; ask for fewer")
    if count == 0:
        return rows[:0]
    values = scores[rows]
    threshold = np.partition(values, len(rows) - count)[len(rows) - count]
    above, tied = rows[values > threshold], rows[values == threshold]
    tied = tied[np.argsort(log.interaction_ids[tied], kind="stable")]
    return np.sort(np.concatenate((above, tied[: count - len(above)])))


def user_rows(log: InteractionLog, count: int, seed: int) -> NDArray[np.int64]:
    """All interactions of users drawn uniformly among those with interactions."""
    return rows_of(log, "users", drawn(log, "users", count, seed))


def item_rows(log: InteractionLog, count: int, seed: int) -> NDArray[np.int64]:
    """All interactions with items drawn uniformly among those with interactions."""
    return rows_of(log, "items", drawn(log, "items", count, seed))


def drawn(log: InteractionLog, unit: Literal["users", "items"], count: int, seed: int) -> NDArray[np.int64]:
    """Indices of users or items with interactions, drawn uniformly, ascending."""
    present = np.flatnonzero(_counts(log, unit))
    return present[lowest(hashed(present, seed, "perturbation"), count)]


def rows_of(log: InteractionLog, unit: Literal["users", "items"], indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """All rows of some users or items."""
    chosen = np.zeros(len(_counts(log, unit)), dtype=bool)
    chosen[indices] = True
    return np.flatnonzero(np.repeat(chosen, log.lengths) if unit == "users" else chosen[log.items])


def listed(log: InteractionLog, unit: Literal["users", "items"], path: Path) -> NDArray[np.int64]:
    """Indices of the users or items that a file names: one raw id a line, or a column user_id or item_id.

    Raises:
        DataError: If the file cannot be read, or names one without interactions in the log.
    """
    vocabulary = log.vocabulary.users if unit == "users" else log.vocabulary.items
    one = unit.removesuffix("s")
    ids, others = read_ids_file(path, vocabulary.dtype, "user_id" if unit == "users" else "item_id")
    if len(others):
        raise DataError(f"{path.name}: the {one} id {others[0]!r} is not an integer, but all {one} ids of the log are")
    index = positions(ids, vocabulary).fill_null(-1).to_numpy()
    unknown = ids.filter((index < 0) | (_counts(log, unit)[index] == 0))
    if len(unknown):
        named = ", ".join(map(repr, unknown.head(_SHOWN))) + (", ..." if len(unknown) > _SHOWN else "")
        raise DataError(
            f"{path.name}: {len(unknown):,} of {len(ids):,} {unit} have no interactions that could be edited ({named});"
            " take them out of the file (users with few interactions are not trained on: data.min_length)"
        )
    return index


def total(log: InteractionLog, unit: Unit) -> int:
    """How many interactions there are, or users or items with interactions."""
    return len(log) if unit == "interactions" else int((_counts(log, unit) > 0).sum())


def _counts(log: InteractionLog, unit: Literal["users", "items"]) -> NDArray[np.int64]:
    return log.lengths if unit == "users" else log.item_counts


@dataclass(frozen=True)
class Selector:
    """A way to pick rows, as a perturbation SPEC names it.

    Attributes:
        rows: From a log, a count and a seed, and the options by name, the rows.
        unit: What an amount counts. A selector of users or items can be given them instead.
        options: Options of a SPEC and their words; the first is the default.
        looks_back: Whether `rows` takes `max_length`.
        by_model: Whether `rows` takes the `score` of a trained model.
    """

    rows: Callable[..., NDArray[np.int64]]
    unit: Unit = "interactions"
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    looks_back: bool = False
    by_model: bool = False

    def __call__(
        self,
        log: InteractionLog,
        count: int,
        seed: int,
        max_length: int = 50,
        score: Score | None = None,
        **options: str,
    ) -> NDArray[np.int64]:
        """Row positions of `log`, distinct and ascending."""
        more: dict[str, Any] = {"max_length": max_length} if self.looks_back else {}
        more |= {"score": score} if self.by_model else {}
        return self.rows(log, count, seed, **more, **options)


SELECTORS: Final[dict[str, Selector]] = {
    "random": Selector(random_rows),
    "earliest": Selector(earliest_rows),
    "latest": Selector(latest_rows),
    "casper": Selector(
        casper_rows, options={"candidates": get_args(Candidates), "scores": get_args(ScoreMethod)}, looks_back=True
    ),
    "influence": Selector(influence_rows, options={"on": ("test", "self")}, by_model=True),
    "user": Selector(user_rows, "users"),
    "item": Selector(item_rows, "items"),
}
"""Every selector by the name that a perturbation SPEC uses."""
