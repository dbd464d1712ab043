from dataclasses import replace
from typing import cast, get_args

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from small_logs import ITEMS, N_ITEMS, Row, check_invariants, logs, make, of_lengths, rows_of

from finestrec.data.log import InteractionLog, Vocabulary
from finestrec.data.splits import Split
from finestrec.errors import DataError, OptionError
from finestrec.perturbation.edits import EditKind, PerturbedLog, SubstituteRule, edit, substitutes
from finestrec.perturbation.whole import edit_whole

KINDS = get_args(EditKind)


def apply(log: InteractionLog, kind: EditKind, rows: list[int], items: list[int]) -> PerturbedLog:
    new = None if kind == "delete" else np.array(items[: len(rows)], dtype=np.int32)
    return edit(log, kind, np.array(rows, dtype=np.int64), new)


def slow_edit(rows: list[Row], kind: EditKind, where: list[int], items: list[int]) -> list[Row]:
    result = []
    for number, row in enumerate(rows):
        if number not in where:
            result.append(row)
            continue
        new = Row(row.user, items[where.index(number)], row.time, -1)
        result += {"delete": [], "replace": [new], "insert": [new, row]}[kind]
    return result


@st.composite
def edited(draw: st.DrawFn) -> tuple[InteractionLog, EditKind, list[int], list[int]]:
    log = draw(logs())
    rows = sorted(draw(st.sets(st.integers(0, len(log) - 1)))) if len(log) else []
    items = draw(st.lists(st.integers(0, N_ITEMS - 1), min_size=len(rows), max_size=len(rows)))
    return log, draw(st.sampled_from(KINDS)), rows, items


@settings(deadline=None, max_examples=300)
@given(edited())
def test_edits_agree_with_a_list_of_rows(case: tuple[InteractionLog, EditKind, list[int], list[int]]) -> None:
    log, kind, rows, items = case
    before = rows_of(log)
    fingerprint = replace(log).fingerprint
    perturbed = apply(log, kind, rows, items)
    check_invariants(perturbed.log)
    assert rows_of(perturbed.log) == slow_edit(before, kind, rows, items)
    assert perturbed.log.vocabulary is log.vocabulary
    assert perturbed.log.n_users == log.n_users
    assert perturbed.log.time_unit == log.time_unit
    assert perturbed.log.origin is log
    assert rows_of(log) == before, "the original never changes"
    assert replace(log).fingerprint == fingerprint
    assert log.origin is None


@settings(deadline=None)
@given(edited())
def test_the_list_of_edits_says_what_was_done(case: tuple[InteractionLog, EditKind, list[int], list[int]]) -> None:
    log, kind, rows, items = case
    edits = apply(log, kind, rows, items).edits
    touched = [rows_of(log)[row] for row in rows]
    assert edits.kind == kind
    assert len(edits) == len(rows)
    assert edits.users.tolist() == [row.user for row in touched]
    assert edits.times.tolist() == [row.time for row in touched]
    assert edits.interaction_ids.tolist() == [row.id for row in touched]
    assert edits.old_items.tolist() == [-1 if kind == "insert" else row.item for row in touched]
    assert edits.new_items.tolist() == [-1 if kind == "delete" else item for item in items]
    assert edits.old_items.dtype == edits.new_items.dtype == np.int32
    frame = edits.to_frame(log.vocabulary)
    assert frame.columns == ["kind", "interaction_id", "user_id", "timestamp", "old_item_id", "new_item_id"]
    assert frame.schema["old_item_id"] == frame.schema["new_item_id"] == pl.String
    assert frame.rows() == [
        (
            kind,
            row.id,
            f"u{row.user}",
            row.time,
            None if kind == "insert" else ITEMS[row.item],
            None if kind == "delete" else ITEMS[item],
        )
        for row, item in zip(touched, items, strict=True)
    ]


@settings(deadline=None)
@given(edited(), st.data())
def test_edits_can_be_chained(case: tuple[InteractionLog, EditKind, list[int], list[int]], data: st.DataObject) -> None:
    log, kind, rows, items = case
    first = apply(log, kind, rows, items).log
    more = sorted(data.draw(st.sets(st.integers(0, len(first) - 1)))) if len(first) else []
    second = apply(first, data.draw(st.sampled_from(KINDS)), more, [0] * len(more)).log
    check_invariants(second)
    assert second.origin is first
    assert second.root is log


def test_the_frame_has_raw_ids_of_any_type() -> None:
    log = of_lengths(2)
    numbers = replace(log.vocabulary, users=pl.Series([70]), items=pl.Series(range(100, 106)))
    log = replace(log, vocabulary=numbers, items=np.array([3, 5], dtype=np.int32))
    frame = edit(log, "replace", np.array([1]), np.array([0], dtype=np.int32)).edits.to_frame(numbers)
    assert frame["user_id"].to_list() == [70]
    assert frame["old_item_id"].to_list() == [105]
    assert frame["new_item_id"].to_list() == [100]
    deleted = edit(log, "delete", np.array([0])).edits.to_frame(numbers)
    assert deleted["new_item_id"].to_list() == [None]


def test_an_item_that_vanishes_shifts_no_index() -> None:
    log = make([[(0, 0), (1, 1), (2, 2)], [(1, 0), (5, 1)]])
    left = edit(log, "delete", np.flatnonzero(log.items == 1)).log
    assert left.items.tolist() == [0, 2, 5]
    assert left.vocabulary.items.to_list() == ITEMS
    assert left.item_counts.tolist() == [1, 0, 1, 0, 0, 1]


