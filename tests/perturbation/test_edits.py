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
from finestrec.perturbation.edits import EditKind, PerturbedLog, SubstituteRule, appended, edit, substitutes
from finestrec.perturbation.selectors import random_rows
from finestrec.perturbation.whole import before_night, edit_whole, erase_whole

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


def slow_substitute(log: InteractionLog, rule: str, replaced: int | None) -> int:
    """The first item by the rule that is not the replaced one; without interactions only if there is no other."""
    counts = [log.items.tolist().count(item) for item in range(N_ITEMS)]
    sign = 1 if rule == "least_popular" else -1
    return min(
        (item for item in range(N_ITEMS) if item != replaced),
        key=lambda item: (counts[item] == 0, sign * counts[item], item),
    )


@settings(deadline=None)
@given(logs(min_rows=1), st.data())
def test_popular_and_unpopular_substitutes_agree_with_counting(log: InteractionLog, data: st.DataObject) -> None:
    rows = sorted(data.draw(st.sets(st.integers(0, len(log) - 1))))
    for rule in ("least_popular", "most_popular"):
        for kind in ("insert", "replace"):
            found = substitutes(log, rule, np.array(rows, dtype=np.int64), 0, differing=kind == "replace")
            assert found.dtype == np.int32
            old = [int(log.items[row]) if kind == "replace" else None for row in rows]
            assert found.tolist() == [slow_substitute(log, rule, item) for item in old]


def test_popularity_is_counted_in_the_training_log_alone() -> None:
    # Item 4 is the most frequent of all and 5 the rarest, but neither is trained on.
    log = make([[(2, 0), (2, 1), (3, 2), (4, 3), (4, 4), (4, 5), (5, 6)]])
    train = Split(log=log, n_train=np.array([3])).train
    first = np.array([0])
    assert substitutes(train, "least_popular", first, 0).tolist() == [3]
    assert substitutes(train, "most_popular", first, 0).tolist() == [2]
    # An item is never replaced by itself: the next by the same rule.
    assert substitutes(train, "most_popular", np.array([0, 1, 2]), 0, differing=True).tolist() == [3, 3, 2]
    assert substitutes(train, "least_popular", np.array([0, 1, 2]), 0, differing=True).tolist() == [3, 3, 2]


def test_random_substitutes_are_uniform_over_the_whole_vocabulary() -> None:
    log = of_lengths(6000)
    rows = np.arange(6000)
    found = substitutes(log, "random", rows, 0)
    assert found.dtype == np.int32
    assert chisquare(np.bincount(found, minlength=N_ITEMS)).pvalue > 1e-3
    # Replaced items: uniform over the others.
    found = substitutes(log, "random", rows, 0, differing=True)
    assert found.dtype == np.int32
    pairs = np.zeros((N_ITEMS, N_ITEMS))
    np.add.at(pairs, (log.items, found), 1)
    assert np.diag(pairs).tolist() == [0] * N_ITEMS
    for item in range(N_ITEMS):
        assert chisquare(np.delete(pairs[item], item)).pvalue > 1e-4


def test_random_substitutes_do_not_depend_on_how_the_rows_were_drawn() -> None:
    log = of_lengths(20_000)
    rows = random_rows(log, 3000, 7)
    assert chisquare(np.bincount(substitutes(log, "random", rows, 7), minlength=N_ITEMS)).pvalue > 1e-3


@settings(deadline=None)
@given(logs(min_rows=2), st.data())
def test_a_removed_interaction_moves_no_other_substitute(log: InteractionLog, data: st.DataObject) -> None:
    removed = data.draw(st.integers(0, len(log) - 1))
    left = edit(log, "delete", np.array([removed])).log
    before = substitutes(log, "random", np.arange(len(log)), 3, differing=True)
    after = substitutes(left, "random", np.arange(len(left)), 3, differing=True)
    assert np.delete(before, removed).tolist() == after.tolist()


def test_seeds_epochs_and_streams_draw_anew() -> None:
    log, rows = of_lengths(50), np.arange(50)
    draws = [
        substitutes(log, "random", rows, 0),
        substitutes(log, "random", rows, 1),
        substitutes(log, "random", rows, 0, 4),
        substitutes(log, "random", rows, 0, 5, stream="simulation"),
    ]
    assert len({tuple(items.tolist()) for items in draws}) == 4


