from collections import Counter
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import chisquare
from small_logs import logs, make, of_lengths

from finestrec.data.log import InteractionLog
from finestrec.errors import DataError, OptionError
from finestrec.perturbation.cascade import Cascade
from finestrec.perturbation.edits import edit
from finestrec.perturbation.selectors import (
    SELECTORS,
    casper_rows,
    earliest_rows,
    item_rows,
    latest_rows,
    listed,
    random_rows,
    rows_with_highest,
    user_rows,
)


def first_rows(log: InteractionLog) -> Callable[[str], NDArray[np.float64]]:
    """The score of a model that finds earlier rows more influential."""
    return lambda on: -np.arange(len(log), 0.0, -1) if on == "test" else np.arange(len(log), 0.0, -1)


def ids_of(log: InteractionLog, count: int, seed: int = 0) -> set[int]:
    return set(log.interaction_ids[random_rows(log, count, seed)].tolist())


@settings(deadline=None)
@given(logs(min_rows=1), st.data(), st.sampled_from(sorted(SELECTORS)))
def test_selectors_give_distinct_ascending_rows_of_the_log(log: InteractionLog, data: st.DataObject, name: str) -> None:
    rows = SELECTORS[name](log, 1, data.draw(st.integers(0, 99)), score=first_rows(log))
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


# earliest, latest


@settings(deadline=None)
@given(logs(), st.data(), st.integers(0, 99))
def test_earliest_and_latest_take_whole_rounds_of_users_and_a_part_of_the_next(
    log: InteractionLog, data: st.DataObject, seed: int
) -> None:
    count = data.draw(st.integers(0, len(log)))
    segments = [list(range(start, end)) for start, end in zip(log.offsets[:-1], log.offsets[1:], strict=True)]
    for select, ordered in ((earliest_rows, segments), (latest_rows, [rows[::-1] for rows in segments])):
        rounds = [{rows[place] for rows in ordered if len(rows) > place} for place in range(6)]
        rows = select(log, count, seed)
        assert rows.dtype == np.int64
        assert rows.tolist() == sorted(set(rows.tolist()))
        assert len(rows) == count
        left = set(rows.tolist())
        for members in rounds:
            assert members <= left or left <= members
            left -= members
        assert not left


@pytest.mark.parametrize("select", [earliest_rows, latest_rows])
def test_earliest_and_latest_draw_users_uniformly_however_long(select) -> None:  # type: ignore[no-untyped-def]
    log = of_lengths(7, 0, 1, 12, 2)
    picked = [int(log.users[select(log, 1, seed)][0]) for seed in range(2000)]
    assert chisquare(np.bincount(picked, minlength=5)[[0, 2, 3, 4]]).pvalue > 1e-3
    # Of the second round, drawn among those who have a second interaction.
    rest = [set(select(log, 5, seed).tolist()) - set(select(log, 4, seed).tolist()) for seed in range(2000)]
    assert all(len(rows) == 1 for rows in rest)
    second = np.bincount([int(log.users[list(rows)][0]) for rows in rest], minlength=5)
    assert second[[1, 2]].tolist() == [0, 0]
    assert chisquare(second[[0, 3, 4]]).pvalue > 1e-3


# user, item


@settings(deadline=None)
@given(logs(min_rows=1), st.data(), st.integers(0, 99))
def test_users_and_items_come_with_all_their_interactions(log: InteractionLog, data: st.DataObject, seed: int) -> None:
    for select, column in ((user_rows, log.users.tolist()), (item_rows, log.items.tolist())):
        count = data.draw(st.integers(1, len(set(column))))
        rows = select(log, count, seed).tolist()
        chosen = {column[row] for row in rows}
        assert len(chosen) == count
        assert rows == [row for row, value in enumerate(column) if value in chosen]


