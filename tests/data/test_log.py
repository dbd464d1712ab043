from dataclasses import asdict, replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_log import check_invariants, rows_of, slow_read, slow_summary

from finestrec.data.log import InteractionLog, Vocabulary
from finestrec.errors import DataError

ROWS = st.lists(st.tuples(st.integers(-3, 6), st.sampled_from("abcde"), st.integers(0, 5)), min_size=1, max_size=60)


def log_of(rows: list[tuple[object, object, int]]) -> InteractionLog:
    return InteractionLog.from_frame(pl.DataFrame(rows, schema=["user", "item", "time"], orient="row"))


def columns(items: list[int], times: list[int], ids: list[int], offsets: list[int]) -> InteractionLog:
    return InteractionLog(
        items=np.array(items, dtype=np.int32),
        times=np.array(times),
        interaction_ids=np.array(ids),
        offsets=np.array(offsets),
        vocabulary=Vocabulary(pl.Series(range(len(offsets) - 1)), pl.Series(range(max(items) + 1))),
    )


@given(ROWS, st.integers(1, 6))
def test_reading_agrees_with_the_obvious_implementation(rows, min_length):
    expected = slow_read(rows, min_length)
    if not expected:
        with pytest.raises(DataError, match="have fewer than"):
            log_of(rows).with_min_length(min_length)
        return
    log = log_of(rows).with_min_length(min_length)
    check_invariants(log)
    assert rows_of(log) == expected
    assert log.vocabulary.users.to_list() == sorted({row[0] for row in expected})
    assert log.vocabulary.items.to_list() == sorted({row[1] for row in expected})


@given(ROWS)
def test_summary_agrees_with_the_obvious_implementation(rows):
    log = log_of(rows)
    assert asdict(log.summary()) == pytest.approx(slow_summary(rows_of(log)))


@given(ROWS, st.permutations("abcdefg"), st.integers(0, 7))
def test_with_items_drops_and_reindexes(rows, order, count):
    items = pl.Series(order[:count], dtype=pl.String)
    log = log_of(rows).with_items(items)
    check_invariants(log)
    assert rows_of(log) == [row for row in slow_read(rows) if row[1] in items.to_list()]
    assert log.vocabulary.items.to_list() == items.to_list()
    assert log.vocabulary.users.to_list() == sorted({row[0] for row in rows})


@given(ROWS, st.data())
def test_keep_leaves_users_and_vocabulary_as_they_are(rows, data):
    log = log_of(rows)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(log), max_size=len(log))))
    kept = log.keep(mask)
    check_invariants(kept)
    assert rows_of(kept) == [row for row, wanted in zip(rows_of(log), mask, strict=True) if wanted]
    assert kept.n_users == log.n_users
    assert asdict(kept.summary()) == pytest.approx(slow_summary(rows_of(kept)))


@given(ROWS)
def test_the_order_of_the_log_is_time_then_id(rows):
    log = log_of(rows)
    assert rows_of(log)[0] in slow_read(rows)
    everything = [rows_of(log)[at] for at in log.order()]
    assert everything == sorted(everything, key=lambda row: (row[2], row[3]))


@given(ROWS, st.data())
@settings(max_examples=50)
def test_the_order_within_a_user_survives_rows_without_an_id(rows, data):
    log = log_of(rows)
    lost = np.array(data.draw(st.lists(st.booleans(), min_size=len(log), max_size=len(log))))
    edited = replace(log, interaction_ids=np.where(lost, -1, log.interaction_ids))
    order = edited.order()
    assert sorted(order) == list(range(len(log)))
    assert (np.diff(edited.times[order]) >= 0).all()
    for user in range(log.n_users):
        assert (np.diff(order[edited.users[order] == user]) > 0).all()


def test_an_inserted_row_stays_before_the_row_it_was_put_before():
    log = columns([0, 1, 2, 1], [5, 5, 5, 5], [3, -1, 7, 4], [0, 3, 4])
    assert log.order().tolist() == [0, 3, 1, 2]  # 3, 4 (of the other user), inserted before 7, 7


def test_min_length_freezes_the_vocabulary_after_dropping_users():
    log = log_of([(1, "a", 0), (1, "b", 1), (2, "c", 0)]).with_min_length(2)
    assert log.vocabulary.items.to_list() == ["a", "b"]
    assert log.vocabulary.users.to_list() == [1]


def test_min_length_that_nobody_reaches_names_the_longest_history():
    with pytest.raises(DataError, match=r"all 2 users have fewer than 10 .*history has 2\); lower"):
        log_of([(1, "a", 0), (1, "b", 1), (2, "c", 0)]).with_min_length(10)


def test_with_items_refuses_another_type_and_repeated_items():
    log = log_of([(1, "a", 0)])
    with pytest.raises(DataError, match="String, the given ones of Int64"):
        log.with_items(pl.Series([1, 2]))
    with pytest.raises(DataError, match="'a' repeats"):
        log.with_items(pl.Series(["a", "b", "a"]))


def test_the_fingerprint_changes_with_any_value():
    log = log_of([(1, "ab", 0), (1, "c", 1), (2, "c", 5)])
    assert log.fingerprint == log_of([(1, "ab", 0), (1, "c", 1), (2, "c", 5)]).fingerprint
    users, items = log.vocabulary.users, log.vocabulary.items
    others = [
        replace(log, times=log.times + 1),
        replace(log, items=log.items[::-1].copy()),
        replace(log, interaction_ids=log.interaction_ids + 1),
        replace(log, offsets=np.array([0, 1, 3])),
        replace(log, time_unit="ms"),
        replace(log, vocabulary=Vocabulary(users, pl.Series(["a", "bc"]))),
        replace(log, vocabulary=Vocabulary(users.cast(pl.String), items)),
    ]
    assert len({log.fingerprint, *(other.fingerprint for other in others)}) == len(others) + 1


def test_columns_that_do_not_fit_together_are_refused():
    log = log_of([(1, "a", 0), (2, "b", 1)])
    with pytest.raises(DataError, match="differ in length"):
        replace(log, times=log.times[:1].copy())
    with pytest.raises(DataError, match="needs 3 offsets from 0 to 2"):
        replace(log, offsets=np.array([0, 2]))
    with pytest.raises(DataError, match="offsets from 0 to 2"):
        replace(log, offsets=np.array([0, 1, 1]))


def test_a_log_cannot_be_edited_in_place():
    log = log_of([(1, "a", 0)])
    with pytest.raises(ValueError, match="read-only"):
        log.items[0] = 3
    with pytest.raises(AttributeError):
        log.time_unit = "ms"  # type: ignore[misc]


def test_the_root_is_the_log_before_all_edits():
    log = log_of([(1, "a", 0), (1, "b", 1)])
    edit = replace(log.keep(np.array([True, False])), origin=log)
    assert replace(edit, origin=edit).root is log
    assert log.root is log
    assert log.keep(np.array([True, False])).origin is None


def test_repr_is_for_people():
    assert repr(log_of([(1, "a", 0)])) == "InteractionLog(1 interactions, 1 users, 1 items)"