def test_an_unknown_substitute_is_refused() -> None:
    with pytest.raises(OptionError, match="'rare'; known are least_popular, random, most_popular"):
        substitutes(of_lengths(3), cast(SubstituteRule, "rare"), np.array([0]), 0)


def test_a_catalogue_of_one_item_has_nothing_to_replace_it_by() -> None:
    log = of_lengths(3)
    only = replace(log, items=np.zeros(3, dtype=np.int32), vocabulary=replace(log.vocabulary, items=pl.Series(["a"])))
    with pytest.raises(OptionError, match="no item can be replaced by another in a catalogue of one item"):
        substitutes(only, "random", np.array([0]), 0, differing=True)
    assert substitutes(only, "most_popular", np.array([0]), 0).tolist() == [0]


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


def test_erasing_takes_the_held_out_interactions_too() -> None:
    log = make([[(0, 0), (1, 1), (2, 2)], [(1, 0), (3, 1)], [(4, 5), (1, 6)]])
    train = Split(log=log, n_train=np.array([2, 1, 1])).train
    # Another order of users and items, as a whole log may have.
    whole = InteractionLog(
        items=np.array([1, 4, 4, 3, 5, 4, 2], dtype=np.int32),
        times=np.array([5, 6, 0, 1, 0, 1, 2]),
        interaction_ids=log.interaction_ids[[5, 6, 3, 4, 0, 1, 2]],
        offsets=np.array([0, 2, 4, 7]),
        vocabulary=Vocabulary(pl.Series(["u2", "u1", "u0"]), pl.Series(["f", "e", "c", "d", "b", "a"])),
    )
    assert sorted(whole.to_frame().rows()) == sorted(log.to_frame().rows())
    user = edit(train, "delete", np.array([2]))  # u1's only training interaction
    gone = erase_whole(whole, train, user.edits, "users")
    assert set(gone.log.to_frame()["user_id"]) == {"u0", "u2"}
    assert sorted(gone.edits.interaction_ids.tolist()) == sorted(log.interaction_ids[[3, 4]].tolist())
    item = edit(train, "delete", np.array([1, 2]))  # item b, which u2 has in the held-out part
    gone = erase_whole(whole, train, item.edits, "items")
    assert sorted(gone.log.to_frame()["item_id"]) == ["a", "c", "d", "e"]
    assert len(gone.edits) == 3


def test_the_log_before_a_night_lacks_what_was_appended() -> None:
    log = make([[(0, 0), (1, 1), (2, 2)], [(1, 0), (3, 1)]])
    train = Split(log=log, n_train=np.array([2, 1])).train
    night = appended(train, np.array([1]))
    assert night.log is train
    assert night.edits.kind == "append"
    assert night.edits.to_frame(log.vocabulary).rows() == [
        ("append", int(log.interaction_ids[1]), "u0", 1, None, "b"),
    ]
    assert before_night(log, night.edits).interaction_ids.tolist() == log.interaction_ids[[0, 2, 3, 4]].tolist()
    with pytest.raises(DataError, match="edits name interactions that the log lacks"):
        before_night(of_lengths(2, seed=5), night.edits)


def test_neighbours_are_drawn_as_often_as_they_stand_beside_an_item() -> None:
    # Between two other rows a row has two neighbours, at an end of a history one, alone none but itself.
    log = make([[(0, 0), (1, 1), (2, 2)], [(1, 0), (0, 1)], [(3, 0)], [(2, 0), (2, 1), (1, 2), (4, 3)]])
    wanted = {
        0: {1: 1},  # both rows of item 0 stand at an end beside item 1
        1: {0: 1 / 6 + 1 / 3, 2: 1 / 6 + 1 / 6, 4: 1 / 6},
        2: {1: 1 / 3 + 1 / 6, 2: 1 / 3 + 1 / 6},
        3: {3: 1},
        4: {1: 1},
    }
    rows = np.arange(len(log))
    found: dict[int, list[int]] = {item: [] for item in wanted}
    for seed in range(4000):
        for item, neighbour in zip(log.items.tolist(), substitutes(log, "neighbour", rows, seed).tolist(), strict=True):
            found[item].append(neighbour)
    for item, shares in wanted.items():
        assert set(found[item]) == set(shares)
        for neighbour, share in shares.items():
            assert np.mean(np.array(found[item]) == neighbour) == pytest.approx(share, abs=0.02)
    with pytest.raises(OptionError, match="may be the same item again"):
        substitutes(log, "neighbour", rows, 0, differing=True)