@pytest.mark.parametrize("user", [0, 1, 2])
def test_an_erased_user_keeps_an_empty_segment(user: int) -> None:
    log = of_lengths(2, 3, 1)
    left = edit(log, "delete", np.flatnonzero(log.users == user)).log
    expected = [2, 3, 1]
    expected[user] = 0
    assert left.lengths.tolist() == expected
    assert left.vocabulary.users.to_list() == ["u0", "u1", "u2"]


def test_deleting_everything_leaves_an_empty_log() -> None:
    log = of_lengths(2, 1)
    left = edit(log, "delete", np.arange(3)).log
    check_invariants(left)
    assert len(left) == 0
    assert left.offsets.tolist() == [0, 0, 0]


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(OptionError, match="'swap'; known are delete, replace, insert"):
        edit(of_lengths(2), cast(EditKind, "swap"), np.array([0]), np.array([0], dtype=np.int32))


# Substitutes


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


@settings(deadline=None)
@given(logs(min_rows=1), st.integers(0, 5))
def test_popular_and_unpopular_substitutes_agree_with_counting(log: InteractionLog, count: int) -> None:
    listed = log.items.tolist()
    present = sorted(set(listed))
    least = min(present, key=lambda item: (listed.count(item), item))
    most = min(present, key=lambda item: (-listed.count(item), item))
    for rule, expected in (("least_popular", least), ("most_popular", most)):
        found = substitutes(log, cast(SubstituteRule, rule), count, generator())
        assert found.tolist() == [expected] * count
        assert found.dtype == np.int32


def test_popularity_is_counted_in_the_training_log_alone() -> None:
    # Item 4 is the most frequent of all and 5 the rarest, but neither is trained on.
    log = make([[(2, 0), (2, 1), (3, 2), (4, 3), (4, 4), (4, 5), (5, 6)]])
    train = Split(log=log, n_train=np.array([3])).train
    assert substitutes(train, "least_popular", 1, generator()).tolist() == [3]
    assert substitutes(train, "most_popular", 1, generator()).tolist() == [2]


def test_random_substitutes_are_uniform_over_the_whole_vocabulary() -> None:
    found = substitutes(of_lengths(3), "random", 6000, generator())
    assert found.dtype == np.int32
    assert chisquare(np.bincount(found, minlength=N_ITEMS)).pvalue > 1e-3
    assert len(np.bincount(found)) == N_ITEMS


def test_an_unknown_substitute_is_refused() -> None:
    with pytest.raises(OptionError, match="'rare'; known are least_popular, random, most_popular"):
        substitutes(of_lengths(3), cast(SubstituteRule, "rare"), 1, generator())


# The same edits in the whole log


@settings(deadline=None)
@given(logs(min_rows=1), st.data(), st.sampled_from(KINDS))
def test_editing_the_whole_log_edits_its_training_part_alike(
    log: InteractionLog, data: st.DataObject, kind: EditKind
) -> None:
    n_train = np.array([data.draw(st.integers(0, int(length))) for length in log.lengths])
    split = Split(log=log, n_train=n_train)
    rows = sorted(data.draw(st.sets(st.integers(0, len(split.train) - 1)))) if len(split.train) else []
    items = data.draw(st.lists(st.integers(0, N_ITEMS - 1), min_size=len(rows), max_size=len(rows)))
    perturbed = apply(split.train, kind, rows, items)
    # A vocabulary of its own: users and items in another order.
    user_order = data.draw(st.permutations(range(log.n_users)))
    item_order = data.draw(st.permutations(range(N_ITEMS)))
    whole_rows = [row for user in user_order for row in rows_of(log) if row.user == user]
    whole = InteractionLog(
        items=np.array([item_order.index(row.item) for row in whole_rows], dtype=np.int32),
        times=np.array([row.time for row in whole_rows]),
        interaction_ids=np.array([row.id for row in whole_rows]),
        offsets=np.cumsum([0, *log.lengths[user_order]]),
        vocabulary=Vocabulary(
            pl.Series([f"u{user}" for user in user_order]), pl.Series([ITEMS[item] for item in item_order])
        ),
    )
    got = edit_whole(whole, split.train, perturbed.edits)
    check_invariants(got)
    expected: list[tuple[str, str, int, int]] = []
    for user in user_order:
        trained = [row for row in rows_of(perturbed.log) if row.user == user]
        tested = [row for row in rows_of(log) if row.user == user][n_train[user] :]
        expected += [(f"u{user}", ITEMS[row.item], row.time, row.id) for row in trained + tested]
    assert got.to_frame().rows() == expected


def test_edits_of_another_log_are_refused() -> None:
    log, other = of_lengths(4, 3), of_lengths(40, 30, seed=9)
    edits = edit(other, "delete", np.arange(70)).edits
    with pytest.raises(DataError, match="the edits name interactions that the log lacks"):
        edit_whole(log, log, edits)


def test_items_that_the_whole_log_lacks_are_refused() -> None:
    log = of_lengths(4)
    fewer = replace(log, items=np.zeros(4, dtype=np.int32), vocabulary=replace(log.vocabulary, items=pl.Series(["a"])))
    edits = edit(log, "insert", np.array([1]), np.array([5], dtype=np.int32)).edits
    with pytest.raises(DataError, match="items that the whole log lacks"):
        edit_whole(fewer, log, edits)
