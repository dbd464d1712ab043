from decimal import Decimal
from math import floor
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from packed import logs, of_lengths, packed, segments
from pydantic import ValidationError

from finestrec.data.log import InteractionLog
from finestrec.data.sequences import windows
from finestrec.data.splits import Split, SplitOptions, split, validation_split
from finestrec.errors import DataError, OptionError
from finestrec.perturbation.edits import edit

METHODS = ["last-fraction", "leave-one-out", "time", "none"]
PERCENTS = st.integers(1, 99)


def slow_test_rows(log: InteractionLog, method: str, fraction: Decimal) -> set[int]:
    if method == "time":
        everything = sorted(range(len(log)), key=lambda row: (log.times[row], log.interaction_ids[row]))
        return set(everything[len(log) - floor(fraction * len(log)) :])
    held_out: set[int] = set()
    for rows in segments(log):
        count = {"last-fraction": floor(fraction * len(rows)), "leave-one-out": int(len(rows) > 1), "none": 0}[method]
        if rows and count:
            held_out.update(rows[-count:])
    return held_out


@settings(deadline=None)
@given(logs(max_length=25), st.sampled_from(METHODS), PERCENTS)
def test_every_method_agrees_with_a_loop_over_users(log: InteractionLog, method: str, percent: int) -> None:
    held_out = slow_test_rows(log, method, Decimal(percent) / 100)
    options = SplitOptions.model_validate({"method": method, "fraction": percent / 100})
    if len(held_out) == len(log) or (method != "none" and not held_out):
        with pytest.raises(DataError):
            split(log, options)
        return
    made = split(log, options)
    assert set(np.flatnonzero(~made.is_train).tolist()) == held_out
    for user, rows in enumerate(segments(log)):
        n_train = int(made.n_train[user])
        assert made.is_train[rows].tolist() == [True] * n_train + [False] * (len(rows) - n_train)
    kept = [row for row in range(len(log)) if row not in held_out]
    assert made.train.items.tolist() == log.items[kept].tolist()
    assert made.train.times.tolist() == log.times[kept].tolist()
    assert made.train.interaction_ids.tolist() == log.interaction_ids[kept].tolist()
    assert made.train.users.tolist() == log.users[kept].tolist()
    assert made.train.vocabulary is log.vocabulary


@pytest.mark.parametrize(
    ("length", "held_out"), [(1, 0), (9, 0), (10, 1), (19, 1), (20, 2), (29, 2), (30, 3), (99, 9), (100, 10)]
)
def test_a_tenth_is_rounded_down(length: int, held_out: int) -> None:
    made = split(of_lengths(length, 10))
    assert made.n_train.tolist() == [length - held_out, 9]


@pytest.mark.parametrize(("fraction", "held_out"), [(0.29, 29), (0.57, 57), (0.07, 7), (0.58, 58)])
def test_a_decimal_fraction_means_what_it_says(fraction: float, held_out: int) -> None:
    assert floor(fraction * 100) in {held_out, held_out - 1}
    assert split(of_lengths(100), SplitOptions(fraction=fraction)).n_train.tolist() == [100 - held_out]
    by_time = split(of_lengths(60, 40), SplitOptions(method="time", fraction=fraction))
    assert int((~by_time.is_train).sum()) == held_out


def test_options_are_options() -> None:
    with pytest.raises(OptionError, match=r"the options of split are 'time'; expected SplitOptions"):
        split(of_lengths(20, 20), "time")  # type: ignore[arg-type]


def test_the_default_holds_out_the_last_tenth_of_each_user() -> None:
    made = split(of_lengths(30, 5, 10))
    assert made.n_train.tolist() == [27, 5, 9]
    assert np.flatnonzero(~made.is_train).tolist() == [27, 28, 29, 44]


def test_the_cut_in_time_is_one_for_all_users_and_ties_go_by_interaction_id() -> None:
    log = packed([[(0, 1), (1, 5), (2, 5)], [(3, 5), (4, 5)], [(5, 9), (6, 9)]], seed=3)
    made = split(log, SplitOptions(method="time", fraction=0.5))
    in_order = sorted(range(7), key=lambda row: (log.times[row], log.interaction_ids[row]))
    assert np.flatnonzero(~made.is_train).tolist() == sorted(in_order[4:])
    assert made.n_train[2] == 0, "a user who only comes after the cut has nothing to train on"


def test_none_trains_on_everything() -> None:
    log = of_lengths(3, 0, 1)
    made = split(log, SplitOptions(method="none"))
    assert made.is_train.all()
    assert made.train.fingerprint == log.fingerprint
    assert len(made.held_out(5)) == 0


