"""Which users a report shows: those asked for, those whose lists changed most, and some at random."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from finestrec.errors import DataError
from finestrec.randomness import generator
from finestrec.report.summary import ShownList, UserLists

MOST_CHANGED: Final = 20
AT_RANDOM: Final = 20


def chosen_users(users: pl.DataFrame, wanted: Sequence[str] = ()) -> tuple[pl.Series, str]:
    """The users to show, and a sentence that says how they were chosen.

    Args:
        users: Columns user_id and value, one line a user; a lower value is more change.
        wanted: Raw ids as text.

    Returns:
        Raw ids, each once: those wanted, the most changed ones, some of the others.

    Raises:
        DataError: If a wanted user is not there.
    """
    ids = users["user_id"].cast(pl.String)
    missing = [user for user in wanted if user not in ids]
    if missing:
        raise DataError(f"no lists of user {', '.join(missing)} were compared; there are {len(users):,} users")
    asked = users.filter(ids.is_in(list(wanted)))["user_id"]
    order = users.filter(pl.col("value") < 1).sort("value", "user_id")["user_id"].head(MOST_CHANGED)
    others = users["user_id"].filter(~users["user_id"].is_in(pl.concat([asked, order]).implode()))
    drawn = generator(0, "sample").choice(len(others), min(AT_RANDOM, len(others)), replace=False)
    found = pl.concat([asked, order, others.gather(np.sort(drawn))]).unique(maintain_order=True)
    parts = [f"the {len(asked):,} asked for"] if len(asked) else []
    parts += [f"the {len(order):,} whose lists changed most"] if len(order) else []
    parts += [f"{len(drawn):,} of all others at random"] if len(drawn) else []
    return found, f"{len(found):,} of {len(users):,} users: {', '.join(parts)}."


def user_lists(user: object, lists: Sequence[tuple[str, Sequence[object]]]) -> UserLists:
    """One user's lists.

    Args:
        user: Raw id.
        lists: Label and raw item ids of each, that before first.
    """
    shown = tuple(ShownList(label, tuple(str(item) for item in items)) for label, items in lists)
    kept = len(set(shown[0].items) & set(shown[1].items))
    return UserLists(str(user), kept, shown)


def histogram(values: pl.Series, bins: int = 20) -> tuple[int, ...]:
    """Counts in equal bins of 0..1, the upper border in the last one; what is null is not counted."""
    counts, _ = np.histogram(values.drop_nulls().to_numpy(), bins=bins, range=(0.0, 1.0))
    return tuple(int(count) for count in counts)
