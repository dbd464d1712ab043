"""Whose items are whose: a log under the catalogue of a model that was trained elsewhere, by raw ids."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import polars as pl

from finestrec.data.log import InteractionLog
from finestrec.errors import DataError, OptionError

Unknown = Literal["refuse", "drop"]


def under_catalogue(log: InteractionLog, items: Sequence[Any], unknown: Unknown, host: str) -> InteractionLog:
    """The log with the host's items as its vocabulary, in the host's order.

    Items that the host has and the log lacks stay in the catalogue: they are scored and listed, as the host does.

    Args:
        log: The log.
        items: Raw ids of the host's items, in the order of its ids.
        unknown: What to do about items of the log that the host does not have: refuse, or drop their interactions.
        host: What messages call the host.

    Raises:
        OptionError: If `unknown` is another word.
        DataError: If ids cannot be compared, or there are unknown items and they are refused.
    """
    if unknown not in get_args(Unknown):
        raise OptionError(f"unknown is {unknown!r}; known are {', '.join(get_args(Unknown))}")
    dtype = log.vocabulary.items.dtype
    # As text first: hosts keep integers as text, or as objects of any type.
    text = pl.Series([str(item) for item in items], dtype=pl.String)
    catalogue = text.cast(dtype, strict=False)
    if catalogue.null_count():
        wrong = text.filter(catalogue.is_null())[0]
        raise DataError(f"{host} has an item {wrong!r}, but the log's item ids are of type {dtype}")
    known = log.vocabulary.items.is_in(catalogue.implode())
    if not known.any():
        raise DataError(
            f"{host} has none of the log's items: its ids are as {text[0]!r}, the log's as {log.vocabulary.items[0]!r}"
        )
    if not known.all() and unknown == "refuse":
        strange = log.vocabulary.items.filter(~known)
        count = int(log.item_counts[~known.to_numpy()].sum())
        raise DataError(
            f"{host} does not have {len(strange):,} of the log's {log.n_items:,} items, such as {strange[0]!r}"
            f" ({count:,} interactions); pass unknown='drop' to leave these interactions out"
        )
    return log.with_items(catalogue)
