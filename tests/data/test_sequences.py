from collections import Counter
from itertools import pairwise
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from packed import KINDS, N_ITEMS, edited, edited_logs, logs, of_lengths, packed, segments

from finestrec.data.log import InteractionLog
from finestrec.data.sequences import PADDING, Instances, SequenceBatch, WindowMode, Windows, ranges, windows
from finestrec.errors import OptionError
from finestrec.models import MODELS, build_model
from finestrec.perturbation.edits import EditKind

MODES: list[WindowMode] = ["last", "all"]
LENGTHS = st.integers(1, 6)


def slow_windows(log: InteractionLog, max_length: int, mode: WindowMode) -> list[list[int]]:
    """Rows of each window, user after user."""
    result = []
    root_ids = log.root.interaction_ids.tolist()
    for rows, root_rows in zip(segments(log), segments(log.root), strict=True):
        if mode == "last":
            result.append(rows[-(max_length + 1) :])
            continue
        borders = [0]
        for cut in range(max_length, len(root_rows) - 1, max_length):
            later = {root_ids[row] for row in root_rows[cut:]}
            survivors = [at for at, row in enumerate(rows) if log.interaction_ids[row] in later]
            borders.append(survivors[0] if survivors else len(rows))
        for border, following in zip(borders, [*borders[1:], len(rows)], strict=True):
            result.append(rows[border : following + 1][-(max_length + 1) :])
    return result


def rows_of(made: Windows) -> list[list[int]]:
    return [list(range(start, end)) for start, end in zip(made.start, made.end, strict=True)]


def contents(made: Windows) -> list[list[tuple[int, int]]]:
    """What each window shows, independent of where its rows stand."""
    log = made.log
    return [[(int(log.interaction_ids[row]), int(log.items[row])) for row in rows] for rows in rows_of(made)]


# Windows


@settings(deadline=None, max_examples=300)
@given(edited_logs(), LENGTHS, st.sampled_from(MODES))
def test_windows_agree_with_a_loop_over_users(log: InteractionLog, max_length: int, mode: WindowMode) -> None:
    made = windows(log, max_length, mode)
    assert rows_of(made) == slow_windows(log, max_length, mode)
    assert (made.start <= made.end).all()
    on_root = slow_windows(log.root, max_length, mode)
    assert made.dealt_lengths.tolist() == [len(rows) for rows in on_root]
    assert made.n_instances == sum(max(len(rows) - 1, 0) for rows in rows_of(made))
    assert made.n_dealt_instances == sum(max(len(rows) - 1, 0) for rows in on_root)


def test_last_takes_the_end_of_each_history() -> None:
    made = windows(of_lengths(5, 0, 1, 2), max_length=3)
    assert rows_of(made) == [[1, 2, 3, 4], [], [5], [6, 7]]
    assert made.dealt_lengths.tolist() == [4, 0, 1, 2]


def test_all_cuts_at_every_lth_interaction_and_shares_the_border() -> None:
    made = windows(of_lengths(8, 0, 1, 2, 4), max_length=3, mode="all")
    expected = [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7], [], [8], [9, 10], [11, 12, 13, 14]]
    assert rows_of(made) == expected


@pytest.mark.parametrize(
    ("kind", "rows", "expected"),
    [
        # A log of one user, rows 0..7 and windows 0123, 3456, 67; the second user shows where the first one ends.
        ("delete", [3], ["0124", "456", "67"]),
        ("delete", [3, 4, 5, 6], ["0127", "7", "7"]),
        ("delete", [6, 7], ["0123", "345", ""]),
        ("delete", [0, 1, 2, 3, 4, 5, 6, 7], ["", "", ""]),
        ("replace", [3], ["12x4", "456", "67"]),
        ("replace", [3, 4, 5, 6, 7], ["xxxx", "", ""]),
        ("insert", [0], ["0123", "3456", "67"]),
        ("insert", [3], ["12x3", "3456", "67"]),
        ("insert", [4], ["0123", "x456", "67"]),
        ("insert", [7], ["0123", "3456", "6x7"]),
    ],
)
def test_borders_under_edits_worked_by_hand(kind: EditKind, rows: list[int], expected: list[str]) -> None:
    root = of_lengths(8, 3)
    name = {identifier: str(row) for row, identifier in enumerate(root.interaction_ids.tolist())}
    made = windows(edited(root, kind, rows), 3, "all")
    shown = ["".join(name.get(identifier, "x") for identifier, _ in window) for window in contents(made)]
    assert shown == [*expected, "8910"]
    assert made.dealt_lengths.tolist() == [4, 4, 2, 3]


