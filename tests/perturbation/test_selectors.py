from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from small_logs import logs, of_lengths

from finestrec.data.log import InteractionLog
from finestrec.errors import OptionError
from finestrec.perturbation.edits import edit
from finestrec.perturbation.selectors import SELECTORS, random_rows


def ids_of(log: InteractionLog, count: int, seed: int = 0) -> set[int]:
    return set(log.interaction_ids[random_rows(log, count, seed)].tolist())


@settings(deadline=None)
@given(logs(min_rows=1), st.data(), st.sampled_from(sorted(SELECTORS)))
def test_selectors_give_distinct_ascending_rows_of_the_log(log: InteractionLog, data: st.DataObject, name: str) -> None:
    rows = SELECTORS[name](log, 1, data.draw(st.integers(0, 99)))
    assert rows.dtype == np.int64
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert len(rows) >= 1
    assert set(rows.tolist()) <= set(range(len(log)))


@settings(deadline=None)
@given(logs(), st.data())
def test_random_gives_as_many_rows_as_asked_and_the_same_for_the_same_seed(
    log: InteractionLog, data: st.DataObject
) -> None:
    count = data.draw(st.integers(0, len(log)))
    rows = random_rows(log, count, 3)
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert len(rows) == count
    assert random_rows(log, count, 3).tolist() == rows.tolist()


def test_random_picks_every_row_equally_often() -> None:
    log = of_lengths(7, 0, 1, 12)
    picked = [int(random_rows(log, 1, seed)[0]) for seed in range(3000)]
    assert chisquare(np.bincount(picked, minlength=20)).pvalue > 1e-3


def test_random_picks_every_pair_equally_often() -> None:
    log = of_lengths(4, 2)
    picked = Counter(tuple(random_rows(log, 2, seed).tolist()) for seed in range(3000))
    counts = [picked[pair] for pair in combinations(range(6), 2)]
    assert sum(counts) == 3000
    assert chisquare(counts).pvalue > 1e-3


def test_indices_and_streams_draw_anew() -> None:
    log = of_lengths(50, 50)
    draws = [
        random_rows(log, 10, 0),
        random_rows(log, 10, 1),
        random_rows(log, 10, 0, 0),
        random_rows(log, 10, 0, 1),
        random_rows(log, 10, 0, stream="simulation"),
    ]
    assert len({tuple(rows.tolist()) for rows in draws}) == 5


@settings(deadline=None)
@given(logs(min_rows=2), st.data())
def test_a_removed_interaction_changes_at_most_one_selected_row(log: InteractionLog, data: st.DataObject) -> None:
    removed = data.draw(st.integers(0, len(log) - 1))
    count = data.draw(st.integers(0, len(log) - 1))
    left = edit(log, "delete", np.array([removed])).log
    before, after = ids_of(log, count), ids_of(left, count)
    assert len(before - after) == len(after - before) <= 1
    if int(log.interaction_ids[removed]) not in before:
        assert after == before


@settings(deadline=None)
@given(logs(min_rows=2), st.data(), st.sampled_from(["replace", "insert"]))
def test_a_new_interaction_changes_at_most_one_selected_row(
    log: InteractionLog, data: st.DataObject, kind: str
) -> None:
    row = data.draw(st.integers(0, len(log) - 1))
    count = data.draw(st.integers(0, len(log)))
    changed = edit(log, "insert" if kind == "insert" else "replace", np.array([row]), np.zeros(1, dtype=np.int32)).log
    before, after = ids_of(log, count), ids_of(changed, count)
    assert len(before - after) <= 1
    assert len(after - before) <= 1


def test_rows_without_an_id_are_drawn_as_often_as_others() -> None:
    log = edit(of_lengths(6, 4), "replace", np.array([1, 4, 7]), np.zeros(3, dtype=np.int32)).log
    picked = [int(random_rows(log, 1, seed)[0]) for seed in range(2000)]
    assert chisquare(np.bincount(picked, minlength=10)).pvalue > 1e-3


@pytest.mark.parametrize("count", [-1, 6])
def test_counts_out_of_range_are_refused(count: int) -> None:
    with pytest.raises(OptionError, match=f"{count} were asked for, but there are 5; ask for fewer"):
        random_rows(of_lengths(3, 2), count, 0)
