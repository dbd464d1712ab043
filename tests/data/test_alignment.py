from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from slow_log import Row, check_invariants, rows_of

from finestrec.data.alignment import align, check_same_world, under_vocabulary
from finestrec.data.log import InteractionLog, Vocabulary
from finestrec.data.simulator import SimulatorOptions, simulate
from finestrec.data.sources import log_from_frame
from finestrec.errors import DataError
from finestrec.perturbation.edits import edit

ROWS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abc"), st.integers(0, 3)), min_size=1, max_size=40)


def log_of(rows) -> InteractionLog:
    return InteractionLog.from_frame(pl.DataFrame(rows, schema=["user", "item", "time"], orient="row"))


def slow_align(new: list[Row], stored: list[Row]) -> list[Row]:
    waiting: dict[tuple, list[int]] = {}
    for user, item, time, number in sorted(stored, key=lambda row: row[3]):
        waiting.setdefault((user, item, time), []).append(number)
    fresh = max(number for *_, number in stored) + 1
    result = []
    for user, item, time, _ in sorted(new, key=lambda row: (row[2], row[3])):
        same = waiting.get((user, item, time), [])
        if same:
            result.append((user, item, time, same.pop(0)))
        else:
            result.append((user, item, time, fresh))
            fresh += 1
    return sorted(result, key=lambda row: (row[0], row[2], row[3]))


@given(ROWS, ROWS)
def test_agrees_with_the_obvious_implementation(new, stored):
    new, stored = log_of(new), log_of(stored)
    aligned = align(new, stored)
    check_invariants(aligned)
    assert rows_of(aligned) == slow_align(rows_of(new), rows_of(stored))


@given(ROWS, st.data())
def test_a_log_that_grew_in_any_row_order_keeps_its_ids(rows, data):
    stored = log_of(rows)
    added = data.draw(ROWS)
    again = align(log_of(data.draw(st.permutations(rows + [(u, i, t + 10) for u, i, t in added]))), stored)
    old = again.keep(again.interaction_ids < len(rows))
    assert sorted(rows_of(old)) == sorted(rows_of(stored))
    assert sorted(again.interaction_ids) == list(range(len(rows) + len(added)))


def test_thousands_of_rows_with_large_times_and_a_stored_vocabulary_out_of_order():
    whole = simulate(SimulatorOptions(users=300, items=80), 2)
    # Microseconds since 1970 times users does not fit into 63 bits: the path by ranks.
    whole = replace(whole, times=whole.times * 1_000_000_007, time_unit="us")
    rng = np.random.default_rng(0)
    order = rng.permutation(whole.n_items)
    stored = under_vocabulary(whole, Vocabulary(whole.vocabulary.users, whole.vocabulary.items.gather(order))).keep(
        rng.random(len(whole)) < 0.7
    )
    aligned = align(whole, stored)
    assert rows_of(aligned) == slow_align(rows_of(whole), rows_of(stored))


def test_fresh_ids_follow_time_and_then_input_row():
    stored = log_of([(1, "a", 5)])
    new = log_of([(2, "b", 9), (1, "c", 7), (1, "a", 5), (3, "d", 7)])
    assert {row[1]: row[3] for row in rows_of(align(new, stored))} == {"a": 0, "c": 1, "d": 2, "b": 3}


def test_new_interactions_of_the_log_before_are_no_other_ones() -> None:
    log = log_from_frame(pl.DataFrame({"user": [1, 1, 1, 2, 2], "item": [3, 4, 5, 4, 3], "time": [1, 2, 3, 1, 2]}))
    edited = edit(log, "replace", np.array([0, 1, 4]), np.array([2, 2, 1])).log
    check_same_world(replace(log, origin=None, interaction_ids=log.interaction_ids.copy()), edited)
    with pytest.raises(DataError, match="ids that were other interactions'"):
        check_same_world(replace(log, interaction_ids=np.roll(log.interaction_ids, 1)), edited)


def test_times_are_counted_in_the_stored_unit():
    seconds = log_of([(1, "a", 5), (1, "b", 7)])
    milliseconds = replace(log_of([(1, "a", 5000), (1, "b", 7000), (1, "c", 8000)]), time_unit="ms")
    aligned = align(milliseconds, seconds)
    assert (aligned.time_unit, aligned.times.tolist()) == ("s", [5, 7, 8])
    assert aligned.interaction_ids.tolist() == [0, 1, 2]
    back = align(seconds, milliseconds)
    assert (back.time_unit, back.times.tolist()) == ("ms", [5000, 7000])
    odd = replace(milliseconds, times=np.array([5000, 7001, 8000]))
    with pytest.raises(DataError, match=r"counts time in s, but 1 times .* is 7001 ms\); round"):
        align(odd, seconds)


def test_ids_of_another_type_are_refused():
    with pytest.raises(DataError, match=r"user ids are text \(e.g. '1'\) in the new log but integers \(e.g. 1\)"):
        align(log_of([("1", "a", 5)]), log_of([(1, "a", 5)]))
    with pytest.raises(DataError, match="item ids are integers"):
        align(log_of([(1, 3, 5)]), log_of([(1, "a", 5)]))


def test_logs_without_anything_in_common():
    aligned = align(log_of([(1, "a", 5)]), log_of([(2, "b", 5), (2, "b", 6)]))
    assert aligned.interaction_ids.tolist() == [2]


@given(ROWS, st.permutations(range(6)), st.permutations("abcde"))
def test_another_vocabulary_changes_indices_only(rows, users, items):
    log = log_of(rows)
    vocabulary = Vocabulary(pl.Series(users), pl.Series(items))
    moved = under_vocabulary(log, vocabulary)
    check_invariants(moved)
    assert moved.vocabulary is vocabulary
    assert moved.n_users == 6
    assert sorted(rows_of(moved)) == sorted(rows_of(log))
    assert moved.lengths.tolist() == [sum(row[0] == user for row in rows) for user in users]


def test_unknown_users_and_items_are_counted_and_shown():
    vocabulary = Vocabulary(pl.Series([1, 2]), pl.Series(["a"]))
    with pytest.raises(DataError, match=r"has 1 user that the run does not know \(3\); use `finestrec update`"):
        under_vocabulary(log_of([(1, "a", 0), (3, "a", 0)]), vocabulary)
    with pytest.raises(DataError, match=r"has 7 items .*\('b', 'c', 'd', 'e', 'f', \.\.\.\)"):
        under_vocabulary(log_of([(1, item, 0) for item in "abcdefgh"]), vocabulary)


def test_unknown_ids_without_interactions_do_not_matter():
    log = log_of([(1, "a", 0), (3, "b", 0)])
    only_first = log.keep(np.array([True, False]))
    moved = under_vocabulary(only_first, Vocabulary(pl.Series([2, 1]), pl.Series(["x", "a"])))
    assert rows_of(moved) == [(1, "a", 0, 0)]
    assert moved.lengths.tolist() == [0, 1]


def test_a_stored_log_without_rows_gives_fresh_ids():
    stored = log_of([(1, "a", 5)])
    aligned = align(log_of([(1, "a", 5), (1, "a", 5)]), stored.keep(np.array([False])))
    assert aligned.interaction_ids.tolist() == [0, 1]