def test_a_window_ends_with_its_user_where_the_next_survivor_is_far() -> None:
    # The border 6 and what follows it are gone, and the next user begins with a row that is new.
    log = edited(edited(of_lengths(8, 3), "delete", [6, 7]), "replace", [6])
    made = windows(log, 3, "all")
    assert made.start.tolist() == [0, 3, 6, 6]
    assert made.end.tolist() == [4, 6, 6, 9]


@settings(deadline=None)
@given(logs(), LENGTHS)
def test_in_mode_all_each_interaction_but_a_users_first_is_an_instance_once(
    log: InteractionLog, max_length: int
) -> None:
    made = windows(log, max_length, "all")
    firsts = {rows[0] for rows in segments(log) if rows}
    assert Counter(made.instances().end.tolist()) == Counter(set(range(len(log))) - firsts)


@settings(deadline=None)
@given(logs(), st.data(), LENGTHS)
def test_the_same_holds_after_any_deletion(log: InteractionLog, data: st.DataObject, max_length: int) -> None:
    assume(len(log))
    left = edited(log, "delete", sorted(data.draw(st.sets(st.integers(0, len(log) - 1)))))
    firsts = {rows[0] for rows in segments(left) if rows}
    instances = windows(left, max_length, "all").instances()
    assert Counter(instances.end.tolist()) == Counter(set(range(len(left))) - firsts)
    assert (instances.end - instances.start <= max_length).all()


@settings(deadline=None)
@given(edited_logs(), LENGTHS, st.sampled_from(MODES))
def test_no_window_is_too_long_or_crosses_users_and_no_instance_is_named_twice(
    log: InteractionLog, max_length: int, mode: WindowMode
) -> None:
    made = windows(log, max_length, mode)
    for rows in rows_of(made):
        assert len(rows) <= max_length + 1
        assert len({int(log.users[row]) for row in rows}) <= 1
    targets = made.instances().end.tolist()
    assert len(targets) == len(set(targets))


@settings(deadline=None)
@given(logs(), st.data(), LENGTHS, st.sampled_from(MODES), st.sampled_from(KINDS))
def test_an_edit_moves_neither_number_nor_order_of_windows_nor_windows_elsewhere(
    log: InteractionLog, data: st.DataObject, max_length: int, mode: WindowMode, kind: EditKind
) -> None:
    assume(len(log))
    row = data.draw(st.integers(0, len(log) - 1))
    before = windows(log, max_length, mode)
    after = windows(edited(log, kind, [row]), max_length, mode)
    assert len(after.start) == len(before.start)
    assert after.dealt_lengths.tolist() == before.dealt_lengths.tolist()
    user = next(number for number, rows in enumerate(segments(log)) if row in rows)
    for window, (old, new) in enumerate(zip(contents(before), contents(after), strict=True)):
        rows = rows_of(before)[window]
        touched = row in rows if mode == "all" else bool(rows) and log.users[rows[0]] == user
        if not touched:
            assert new == old


