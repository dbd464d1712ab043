"""The cascading score against a breadth-first search, and sketches against what they estimate."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_logs import logs, make, of_lengths

from finestrec.data.log import InteractionLog
from finestrec.data.simulator import SimulatorOptions, simulate
from finestrec.errors import OptionError
from finestrec.perturbation import cascade
from finestrec.perturbation.cascade import Cascade
from finestrec.perturbation.edits import edit


def edges(log: InteractionLog, max_length: int) -> dict[int, set[int]]:
    """Where each row leads: literally as METHOD, section 4, has it."""
    order = log.order().tolist()
    users, items = log.users.tolist(), log.items.tolist()
    of_user = {user: [row for row in order if users[row] == user] for user in users}
    recent = {row for rows in of_user.values() for row in rows[-max_length:]}
    lead: dict[int, set[int]] = {row: set() for row in order}
    for place, row in enumerate(order):
        later = order[place + 1 :]
        for column in (users, items):
            following = next((other for other in later if column[other] == column[row]), None)
            if following is not None and {row, following} <= recent:
                lead[row].add(following)
    return lead


def searched(log: InteractionLog, max_length: int) -> list[int]:
    """Reachable rows of each row, itself included, by breadth-first search."""
    lead = edges(log, max_length)
    found = []
    for row in range(len(log)):
        seen, queue = {row}, [row]
        while queue:
            fresh = lead[queue.pop(0)] - seen
            seen |= fresh
            queue += sorted(fresh)
        found.append(len(seen))
    return found


@settings(deadline=None, max_examples=300)
@given(logs(min_rows=1), st.integers(1, 7))
def test_exact_scores_agree_with_breadth_first_search(log: InteractionLog, max_length: int) -> None:
    made = Cascade.of(log, max_length)
    assert made.scores("exact").tolist() == searched(log, max_length)
    reached = set().union(*edges(log, max_length).values())
    assert np.flatnonzero(made.is_root()).tolist() == [row for row in range(len(log)) if row not in reached]


@settings(deadline=None, max_examples=100)
@given(logs(min_rows=2), st.integers(1, 7), st.data())
def test_edited_logs_have_scores_too(log: InteractionLog, max_length: int, data: st.DataObject) -> None:
    rows = np.array(sorted(data.draw(st.sets(st.integers(0, len(log) - 1), min_size=1))))
    for kind in ("replace", "insert"):
        edited = edit(log, kind, rows, np.zeros(len(rows), dtype=np.int32)).log
        assert Cascade.of(edited, max_length).scores("exact").tolist() == searched(edited, max_length)


@settings(deadline=None, max_examples=100)
@given(logs(min_rows=1), st.integers(1, 7), st.integers(0, 99))
def test_a_sketch_that_is_not_full_is_exact(log: InteractionLog, max_length: int, seed: int) -> None:
    made = Cascade.of(log, max_length)
    assert made.scores("sketch", seed=seed, sketch_size=len(log) + 3).tolist() == searched(log, max_length)


def test_scores_by_hand() -> None:
    # The log of the module's docstring.
    log = make([[(0, 1), (1, 3)], [(0, 2), (1, 4), (2, 5)]])
    assert Cascade.of(log).scores().tolist() == [5, 3, 3, 2, 1]
    assert Cascade.of(log).is_root().tolist() == [True, False, False, False, False]
    # With L = 1 only the last interaction of each user has edges, and none leads anywhere.
    assert Cascade.of(log, 1).scores().tolist() == [1, 1, 1, 1, 1]
    assert Cascade.of(log, 1).is_root().all()


def test_no_edge_passes_over_an_interaction_outside_the_window() -> None:
    # Item 0 at times 1, 2 and 9; at time 2 outside its user's last two. From 1 no edge leads on to 9.
    log = make([[(0, 1)], [(0, 2), (1, 3), (2, 4)], [(0, 9)]])
    assert Cascade.of(log, 2).scores()[0] == 1
    assert Cascade.of(log, 3).scores()[0] == 5


def test_blocks_of_bits_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    log = simulate(SimulatorOptions(users=60, items=20, interactions=900), seed=1)
    expected = searched(log, 10)
    for words in (1, 3, 64):
        monkeypatch.setattr(cascade, "_WORDS", words)
        assert Cascade.of(log, 10).scores("exact").tolist() == expected


def test_sketches_have_no_bias_and_the_stated_error() -> None:
    log = simulate(SimulatorOptions(users=80, items=30, interactions=1500), seed=2)
    made = Cascade.of(log)
    exact = made.scores("exact")
    size, seeds = 34, 400
    estimates = np.stack([made.scores("sketch", seed=seed, sketch_size=size) for seed in range(seeds)])
    small = exact < size
    assert small.any()
    assert (estimates[:, small] == exact[small]).all()
    relative = estimates[:, ~small] / exact[~small] - 1
    bound = 1 / np.sqrt(size - 2)
    spread = np.sqrt((relative**2).mean(axis=0))
    # Chance alone moves a spread over 400 draws by some 4%, a mean by bound / 20.
    assert spread.max() < 1.2 * bound
    assert np.abs(relative.mean(axis=0)).max() < 5 * bound / np.sqrt(seeds)
    # Sets of nearly everything are known better, as draws without replacement are; small ones are not.
    of_tenth = (exact[~small] < len(log) / 10) & (exact[~small] > 2 * size)
    assert spread[of_tenth].mean() > 0.7 * bound


def test_sketches_depend_on_the_seed_and_exact_scores_do_not() -> None:
    made = Cascade.of(simulate(SimulatorOptions(users=80, items=30, interactions=1500), seed=2))
    first, again, other = (made.scores("sketch", seed=seed, sketch_size=8).tolist() for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert made.scores("exact", seed=0).tolist() == made.scores("exact", seed=1).tolist()


def test_auto_is_exact_up_to_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Cascade.of(simulate(SimulatorOptions(users=80, items=30, interactions=1500), seed=2))
    n = len(made.log)
    exact, sketched = made.scores("exact").tolist(), made.scores("sketch").tolist()
    assert exact != sketched
    monkeypatch.setattr(cascade, "MAX_EXACT", n)
    assert made.scores("auto").tolist() == exact
    monkeypatch.setattr(cascade, "MAX_EXACT", n - 1)
    assert made.scores("auto").tolist() == sketched


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda log: Cascade.of(log, 0), "the longest input is 0"),
        (lambda log: Cascade.of(log).scores("best"), "unknown method 'best'; known are auto, exact, sketch"),
        (lambda log: Cascade.of(log).scores("sketch", sketch_size=2), "take 3 or more"),
    ],
)
def test_bad_arguments_are_refused(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(OptionError, match=message):
        call(of_lengths(3))


def test_a_log_of_nothing_has_no_scores() -> None:
    log = of_lengths(0, 0)
    assert Cascade.of(log).scores("exact").shape == Cascade.of(log).scores("sketch").shape == (0,)
