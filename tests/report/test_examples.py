import numpy as np
import polars as pl
import pytest

from finestrec.errors import DataError
from finestrec.report.examples import AT_RANDOM, MOST_CHANGED, chosen_users, histogram, user_lists


def users(count: int, changed: int) -> pl.DataFrame:
    """The last users changed most."""
    value = [1.0] * (count - changed) + list(np.linspace(0.9, 0.1, changed))
    return pl.DataFrame({"user_id": [f"u{i:04}" for i in range(count)], "value": value})


def test_wanted_then_most_changed_then_some_at_random() -> None:
    found, note = chosen_users(users(1000, 100), ["u0003"])
    assert found[0] == "u0003"
    assert found[1 : 1 + MOST_CHANGED].to_list() == [f"u{i:04}" for i in range(999, 999 - MOST_CHANGED, -1)]
    assert len(found) == found.n_unique() == 1 + MOST_CHANGED + AT_RANDOM
    assert note.startswith("41 of 1,000 users: the 1 asked for, the 20 whose lists changed most, 20 of all others")


def test_users_whose_lists_did_not_change_are_not_called_changed() -> None:
    found, note = chosen_users(users(5, 2))
    assert found[:2].to_list() == ["u0004", "u0003"]
    assert "the 2 whose lists changed most, 3 of all others" in note


def test_one_user() -> None:
    assert chosen_users(users(1, 0))[0].to_list() == ["u0000"]


def test_integer_ids_are_asked_for_as_text() -> None:
    frame = pl.DataFrame({"user_id": [7, 70], "value": [1.0, 1.0]})
    assert chosen_users(frame, ["70"])[0][0] == 70


def test_a_wanted_user_who_is_not_there_is_an_error() -> None:
    with pytest.raises(DataError, match="no lists of user nobody were compared; there are 3 users"):
        chosen_users(users(3, 1), ["u0001", "nobody"])


def test_histogram_counts_the_upper_border_and_no_nulls() -> None:
    counts = histogram(pl.Series([0.0, 0.049, 0.05, 1.0, 0.999, None]))
    assert sum(counts) == 5
    assert (counts[0], counts[1], counts[-1]) == (2, 1, 2)


def test_kept_items_are_counted_between_the_first_two_lists() -> None:
    assert user_lists(3, [("before", [1, 2, 3]), ("after", [3, 9, 1]), ("finest", [1, 2, 3])]).kept == 2