@settings(deadline=None)
@given(logs(), st.data(), LENGTHS, st.sampled_from(MODES), st.sampled_from(KINDS))
def test_an_instance_is_named_by_what_it_predicts(
    log: InteractionLog, data: st.DataObject, max_length: int, mode: WindowMode, kind: EditKind
) -> None:
    assume(len(log))
    rows = sorted(data.draw(st.sets(st.integers(0, len(log) - 1), max_size=3)))
    item_of = dict(zip(log.interaction_ids.tolist(), log.items.tolist(), strict=True))
    instances = windows(edited(log, kind, rows), max_length, mode).instances()
    for identifier, target, end in zip(instances.ids, instances.targets, instances.end, strict=True):
        assert target == instances.log.items[end]
        if identifier >= 0:
            assert target == item_of[int(identifier)]
        else:
            assert target == N_ITEMS - 1
            assert kind != "delete"


@settings(deadline=None)
@given(edited_logs(), LENGTHS, st.sampled_from(MODES))
def test_instances_agree_with_a_loop(log: InteractionLog, max_length: int, mode: WindowMode) -> None:
    made = windows(log, max_length, mode)
    expected = [
        (rows[0], row, log.items[row], log.interaction_ids[row], log.users[row])
        for rows in rows_of(made)
        for row in rows[1:]
    ]
    got = made.instances()
    assert list(zip(got.start, got.end, got.targets, got.ids, got.users, strict=True)) == expected


def test_is_first_marks_the_first_instance_of_each_user() -> None:
    instances = windows(of_lengths(3, 1, 4), 2, "all").instances()
    assert instances.users.tolist() == [0, 0, 2, 2, 2]
    assert instances.is_first.tolist() == [True, False, True, False, False]
    assert instances.subset(slice(1, 4)).is_first.tolist() == [True, True, False]


def test_an_unknown_mode_and_an_empty_input_length_are_refused() -> None:
    with pytest.raises(OptionError, match=r"'lst'.*last, all"):
        windows(of_lengths(3), 2, cast(WindowMode, "lst"))
    with pytest.raises(OptionError, match="at least 1"):
        windows(of_lengths(3), 0)


# Dealing


@settings(deadline=None)
@given(edited_logs(), LENGTHS, st.sampled_from(MODES), st.integers(1, 5), st.integers(0, 3))
def test_each_window_is_dealt_once_into_batches_of_nearly_equal_positions(
    log: InteractionLog, max_length: int, mode: WindowMode, batch_size: int, epoch: int
) -> None:
    made = windows(log, max_length, mode)
    dealt = made.deal(batch_size, seed=0, epoch=epoch)
    useful = sum(length > 1 for length in made.dealt_lengths)
    assert len(dealt) == made.n_batches(batch_size) == max(1, int(np.ceil(useful / batch_size)))
    assert sorted(np.concatenate(dealt).tolist()) == list(range(len(made.start)))
    weight = np.maximum(made.dealt_lengths - 1, 0)
    average = weight.sum() / len(dealt)
    for batch in dealt:
        assert abs(weight[batch].sum() - average) <= weight.max()


def test_a_batch_holds_windows_of_similar_length() -> None:
    made = windows(of_lengths(*np.random.default_rng(0).integers(2, 50, 200).tolist()))
    spans = sorted((made.dealt_lengths[b].min(), made.dealt_lengths[b].max()) for b in made.deal(10, 0, 0))
    for (_, longest), (shortest, _) in pairwise(spans):
        assert longest <= shortest


@settings(deadline=None)
@given(edited_logs(), LENGTHS, st.sampled_from(MODES), st.integers(1, 5))
def test_an_edited_log_is_dealt_as_its_original(
    log: InteractionLog, max_length: int, mode: WindowMode, batch_size: int
) -> None:
    dealt = windows(log, max_length, mode).deal(batch_size, seed=4, epoch=2)
    original = windows(log.root, max_length, mode).deal(batch_size, seed=4, epoch=2)
    assert [batch.tolist() for batch in dealt] == [batch.tolist() for batch in original]


def test_seeds_and_epochs_deal_differently_and_the_same_ones_alike() -> None:
    made = windows(of_lengths(*[6] * 40), 5)

    def partition(seed: int, epoch: int) -> frozenset[frozenset[int]]:
        return frozenset(frozenset(batch.tolist()) for batch in made.deal(4, seed, epoch))

    def order(seed: int, epoch: int) -> list[list[int]]:
        return [batch.tolist() for batch in made.deal(4, seed, epoch)]

    assert order(0, 0) == order(0, 0)
    assert len({partition(seed, epoch) for seed in range(3) for epoch in range(3)}) == 9


