"""Groups of test instances by what is known of the user, the target and the perturbation.

Each slice is a column of names of groups, one a test instance, of an ordered `polars.Enum`. What is counted is counted
in the unperturbed training log, so that a perturbation moves nobody from one group to another.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finestrec.data.identifiers import positions
from finestrec.data.lists import USER
from finestrec.data.log import TICKS_PER_DAY, InteractionLog, Vocabulary
from finestrec.data.sequences import Instances
from finestrec.errors import DataError
from finestrec.measures.accuracy import ndcg
from finestrec.stability.comparing import MEASURES, WHOLE_CATALOGUE
from finestrec.stability.touch import erased, touched_users

UNTOUCHED: Final = "untouched"
TOUCHED: Final = "touched"
ERASED: Final = "erased"
TOUCH: Final = "touch"
OURS: Final = ("activity", "recency", "popularity", "target_rank", "user_ndcg", TOUCH, "erased_item_listed")
"""The slices that every audit has, where they have more than one group."""
COLUMNS: Final = frozenset(
    {USER, "interaction_id", *MEASURES, WHOLE_CATALOGUE, "old_rank", "new_rank", "old_items", "new_items"}
)
"""What else stands in the table of a comparison."""
NOT_GIVEN: Final = "(none given)"
_MOST_GROUPS = 50
_MOST_NUMBERS = 10
"""A column of more different numbers is cut into quarters."""
_RANKS: Final = (1, 10, 100)
_NDCG: Final = (0.0, 0.2, 0.5)


def log_slices(train: InteractionLog, test: Instances) -> pl.DataFrame:
    """Slices that need no model: activity, recency and popularity, each in quarters.

    activity: training interactions of the user. recency: days from the user's last training interaction to the last
    one of the log. popularity: training interactions with the target. Quarters are of users, for popularity of
    instances; equal values stay together, so quarters can differ in size.

    Args:
        train: The unperturbed training log.
        test: With known targets.

    Returns:
        One line an instance.
    """
    users = np.unique(test.users)
    has_any = train.lengths > 0
    last = np.zeros(train.n_users, dtype=np.int64)
    last[has_any] = train.times[train.offsets[1:][has_any] - 1]
    days = (int(train.times.max()) - last) / TICKS_PER_DAY[train.time_unit]
    days[~has_any] = np.nan
    return pl.DataFrame(
        {
            "activity": quarters(train.lengths, users).gather(test.users),
            "recency": quarters(np.round(days, 1), users).gather(test.users),
            "popularity": quarters(train.item_counts[test.targets], np.arange(len(test))),
        }
    )


def accuracy_slices(ranks: NDArray[np.int64], users: NDArray[np.int64]) -> pl.DataFrame:
    """How well the incumbent serves: the rank of the instance's target, and the mean NDCG@10 of its user.

    The borders are fixed, so that groups mean the same for every seed and model.

    Args:
        ranks: Of the targets in the incumbent's lists, from 1, shape (n,).
        users: User of each instance, shape (n,).
    """
    _, user = np.unique(users, return_inverse=True)
    mean = np.bincount(user, ndcg(ranks, 10)) / np.bincount(user)
    return pl.DataFrame(
        {
            "target_rank": _cut(ranks, _RANKS, ("1", "2 to 10", "11 to 100", "above 100")),
            "user_ndcg": _cut(mean[user], _NDCG, ("0", "above 0 to 0.2", "above 0.2 to 0.5", "above 0.5")),
        }
    )


def change_slices(
    before: InteractionLog, after: InteractionLog, test: Instances, old_lists: NDArray[np.int32]
) -> pl.DataFrame:
    """What the perturbation has to do with an instance.

    touch: the user has no training interactions left (erased), others than before (touched), or the same. An erased
    user's instances stand for themselves and leave every headline number. erased_item_listed: whether the incumbent's
    first ten hold an item that is no longer in the training log and has to make room.

    Args:
        before: The unperturbed training log.
        after: The perturbed one.
        test: The test instances.
        old_lists: The incumbent's lists, shape (n, depth).
    """
    gone = erased(before.lengths, after.lengths)
    touched: NDArray[np.int64] = np.where(gone, 2, touched_users(before, after))
    lost = np.append(erased(before.item_counts, after.item_counts), False)  # -1 ends a shorter list
    makes_room: NDArray[np.int64] = np.asarray(lost[old_lists[:, :10]].any(axis=1), dtype=np.int64)
    return pl.DataFrame(
        {
            TOUCH: _named(touched[test.users], (UNTOUCHED, TOUCHED, ERASED)),
            "erased_item_listed": _named(makes_room, ("no", "yes")),
        }
    )


def user_slices(table: pl.DataFrame, vocabulary: Vocabulary) -> pl.DataFrame:
    """Columns that describe users, as slices: one line a user of the vocabulary.

    Text, truth values and up to ten different numbers are groups as they stand; more numbers are cut into quarters of
    the users. Users that the table lacks, and missing values, are a group of their own.

    Args:
        table: A column user_id of the vocabulary's type, and one or more others.
        vocabulary: Of the log.

    Raises:
        DataError: If a user comes twice, there is no other column, a name is one of ours, a column has too many groups,
            or no user of the log is in the table.
    """
    names = [name for name in table.columns if name != USER]
    if not names:
        raise DataError(f"the table of users has the column {USER} only; expected others to slice by")
    taken = sorted({*names} & {*OURS, *COLUMNS})
    if taken:
        raise DataError(f"the table of users has a column {taken[0]}, which every audit has itself; rename it")
    if table[USER].is_duplicated().any():
        twice = table[USER].filter(table[USER].is_duplicated())[0]
        raise DataError(f"the table of users has the user {twice!r} more than once; expected one line a user")
    at = positions(vocabulary.users, table[USER])
    if at.null_count() == len(at):
        raise DataError(
            f"the table of users has none of the log's {len(at):,} users (e.g. {vocabulary.users[0]!r}); its first is"
            f" {table[USER][0]!r}"
        )
    return pl.DataFrame({name: _by_value(table[name].gather(at)) for name in names})


def table_fingerprint(table: pl.DataFrame) -> str:
    """Sixteen hexadecimal digits that change when any value of a table of users does."""
    return hashlib.blake2b(table.write_csv().encode(), digest_size=8).hexdigest()


def _by_value(column: pl.Series) -> pl.Series:
    known = column.drop_nulls().unique().sort()
    if column.dtype.is_numeric() and len(known) > _MOST_NUMBERS:
        return quarters(column.cast(pl.Float64).fill_null(np.nan).to_numpy(), np.arange(len(column)))
    labels = known.cast(pl.String)
    if len(labels) > _MOST_GROUPS:
        raise DataError(
            f"the users' column {column.name} has {len(labels):,} different values; a slice has up to {_MOST_GROUPS}"
            " groups: leave it out, or group its values"
        )
    groups = dict.fromkeys([*labels, *_none(column.null_count() > 0)])
    return column.cast(pl.String).fill_null(NOT_GIVEN).cast(pl.Enum(list(groups)))


def quarters(values: NDArray[np.generic], among: NDArray[np.int64]) -> pl.Series:
    """Groups of about a quarter each, named by their lowest and highest value.

    Args:
        values: Numbers, shape (n,); NaN is a group of its own.
        among: Which of them the quarters are of; all others are in the group that they come next to.

    Returns:
        Shape (n,). A value equal to a border is below it, so equal values are never parted.

    Examples:
        >>> import numpy as np
        >>> quarters(np.array([1, 1, 1, 2, 3, 5, 8, 13]), np.arange(8)).to_list()
        ['1', '1', '1', '2', '3 to 5', '3 to 5', '8 to 13', '8 to 13']
    """
    numbers = np.asarray(values, dtype=np.float64)
    known = numbers[among][~np.isnan(numbers[among])]
    if len(known) == 0:
        return pl.repeat(NOT_GIVEN, len(numbers), dtype=pl.Enum([NOT_GIVEN]), eager=True)
    borders = np.unique(np.quantile(known, [0.25, 0.5, 0.75], method="inverted_cdf"))
    group_of = np.searchsorted(borders, known)
    group = np.searchsorted(borders, numbers)
    used = np.unique(group_of)
    labels = [_span(known[group_of == g]) for g in used]
    place = np.searchsorted(used, np.minimum(group, used[-1]))
    missing = np.isnan(numbers)
    return _named(np.where(missing, len(labels), place), [*labels, *_none(bool(missing.any()))])


def _span(values: NDArray[np.float64]) -> str:
    low, high = (f"{value:,.10g}" for value in (values.min(), values.max()))
    return low if low == high else f"{low} to {high}"


def _none(is_needed: bool) -> list[str]:
    return [NOT_GIVEN] if is_needed else []


def _cut(values: NDArray[np.generic], borders: Sequence[float], labels: Sequence[str]) -> pl.Series:
    group: NDArray[np.int64] = np.asarray(np.searchsorted(np.asarray(borders), np.atleast_1d(values)))
    return _named(group, labels)


def _named(group: NDArray[np.int64], labels: Sequence[str]) -> pl.Series:
    return pl.Series(labels, dtype=pl.Enum(list(labels))).gather(group)