@pytest.mark.parametrize(
    ("lengths", "options", "message"),
    [
        ((9, 3), {}, r"fraction 0\.1 holds out nothing: the longest history has 9 interactions.*or the method 'none'"),
        ((1, 1, 0), {"method": "leave-one-out"}, r"'leave-one-out' .*holds out nothing"),
        ((4,), {"method": "time", "fraction": 0.2}, "holds out nothing"),
        ((0, 0), {"method": "none"}, "leaves no training interactions"),
    ],
)
def test_a_split_with_an_empty_side_is_refused(lengths: tuple[int, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        split(of_lengths(*lengths), SplitOptions(**options))


@pytest.mark.parametrize(
    "options",
    [
        {"method": "random"},
        {"fraction": 0.0},
        {"fraction": 1.0},
        {"fraction": -0.1},
        {"fraction": float("nan")},
        {"fraction": float("inf")},
        {"fractions": 0.1},
    ],
)
def test_bad_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SplitOptions(**options)


def test_options_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        SplitOptions().fraction = 0.5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("length", "held_out"), [(0, 0), (1, 0), (2, 1), (3, 1), (10, 1), (19, 1), (20, 2), (39, 3), (100, 10)]
)
def test_validation_holds_out_the_last_tenth_but_at_least_one(length: int, held_out: int) -> None:
    made = validation_split(of_lengths(length, 4))
    assert made.n_train.tolist() == [length - held_out, 3]


@settings(deadline=None)
@given(logs(max_length=25))
def test_validation_keeps_something_of_every_user(log: InteractionLog) -> None:
    made = validation_split(log)
    for user, rows in enumerate(segments(log)):
        held_out = max(1, len(rows) // 10) if len(rows) > 1 else 0
        assert made.n_train[user] == len(rows) - held_out
    assert ((made.n_train > 0) == (log.lengths > 0)).all()


@settings(deadline=None)
@given(logs(max_length=25), st.sampled_from(METHODS), PERCENTS, st.integers(1, 12))
def test_held_out_instances_agree_with_a_loop(log: InteractionLog, method: str, percent: int, max_length: int) -> None:
    held_out = slow_test_rows(log, method, Decimal(percent) / 100)
    assume(held_out or method == "none")
    assume(len(held_out) < len(log))
    made = split(log, SplitOptions.model_validate({"method": method, "fraction": percent / 100}))
    expected = []
    for user, rows in enumerate(segments(log)):
        for position, row in enumerate(rows):
            if row in held_out and position > 0:
                history = rows[max(0, position - max_length) : position]
                expected.append((user, history[0], row, log.items[row], log.interaction_ids[row]))
    instances = made.held_out(max_length)
    columns = (instances.users, instances.start, instances.end, instances.targets, instances.ids)
    assert list(zip(*columns, strict=True)) == expected
    assert len(instances) == len(expected)
    assert instances.targets.dtype == np.int32


def test_a_test_instance_sees_training_and_earlier_test_interactions() -> None:
    log = of_lengths(20)
    instances = split(log).held_out(max_length=3)
    assert instances.start.tolist() == [15, 16]
    assert instances.end.tolist() == [18, 19]
    assert instances.is_first.tolist() == [True, False]


def test_a_first_interaction_is_never_a_test_instance() -> None:
    log = of_lengths(1, 3)
    made = Split(log=log, n_train=np.array([0, 0]))
    assert made.held_out(max_length=5).end.tolist() == [2, 3]


def test_validation_of_an_edited_log_is_cut_where_the_unperturbed_one_is() -> None:
    """Nothing is split again after a perturbation, and batches are still dealt from the unperturbed log."""
    log = of_lengths(12, 1, 30, 5)
    whole = validation_split(log)
    rows = np.array([0, 11, 20, 42, 47])  # training and held-out interactions of several users
    edited = edit(log, "delete", rows).log
    cut = validation_split(edited)
    gone = set(log.interaction_ids[rows].tolist())
    assert cut.train.interaction_ids.tolist() == [i for i in whole.train.interaction_ids.tolist() if i not in gone]
    assert cut.train.root is not cut.train
    assert cut.train.root.interaction_ids.tolist() == whole.train.interaction_ids.tolist()
    assert windows(cut.train).dealt_lengths.tolist() == windows(whole.train).dealt_lengths.tolist()
    erased = edit(log, "delete", np.arange(13, 43)).log
    assert validation_split(erased).n_train.tolist() == [*whole.n_train[:2].tolist(), 0, int(whole.n_train[3])]
