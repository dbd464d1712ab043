"""Masked batches against loops over windows and interactions."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from packed import KINDS, edited, edited_logs, logs, of_lengths, packed, segments

from finestrec.data.log import InteractionLog
from finestrec.data.masking import every_mask_once, mask_behind, random_masks
from finestrec.data.sequences import MASK, PADDING, Instances, SequenceBatch, WindowMode, Windows, windows
from finestrec.perturbation.edits import EditKind
from finestrec.randomness import hashed

MODES = st.sampled_from(["last", "all"])
LENGTHS = st.integers(1, 6)
SHARES = st.sampled_from([0.05, 0.2, 0.5, 0.95])


def check(batch: SequenceBatch, log: InteractionLog, rows: list[list[int]], masked: list[set[int]]) -> None:
    """The batch shows these log rows side by side, and asks for those that are masked."""
    width = max(map(len, rows), default=1)
    assert batch.items.shape == batch.times.shape == (len(rows), width)
    assert batch.lengths.tolist() == [len(row) for row in rows]
    asked = []
    for number, (row, hidden) in enumerate(zip(rows, masked, strict=True)):
        padding = width - len(row)
        items = [MASK if at in hidden else int(log.items[at]) for at in row]
        times = [0 if at in hidden else int(log.times[at]) for at in row]
        assert batch.items[number].tolist() == [*items, *[PADDING] * padding]
        assert batch.times[number].tolist() == [*times, *[0] * padding]
        asked += [(number * width + column, at) for column, at in enumerate(row) if at in hidden]
    assert batch.positions.tolist() == [position for position, _ in asked]
    if all(at < len(log) for _, at in asked):
        assert batch.targets.tolist() == [log.items[at] for _, at in asked]
        assert batch.ids.tolist() == [log.interaction_ids[at] for _, at in asked]


def slow_rows(made: Windows, max_length: int) -> list[tuple[list[int], list[int]]]:
    """What each window shows, and its training instances."""
    every = [list(range(start, end)) for start, end in zip(made.start, made.end, strict=True)]
    return [(rows[-max_length:], rows[1:]) for rows in every]


def slow_draw(made: Windows, window: int, row: int, max_length: int, *indices: int) -> int:
    identifier = int(made.log.interaction_ids[row])
    new = -1 - window * (max_length + 1) - (row - int(made.start[window]))
    return int(hashed(np.array([identifier if identifier >= 0 else new]), indices[0], "mask", *indices[1:])[0])


@settings(deadline=None)
@given(edited_logs(), LENGTHS, MODES, SHARES, st.integers(0, 9), st.data())
def test_random_masks_agree_with_a_loop(
    log: InteractionLog, max_length: int, mode: WindowMode, share: float, epoch: int, data: st.DataObject
) -> None:
    made = windows(log, max_length, mode)
    chosen = data.draw(st.permutations(range(len(made.start))))[: data.draw(st.integers(0, 6))]
    shown, masked = [], []
    for window in chosen:
        row, instances = slow_rows(made, max_length)[window]
        hidden = {at for at in instances if slow_draw(made, window, at, max_length, 3, epoch) / 2**64 < share}
        if hidden:
            shown.append(row)
            masked.append(hidden)
    batch = random_masks(made, np.array(chosen, dtype=np.int64), max_length, share, 3, epoch)
    check(batch, log, shown, masked)


@settings(deadline=None)
@given(edited_logs(), LENGTHS, MODES, st.integers(1, 5), st.integers(1, 40))
def test_every_instance_is_masked_once_over_the_groups(
    log: InteractionLog, max_length: int, mode: WindowMode, n_groups: int, max_positions: int
) -> None:
    made = windows(log, max_length, mode)
    instances = made.instances()
    windows_by_target = {at: number for number, (_, ats) in enumerate(slow_rows(made, max_length)) for at in ats}
    asked: list[int] = []
    for members, batch in every_mask_once(made, max_length, n_groups, max_positions):
        assert len(batch.items) == 1 or batch.items.numel() <= max_positions
        asked += members.tolist()
        by_row = defaultdict(set)
        row_of_position = batch.positions.numpy() // batch.items.shape[1]
        for row, target in zip(row_of_position.tolist(), instances.end[members].tolist(), strict=True):
            by_row[row].add(target)
        shown, masked = [], [by_row[row] for row in range(len(batch.items))]
        for hidden in masked:
            (window,) = {windows_by_target[at] for at in hidden}
            row, ats = slow_rows(made, max_length)[window]
            (group,) = {slow_draw(made, window, at, max_length, 0) % n_groups for at in hidden}
            assert hidden == {at for at in ats if slow_draw(made, window, at, max_length, 0) % n_groups == group}
            shown.append(row)
        check(batch, log, shown, masked)
    assert sorted(asked) == list(range(len(instances)))


@settings(deadline=None)
@given(logs(), LENGTHS, MODES, st.integers(1, 40))
def test_the_mask_stands_behind_what_came_before(
    log: InteractionLog, max_length: int, mode: WindowMode, max_positions: int
) -> None:
    max_length += 1
    instances = windows(log, max_length, mode).instances()
    asked: list[int] = []
    for members, batch in mask_behind(instances, max_length, max_positions):
        assert len(batch.items) == 1 or batch.items.numel() <= max_positions
        asked += members.tolist()
        ends = instances.end[members].tolist()
        shown = [
            [*range(start, end + 1)][-max_length:]
            for start, end in zip(instances.start[members].tolist(), ends, strict=True)
        ]
        check(batch, log, shown, [{end} for end in ends])
    assert sorted(asked) == list(range(len(instances)))


def test_behind_a_whole_log_is_no_row_to_read() -> None:
    log = of_lengths(2, 3)
    unknown = np.array([-1, -1])
    instances = Instances(log, log.offsets[:-1], log.offsets[1:], unknown.astype(np.int32), unknown)
    ((members, batch),) = mask_behind(instances, 3, 100)
    assert members.tolist() == [0, 1]
    items = log.items.tolist()
    assert batch.items.tolist() == [[items[0], items[1], MASK], [items[3], items[4], MASK]]
    assert batch.targets.tolist() == batch.ids.tolist() == [-1, -1]


def test_the_batch_of_the_module_docstring() -> None:
    log = packed([[(item, item) for item in range(5)], [(5, 8), (6, 9)]])
    made = windows(log, 4)
    wanted = set(log.interaction_ids[[2, 4, 6]].tolist())
    epoch = next(
        epoch
        for epoch in range(10_000)
        if set(random_masks(made, np.arange(2), 4, 0.5, 0, epoch).ids.tolist()) == wanted
    )
    batch = random_masks(made, np.arange(2), 4, 0.5, 0, epoch)
    assert batch.items.tolist() == [[1, MASK, 3, MASK], [5, MASK, PADDING, PADDING]]
    assert batch.lengths.tolist() == [4, 2]
    assert batch.positions.tolist() == [1, 3, 5]
    assert batch.targets.tolist() == [2, 4, 6]


def masks(log: InteractionLog, max_length: int, mode: WindowMode) -> list[dict[str, set[int]]]:
    """Ids that random masks and the copies of the reference batches hide, window by window."""
    made = windows(log, max_length, mode)
    found = []
    for window in range(len(made.start)):
        one = Windows(log, made.start[[window]], made.end[[window]], made.dealt_lengths[[window]])
        batches = [batch for _, batch in every_mask_once(one, max_length, 3, 1)]
        copies = {f"copy {min(batch.ids)}": set(batch.ids.tolist()) for batch in batches}
        random = random_masks(made, np.array([window]), max_length, 0.4, 7, 2)
        found.append({"random": set(random.ids.tolist()), **copies})
    return found


@settings(deadline=None)
@given(logs(), st.data(), LENGTHS, MODES, st.sampled_from(KINDS))
def test_an_edit_changes_no_mask_of_another_interaction(
    log: InteractionLog, data: st.DataObject, max_length: int, mode: WindowMode, kind: EditKind
) -> None:
    """What is masked differs only by what the edit took away, brought, or let slide into or out of a window."""
    assume(len(log))
    row = data.draw(st.integers(0, len(log) - 1))
    after = edited(log, kind, [row])
    made, changed = windows(log, max_length, mode), windows(after, max_length, mode)
    user = next(number for number, rows in enumerate(segments(log)) if row in rows)
    pairs = zip(masks(log, max_length, mode), masks(after, max_length, mode), strict=True)
    for window, (old, new) in enumerate(pairs):
        before, now = (
            set(w.log.interaction_ids[w.start[window] + 1 : w.end[window]].tolist()) for w in (made, changed)
        )
        assert old["random"] & now == new["random"] & before
        if made.start[window] < made.end[window] and log.users[made.start[window]] != user:
            assert old == new


@pytest.mark.parametrize("share", [0.2, 0.6])
def test_the_share_is_masked_at_every_place_of_a_window(share: float) -> None:
    made = windows(of_lengths(*[21] * 300), 20)
    counts = np.zeros(20)
    for epoch in range(5):
        batch = random_masks(made, np.arange(300), 20, share, 0, epoch)
        counts += np.bincount(batch.positions.numpy() % 20, minlength=20)
    # Five standard deviations of a place's count of 1500 draws, and of their sum.
    assert np.abs(counts / 1500 - share).max() < 5 * np.sqrt(share * (1 - share) / 1500)
    assert abs(counts.sum() / 30_000 - share) < 5 * np.sqrt(share * (1 - share) / 30_000)


def test_seeds_and_epochs_mask_differently_and_the_same_ones_alike() -> None:
    made = windows(of_lengths(*[11] * 30), 10)
    drawn = {
        (seed, epoch): tuple(random_masks(made, np.arange(30), 10, 0.2, seed, epoch).positions.tolist())
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(set(drawn.values())) == 9
    assert drawn[1, 2] == tuple(random_masks(made, np.arange(30), 10, 0.2, 1, 2).positions.tolist())


def test_windows_where_nothing_is_masked_make_no_rows() -> None:
    made = windows(of_lengths(1, 0, 2), 5)
    assert random_masks(made, np.array([0, 1]), 5, 0.9, 0, 0).items.shape == (0, 1)
    assert [batch.items.shape for _, batch in every_mask_once(made, 5, 5, 10)] == [(1, 2)]
