"""ml-100k from RecBole's wheel, whose package is not imported for it."""

from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest


def movielens(users: int) -> pl.DataFrame:
    """The first users' interactions: user_id, item_id as text, timestamp."""
    found = find_spec("recbole")
    if found is None or found.origin is None:
        pytest.skip("ml-100k lies in RecBole's wheel, which is not installed; run `make test-hosts`")
    path = Path(found.origin).parent / "dataset_example" / "ml-100k" / "ml-100k.inter"
    names = ["user_id", "item_id", "rating", "timestamp"]
    types = {"user_id": pl.Int64, "item_id": pl.String, "rating": pl.Float64, "timestamp": pl.Float64}
    frame = pl.read_csv(path, separator="\t", new_columns=names, schema_overrides=list(types.values()))
    return frame.filter(pl.col("user_id") <= users).with_columns(pl.col("timestamp").cast(pl.Int64)).drop("rating")