def test_users_and_items_are_drawn_uniformly_among_those_with_interactions() -> None:
    log = of_lengths(7, 0, 1, 12)
    users = [int(log.users[user_rows(log, 1, seed)[0]]) for seed in range(2000)]
    assert chisquare(np.bincount(users, minlength=4)[[0, 2, 3]]).pvalue > 1e-3
    present = sorted(set(log.items.tolist()))
    items = [int(log.items[item_rows(log, 1, seed)[0]]) for seed in range(2000)]
    assert chisquare([items.count(item) for item in present]).pvalue > 1e-3
    for select, there in ((user_rows, 3), (item_rows, len(present))):
        with pytest.raises(OptionError, match=f"{there + 1} were asked for, but there are {there}"):
            select(log, there + 1, 0)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ids.txt", "u2\nu0\n\nu2\n"),
        ("ids.csv", "n,user_id\n1,u2\n2,u0\n"),
        ("ids.tsv", "user_id\tn\nu0\t1\nu2\t2\n"),
    ],
)
def test_a_file_names_users(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert sorted(listed(of_lengths(2, 1, 3), "users", tmp_path / name).tolist()) == [0, 2]


def test_a_file_names_items(tmp_path: Path) -> None:
    log = make([[(0, 0), (2, 1)], [(1, 0)]])
    pl.DataFrame({"item_id": ["c", "a"]}).write_parquet(tmp_path / "items.parquet")
    assert listed(log, "items", tmp_path / "items.parquet").tolist() == [2, 0]


@pytest.mark.parametrize(
    ("unit", "content", "words"),
    [
        ("users", "u0\nu9\nu1\nu8", ["3 of 4 users", "'u9', 'u1', 'u8'", "data.min_length"]),  # u1 is empty
        ("users", "u1", ["1 of 1 users", "'u1'"]),
        ("users", "\n".join(f"v{n}" for n in range(9)), ["9 of 9 users", "'v0', 'v1', 'v2', 'v3', 'v4', ..."]),
        ("items", "z", ["1 of 1 items", "'z'"]),
        ("users", "", ["names no users", "user_id"]),
    ],
)
def test_unknown_ids_are_named(tmp_path: Path, unit: Literal["users", "items"], content: str, words: list[str]) -> None:
    (tmp_path / "ids.txt").write_text(content)
    log = of_lengths(4, 0, 2)
    with pytest.raises(DataError) as refusal:
        listed(log, unit, tmp_path / "ids.txt")
    for word in words:
        assert word in str(refusal.value)


# Scores


@settings(deadline=None)
@given(logs(min_rows=1), st.data())
def test_the_highest_scores_win_and_ties_go_to_the_lowest_id(log: InteractionLog, data: st.DataObject) -> None:
    n = len(log)
    scores = data.draw(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0]), min_size=n, max_size=n))
    allowed = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    count = data.draw(st.integers(0, sum(allowed)))
    ids = log.interaction_ids.tolist()
    best = sorted((row for row in range(n) if allowed[row]), key=lambda row: (-scores[row], ids[row]))
    rows = rows_with_highest(log, np.array(scores), count, np.array(allowed))
    assert rows.tolist() == sorted(best[:count])
    if all(allowed):
        assert rows_with_highest(log, np.array(scores), count).tolist() == rows.tolist()


def test_scores_that_cannot_select_are_refused() -> None:
    log = of_lengths(3, 1)
    with pytest.raises(DataError, match="row 2 is NaN"):
        rows_with_highest(log, np.array([0.0, 1.0, np.nan, 2.0]), 1)
    with pytest.raises(DataError, match=r"shape \(3,\); expected one a row, \(4,\)"):
        rows_with_highest(log, np.zeros(3), 1)
    with pytest.raises(OptionError, match="3 were asked for, but there are 2"):
        rows_with_highest(log, np.zeros(4), 3, np.array([True, False, True, False]))


@settings(deadline=None)
@given(logs(min_rows=1), st.data(), st.integers(1, 7))
def test_casper_takes_roots_or_all_by_cascading_score(
    log: InteractionLog, data: st.DataObject, max_length: int
) -> None:
    made = Cascade.of(log, max_length)
    ids, scores = log.interaction_ids.tolist(), made.scores().tolist()
    for candidates, pool in (("roots", np.flatnonzero(made.is_root()).tolist()), ("all", list(range(len(log))))):
        count = data.draw(st.integers(1, len(pool)))
        best = sorted(pool, key=lambda row: (-scores[row], ids[row]))[:count]
        rows = casper_rows(log, count, 0, max_length=max_length, candidates=candidates)
        assert rows.tolist() == sorted(best)
        assert max(scores) in [scores[row] for row in best], "the maximum is always at a root"


def test_more_roots_than_there_are_is_an_error() -> None:
    log = of_lengths(9)  # one user: one root
    with pytest.raises(OptionError, match=r"2 interactions were asked for, but only 1 of 9 are roots.*candidates=all"):
        casper_rows(log, 2, 0)
    assert len(casper_rows(log, 2, 0, candidates="all")) == 2
    with pytest.raises(OptionError, match="unknown candidates 'some'; known are roots, all"):
        casper_rows(log, 2, 0, candidates="some")  # type: ignore[arg-type]


def test_only_draws_depend_on_the_seed() -> None:
    log = of_lengths(*[5] * 40)
    for name, selector in SELECTORS.items():
        picked = {tuple(selector(log, 3, seed, score=first_rows(log)).tolist()) for seed in range(6)}
        assert (len(picked) > 1) == (name not in {"casper", "influence"})


def test_influence_takes_the_largest_absolute_scores_of_a_model() -> None:
    log = of_lengths(5, 5)
    assert SELECTORS["influence"](log, 3, 0, score=first_rows(log)).tolist() == [0, 1, 2]
    assert SELECTORS["influence"](log, 3, 0, score=first_rows(log), on="self").tolist() == [0, 1, 2]
    with pytest.raises(OptionError, match="influence is that of a trained model, and there is none here"):
        SELECTORS["influence"](log, 3, 0)


@settings(deadline=None)
@given(logs(min_rows=2), st.data(), st.sampled_from(["earliest", "latest", "user"]))
def test_an_erased_user_moves_only_what_takes_the_place(log: InteractionLog, data: st.DataObject, name: str) -> None:
    users = sorted(set(log.users.tolist()))
    count = data.draw(st.integers(0, len(users) - 1))
    gone = data.draw(st.sampled_from(users))
    left = edit(log, "delete", np.flatnonzero(log.users == gone)).log
    before = set(log.users[SELECTORS[name](log, count, 5)].tolist())
    after = set(left.users[SELECTORS[name](left, count, 5)].tolist())
    assert before - after <= {gone}
    assert len(after - before) <= 1