def test_batches_come_in_random_order_of_length() -> None:
    made = windows(of_lengths(*range(2, 42)))
    firsts = [[int(made.dealt_lengths[batch].min()) for batch in made.deal(4, 0, epoch)] for epoch in range(5)]
    assert all(lengths != sorted(lengths) for lengths in firsts)
    assert len({tuple(lengths) for lengths in firsts}) == 5


# Batches


def history(batch: SequenceBatch, position: int) -> tuple[list[int], list[int]]:
    """Items and times that a causal model has read at a position."""
    width = batch.items.shape[1]
    row, column = divmod(position, width)
    return batch.items[row, : column + 1].tolist(), batch.times[row, : column + 1].tolist()


def test_the_batch_of_the_module_docstring() -> None:
    log = packed([[(0, 3), (1, 4), (2, 5), (3, 9)], [(6, 0)], [(4, 7), (5, 8)]])
    batch = windows(log).batch(np.array([0, 1, 2]))
    assert batch.items.tolist() == [[0, 1, 2], [4, PADDING, PADDING]]
    assert batch.times.tolist() == [[3, 4, 5], [7, 0, 0]]
    assert batch.lengths.tolist() == [3, 1]
    assert batch.positions.tolist() == [0, 1, 2, 3]
    assert batch.targets.tolist() == [1, 2, 3, 5]
    assert batch.ids.tolist() == log.interaction_ids[[1, 2, 3, 6]].tolist()
    assert batch.at_positions(torch.arange(12).view(2, 3, 2)).tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]


@settings(deadline=None)
@given(edited_logs(), LENGTHS, st.sampled_from(MODES), st.data())
def test_batch_agrees_with_a_loop(log: InteractionLog, max_length: int, mode: WindowMode, data: st.DataObject) -> None:
    made = windows(log, max_length, mode)
    chosen = data.draw(st.permutations(range(len(made.start))))[: data.draw(st.integers(0, 6))]
    batch = made.batch(np.array(chosen, dtype=np.int64))
    kept = [rows for rows in (rows_of(made)[window] for window in chosen) if len(rows) > 1]
    width = max([len(rows) - 1 for rows in kept], default=1)
    assert batch.items.shape == batch.times.shape == (len(kept), width)
    assert batch.lengths.tolist() == [len(rows) - 1 for rows in kept]
    for row, rows in enumerate(kept):
        padding = width - len(rows) + 1
        assert batch.items[row].tolist() == [*log.items[rows[:-1]].tolist(), *[PADDING] * padding]
        assert batch.times[row].tolist() == [*log.times[rows[:-1]].tolist(), *[0] * padding]
    predicted = [(row, at, target) for row, rows in enumerate(kept) for at, target in enumerate(rows[1:])]
    assert batch.positions.tolist() == [row * width + at for row, at, _ in predicted]
    assert batch.targets.tolist() == [log.items[target] for *_, target in predicted]
    assert batch.ids.tolist() == [log.interaction_ids[target] for *_, target in predicted]
    assert {x.dtype for x in (batch.items, batch.times, batch.lengths, batch.positions, batch.targets)} == {torch.int64}


def test_a_batch_moves_to_a_device_as_a_whole() -> None:
    batch = windows(of_lengths(3, 4)).batch(np.array([0, 1]))
    assert batch.to(torch.device("cpu")) is batch
    moved = batch.to(torch.device("meta"))
    tensors = (moved.items, moved.times, moved.lengths, moved.positions, moved.targets)
    assert {x.device.type for x in tensors} == {"meta"}
    assert moved.ids is batch.ids


@pytest.mark.parametrize("name", sorted(MODELS))
def test_models_take_the_empty_batches_that_a_long_window_makes(name: str) -> None:
    made = windows(of_lengths(2, 2, 50))
    dealt = made.deal(batch_size=1, seed=0, epoch=0)
    assert 0 in [len(batch) for batch in dealt]
    model = build_model(name, N_ITEMS, 0, {"hidden": 8})
    batch = made.batch(np.empty(0, dtype=np.int64))
    scores = model.scores(batch.at_positions(model.hidden(batch)))
    assert scores.shape == (0, N_ITEMS)
    scores.sum().backward()


@st.composite
def asked(draw: st.DrawFn) -> Instances:
    """Instances in any order, of windows, of prefixes of whole histories, or of both; some without a target."""
    log = draw(edited_logs(max_edits=1))
    made = [
        windows(log, draw(LENGTHS), draw(st.sampled_from(MODES))).instances() for _ in range(draw(st.integers(1, 2)))
    ]
    start = np.concatenate([some.start for some in made])
    end = np.concatenate([some.end for some in made])
    chosen = np.array(draw(st.permutations(range(len(start))))[: draw(st.integers(0, 40))], dtype=np.int64)
    targets = np.where(chosen % 3 == 0, -1, log.items[end[chosen]]).astype(np.int32)
    return Instances(log, start[chosen], end[chosen], targets, np.where(targets < 0, -1, chosen))


@settings(deadline=None, max_examples=200)
@given(asked(), st.integers(1, 30), st.booleans())
def test_batches_cover_each_instance_once_with_its_history(
    instances: Instances, max_positions: int, shared: bool
) -> None:
    seen: list[int] = []
    n_rows = 0
    for members, batch in instances.batches(max_positions, shared=shared):
        seen += members.tolist()
        n_rows += len(batch.items)
        assert len(batch.items) == 1 or batch.items.numel() <= max_positions
        assert batch.items.shape[1] == int(batch.lengths.max())
        positions = batch.positions.tolist()
        assert positions == sorted(positions)
        assert len(positions) == len(members) == len(batch.targets) == len(batch.ids)
        for member, position in zip(members, positions, strict=True):
            rows = slice(instances.start[member], instances.end[member])
            assert history(batch, position) == (instances.log.items[rows].tolist(), instances.log.times[rows].tolist())
        assert batch.targets.tolist() == instances.targets[members].tolist()
        assert batch.ids.tolist() == instances.ids[members].tolist()
        column = torch.arange(batch.items.shape[1])
        assert ((batch.items == PADDING) == (column >= batch.lengths[:, None])).all()
    assert sorted(seen) == list(range(len(instances)))
    assert n_rows == (len(set(instances.start.tolist())) if shared else len(instances))


def test_sharing_encodes_a_history_once_and_batches_fill_up_to_the_bound() -> None:
    instances = windows(of_lengths(5, 5, 5), 4).instances()
    shapes = {
        shared: [tuple(batch.items.shape) for _, batch in instances.batches(8, shared=shared)]
        for shared in (True, False)
    }
    assert shapes[True] == [(2, 4), (1, 4)]
    # Lengths 1 1 1 2 | 2 2 | 3 3 | 3 4 | 4 4: one row more would make 10, 9, 9, 12 positions.
    assert shapes[False] == [(4, 2), (2, 2), (2, 3), (2, 4), (2, 4)]


def test_a_row_longer_than_the_bound_is_a_batch_of_its_own() -> None:
    instances = windows(of_lengths(9, 2), 8).instances()
    assert [tuple(batch.items.shape) for _, batch in instances.batches(3, shared=True)] == [(1, 1), (1, 8)]


def test_no_instances_make_no_batches() -> None:
    instances = windows(of_lengths(1, 0)).instances()
    assert list(instances.batches(10, shared=True)) == []
    assert list(instances.batches(10, shared=False)) == []


@given(st.lists(st.integers(0, 5)))
def test_ranges_counts_each_length(lengths: list[int]) -> None:
    as_array: NDArray[np.int64] = np.array(lengths, dtype=np.int64)
    assert ranges(as_array).tolist() == [i for length in lengths for i in range(length)]
