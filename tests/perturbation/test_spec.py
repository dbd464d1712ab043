from dataclasses import FrozenInstanceError, replace
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_logs import ITEMS, N_ITEMS, check_invariants, logs, make, of_lengths, rows_of

from finestrec.data.log import InteractionLog
from finestrec.data.sequences import WindowMode, windows
from finestrec.data.simulator import SimulatorOptions, simulate
from finestrec.errors import DataError, OptionError
from finestrec.perturbation.edits import EditKind
from finestrec.perturbation.selectors import SELECTORS, casper_rows, random_rows
from finestrec.perturbation.spec import Amount, Perturbation

KINDS = get_args(EditKind)
WORDS = {"random": "random", "popular": "most_popular", "least_popular": "least_popular"}


# Amounts


@pytest.mark.parametrize(
    ("text", "total", "count"),
    [
        ("1", 5, 1),
        ("5", 5, 5),
        ("50", 103_598, 50),
        ("007", 9, 7),
        ("0.001", 103_598, 103),
        ("1e-3", 103_598, 103),
        ("0.1%", 103_598, 103),
        (".5", 9, 4),
        ("1.0", 9, 9),
        ("1e0", 9, 9),
        ("100%", 9, 9),
        ("1%", 100, 1),
        ("1%", 199, 1),
        ("0.29", 100, 29),
        ("57%", 100, 57),
        ("0.01%", 10_000, 1),
    ],
)
def test_a_bare_integer_is_a_count_and_anything_else_a_fraction(text: str, total: int, count: int) -> None:
    amount = Amount.parse(text)
    assert amount.of(total) == count
    assert amount.text == text
    assert (amount.count is None) != (amount.fraction is None)


@settings(deadline=None)
@given(st.integers(1, 999_999), st.integers(1, 5_000_000))
def test_fractions_are_rounded_down_exactly(millionths: int, total: int) -> None:
    expected = floor(Fraction(millionths, 10**6) * total)
    for text in (f"{millionths / 10**6:.6f}", f"{millionths}e-6", f"{millionths / 10**4:.4f}%"):
        amount = Amount.parse(text)
        if expected:
            assert amount.of(total) == expected
        else:
            with pytest.raises(OptionError, match="it must be 1 to"):
                amount.of(total)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0", "the amount is 0, which perturbs nothing"),
        ("", "the amount '' is not a number"),
        ("many", "the amount 'many' is not a number"),
        ("%", "the amount '%' is not a number"),
        ("5%%", "the amount '5%%' is not a number"),
        ("1e", "the amount '1e' is not a number"),
        ("0.0", r"the amount 0\.0 is outside \(0, 1\]"),
        ("0%", r"outside \(0, 1\]"),
        ("-3", r"outside \(0, 1\]"),
        ("-0.1", r"outside \(0, 1\]"),
        ("1.5", r"outside \(0, 1\]"),
        ("101%", r"outside \(0, 1\]"),
        ("nan", r"outside \(0, 1\]"),
        ("inf", r"outside \(0, 1\]"),
        (" 1", "the amount ' 1' is neither a count nor a fraction"),
        ("+1", r"the amount '\+1' is neither a count nor a fraction"),
    ],
)
def test_bad_amounts_are_refused_with_examples_of_good_ones(text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message + r".*; expected a count such as 50, or a fraction such as 0\.001"):
        Amount.parse(text)


@pytest.mark.parametrize(
    ("text", "total", "message"),
    [
        ("6", 5, "the amount 6 of 5 training interactions is 6; it must be 1 to 5"),
        ("0.001", 999, "the amount 0.001 of 999 training interactions is 0; it must be 1 to 999"),
        ("2000", 1999, "the amount 2000 of 1,999 training interactions is 2,000; it must be 1 to 1,999"),
    ],
)
def test_an_amount_that_comes_to_nothing_or_too_much_is_refused(text: str, total: int, message: str) -> None:
    with pytest.raises(OptionError) as refusal:
        Amount.parse(text).of(total)
    assert str(refusal.value) == message


# SPECs

AMOUNTS = ["1", "50", "0.001", "1e-3", "0.1%", "100%"]


@given(
    st.sampled_from(KINDS),
    st.sampled_from(["", *(f":{amount}" for amount in AMOUNTS)]),
    st.sampled_from(["", *(f":item={word}" for word in WORDS)]),
)
def test_a_spec_reads_back_from_its_text(kind: str, amount: str, item: str) -> None:
    text = f"{kind}:random{amount}{'' if kind == 'delete' else item}"
    parsed = Perturbation.parse(text)
    assert parsed.kind == kind
    assert parsed.selector == "random"
    assert parsed.amount == Amount.parse(amount.removeprefix(":") or "0.001")
    assert parsed.item == ("random" if kind == "delete" else WORDS[item.partition("=")[2] or "random"])
    assert Perturbation.parse(str(parsed)) == parsed
    assert str(Perturbation.parse(str(parsed))) == str(parsed)
    if amount and item != ":item=random":
        assert str(parsed) == text


@pytest.mark.parametrize("selector", sorted(SELECTORS))
def test_every_selector_can_be_named(selector: str) -> None:
    assert Perturbation.parse(f"delete:{selector}:1").selector == selector


def test_a_perturbation_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Perturbation.parse("delete:random:1").kind = "insert"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["unknown kind of perturbation ''", *KINDS, "e.g. delete:random:0.001"]),
        ("remove:random:1", ["unknown kind of perturbation 'remove'", *KINDS]),
        ("DELETE:random:1", ["unknown kind of perturbation 'DELETE'", *KINDS]),
        (" delete:random:1", ["unknown kind of perturbation ' delete'", *KINDS, "append"]),
        ("delete", ["unknown selector nothing in 'delete'", *SELECTORS]),
        ("delete:", ["unknown selector ''", *SELECTORS]),
        ("delete:randomly:1", ["unknown selector 'randomly' in 'delete:randomly:1'", *SELECTORS]),
        ("delete:0.001", ["unknown selector '0.001'", *SELECTORS]),
        ("delete:random:", ["the amount '' is not a number", "0.1%"]),
        ("delete:random:some", ["the amount 'some' is not a number", "0.1%"]),
        ("delete:random:0", ["the amount is 0"]),
        ("delete:random:2.5", ["the amount 2.5 is outside (0, 1]"]),
        ("delete:random:-1", ["the amount -1 is outside (0, 1]"]),
        ("delete:random:1:item=popular", ["unknown option 'item=popular'", "for replace and insert only", "none"]),
        ("delete:random:item=popular", ["unknown option 'item=popular'", "for replace and insert only"]),
        ("insert:random:1:item=rare", ["unknown item 'rare'", *WORDS]),
        ("insert:random:1:item", ["unknown item ''", *WORDS]),
        ("insert:random:1:item=", ["unknown item ''", *WORDS]),
        ("insert:random:1:items=popular", ["unknown option 'items=popular'", "item"]),
        ("insert:random:1:", ["unknown option ''", "item"]),
        ("replace:random:1:5", ["unknown option '5'", "item"]),
        ("replace:random:1:item=popular:item=random", ["the option item", "needs one value"]),
        ("delete:random:1:candidates=all", ["unknown option 'candidates=all'", "none"]),
        ("delete:casper:1:candidates=some", ["unknown candidates 'some'", "roots, all"]),
        ("insert:casper:1:scores=best", ["unknown scores 'best'", "auto, exact, sketch"]),
        ("delete:casper:1:ids=file", ["unknown option 'ids=file'", "candidates, scores"]),
        ("delete:user:0", ["the amount is 0"]),
        ("delete:user:0:ids=", ["the option ids", "needs one value"]),
        ("delete:user:3:ids=file", ["the amount 3 and ids=FILE", "write the amount as 0"]),
        ("delete:item:0.5:ids=file", ["the amount 0.5 and ids=FILE"]),
        ("append", ["unknown selector nothing in 'append'; known are cut"]),
        ("append:random:7", ["unknown selector 'random'", "known are cut"]),
        ("delete:cut:7", ["unknown selector 'cut'", *SELECTORS]),
        ("append:cut", ["does not say how long the night is", "append:cut:7"]),
        ("append:cut:0", ["whole number of days from 1"]),
        ("append:cut:0.5", ["whole number of days from 1"]),
        ("append:cut:1%", ["whole number of days from 1"]),
        ("append:cut:-7", ["whole number of days from 1"]),
        ("append:cut:7:item=random", ["no options"]),
    ],
)
def test_a_bad_spec_is_refused_with_what_was_found_and_the_choices(text: str, parts: list[str]) -> None:
    with pytest.raises(OptionError) as refusal:
        Perturbation.parse(text)
    for part in parts:
        assert part in str(refusal.value)


# Applying


@pytest.mark.parametrize(
    ("spec", "length", "n_new"),
    [
        ("delete:random:4", 16, 0),
        ("replace:random:25%:item=popular", 20, 5),
        ("insert:random:0.1:item=least_popular", 22, 2),
        ("insert:random:20", 40, 20),
    ],
)
def test_a_spec_does_what_it_says(spec: str, length: int, n_new: int) -> None:
    log = of_lengths(12, 0, 8)
    perturbed = Perturbation.parse(spec).apply(log, seed=0)
    rows = rows_of(perturbed.log)
    assert len(rows) == length
    assert sum(row.id < 0 for row in rows) == n_new
    assert perturbed.log.origin is log
    assert {row.id for row in rows if row.id >= 0} <= set(log.interaction_ids.tolist())
    counts = [log.items.tolist().count(item) for item in range(N_ITEMS)]
    extreme = {"popular": max(counts), "least_popular": min(count for count in counts if count)}
    if "item=" in spec:
        expected = counts.index(extreme[spec.partition("item=")[2]])
        edits = perturbed.edits
        assert set(edits.new_items[edits.old_items != expected].tolist()) == {expected}


@pytest.mark.parametrize("kind", KINDS)
def test_a_spec_touches_the_rows_that_its_selector_picks(kind: str) -> None:
    log = of_lengths(12, 0, 8)
    edits = Perturbation.parse(f"{kind}:random:6").apply(log, seed=5).edits
    assert edits.interaction_ids.tolist() == log.interaction_ids[random_rows(log, 6, 5)].tolist()


def test_the_seed_drives_the_rows_and_the_items() -> None:
    log = of_lengths(40, 40)

    def drawn(seed: int) -> tuple[Any, ...]:
        edits = Perturbation.parse("insert:random:20").apply(log, seed).edits
        return tuple(edits.interaction_ids.tolist()), tuple(edits.new_items.tolist())

    assert drawn(0) == drawn(0)
    assert drawn(0)[0] != drawn(1)[0]
    assert drawn(0)[1] != drawn(1)[1]
    assert len(set(drawn(0)[1])) > 1


def test_by_default_one_thousandth_of_the_training_log_is_touched() -> None:
    log = of_lengths(2500)
    assert len(Perturbation.parse("delete:random").apply(log, 0).edits) == 2


def test_an_amount_that_does_not_fit_the_log_is_refused() -> None:
    with pytest.raises(OptionError, match=r"the amount 0\.001 of 20 training interactions is 0; it must be 1 to 20"):
        Perturbation.parse("delete:random").apply(of_lengths(12, 8), 0)
    with pytest.raises(OptionError, match="the amount 21 of 20"):
        Perturbation.parse("delete:random:21").apply(of_lengths(12, 8), 0)


@pytest.mark.parametrize("spec", ["delete:random:100%", "delete:latest:20", "delete:user:100%", "delete:item:100%"])
def test_a_deletion_of_everything_is_refused(spec: str) -> None:
    with pytest.raises(OptionError, match=f"{spec} deletes all 20 training interactions; leave some to train on"):
        Perturbation.parse(spec).apply(of_lengths(12, 0, 8), 0)
    assert len(Perturbation.parse(spec.replace("delete", "insert")).apply(of_lengths(12, 0, 8), 0).log) == 40


# Every selector with every kind


@settings(deadline=None)
@given(logs(min_rows=1), st.sampled_from(sorted(SELECTORS)), st.sampled_from(KINDS), st.integers(0, 9))
def test_selectors_and_kinds_combine_freely(log: InteractionLog, selector: str, kind: str, seed: int) -> None:
    score = {"score": lambda on: np.arange(len(log), dtype=float)}
    rows = SELECTORS[selector](log, 1, seed, **score)
    perturbation = Perturbation.parse(f"{kind}:{selector}:1")
    if kind == "delete" and len(rows) == len(log):
        with pytest.raises(OptionError, match="deletes all"):
            perturbation.apply(log, seed, **score)
        return
    perturbed = perturbation.apply(log, seed, **score)
    check_invariants(perturbed.log)
    assert perturbation.base(log) is log
    assert perturbed.log.origin is log
    assert perturbed.edits.kind == kind
    assert perturbed.edits.interaction_ids.tolist() == log.interaction_ids[rows].tolist()
    assert (perturbed.edits.old_items != perturbed.edits.new_items).all()
    assert len(perturbed.log) == len(log) + {"delete": -1, "replace": 0, "insert": 1}[kind] * len(rows)


def test_amounts_of_users_and_items_count_those_with_training_interactions() -> None:
    log = of_lengths(12, 0, 8, 3)
    assert len(set(Perturbation.parse("insert:user:67%").apply(log, 0).edits.users.tolist())) == 2
    n_items = len(set(log.items.tolist()))
    everything = Perturbation.parse("replace:item:100%").apply(log, 0)
    assert len(everything.edits) == len(log)
    assert (everything.log.items != log.items).all()
    with pytest.raises(OptionError, match="the amount 4 of 3 users with training interactions is 4; it must be 1 to 3"):
        Perturbation.parse("delete:user:4").apply(log, 0)
    with pytest.raises(OptionError, match=rf"of {n_items} items with training interactions is 0"):
        Perturbation.parse("delete:item").apply(log, 0)


def test_the_name_of_a_file_of_ids_may_have_colons() -> None:
    file = Path("C:/of:all/users=9.txt")
    named = Perturbation.parse(f"insert:item:0:item=popular:ids={file}")
    assert (named.ids, named.item) == (file, "most_popular")
    assert Perturbation.parse(str(named)) == named


def test_listed_users_and_items_are_touched(tmp_path: Path) -> None:
    log = of_lengths(5, 4, 6)
    (tmp_path / "users.txt").write_text("u1\n")
    spec = f"delete:user:0:ids={tmp_path / 'users.txt'}"
    perturbation = Perturbation.parse(spec)
    assert str(perturbation) == spec
    assert Perturbation.parse(spec.replace(":0:", ":")) == perturbation
    assert perturbation.apply(log, 0).log.lengths.tolist() == [5, 0, 6]
    assert perturbation.erases == "users"
    (tmp_path / "items.txt").write_text(f"{ITEMS[log.items[0]]}\n")
    touched = Perturbation.parse(f"insert:item:0:ids={tmp_path / 'items.txt'}").apply(log, 0)
    assert len(touched.edits) == log.item_counts[log.items[0]]
    (tmp_path / "users.txt").write_text("u1\nu7\n")
    with pytest.raises(DataError, match=r"1 of 2 users have no interactions that could be edited \('u7'\)"):
        perturbation.apply(log, 0)
    with pytest.raises(DataError, match="there is no file"):
        Perturbation.parse("delete:user:0:ids=nothing.txt").apply(log, 0)


def test_options_of_casper_reach_the_selector() -> None:
    log = simulate(SimulatorOptions(users=80, items=30, interactions=1500), seed=2)
    for text, options in [
        ("delete:casper:9", {}),
        ("delete:casper:9:candidates=all", {"candidates": "all"}),
        ("delete:casper:9:scores=exact", {"scores": "exact"}),
        ("delete:casper:9:candidates=all:scores=sketch", {"candidates": "all", "scores": "sketch"}),
    ]:
        perturbation = Perturbation.parse(text)
        assert str(perturbation) == text
        for max_length in (3, 50):
            expected = casper_rows(log, 9, 4, max_length=max_length, **options)  # type: ignore[arg-type]
            assert perturbation.rows(log, 4, max_length).tolist() == expected.tolist()
    assert str(Perturbation.parse("delete:casper:9:candidates=roots:scores=auto")) == "delete:casper:9"
    by_length = [Perturbation.parse("delete:casper:9").rows(log, 0, max_length).tolist() for max_length in (3, 50)]
    assert by_length[0] != by_length[1]


def test_keys_name_files_and_follow_the_ids(tmp_path: Path) -> None:
    assert Perturbation.parse("insert:casper:0.1%:item=popular").key == "insert-casper-0.1pct-item=popular"
    assert Perturbation.parse("append:cut:7").key == "append-cut-7"
    keys = []
    for content in ("u1", "u2", "u1"):
        (tmp_path / "ids.txt").write_text(content)
        keys.append(Perturbation.parse(f"delete:user:0:ids={tmp_path / 'ids.txt'}").key)
    assert keys[0] == keys[2] != keys[1]
    assert "/" not in keys[0]
    with pytest.raises(DataError, match="cannot be read"):
        _ = Perturbation.parse("delete:user:0:ids=nothing.txt").key


# A night


@settings(deadline=None)
@given(logs(min_rows=1), st.integers(1, 5))
def test_a_night_is_the_training_log_and_what_of_it_is_old(log: InteractionLog, days: int) -> None:
    log = replace(log, times=log.times * 86_400)
    latest = int(log.times.max())
    old = [row for row in rows_of(log) if row.time <= latest - days * 86_400]
    perturbation = Perturbation.parse(f"append:cut:{days}")
    assert str(perturbation) == f"append:cut:{days}"
    if not old:
        for call in (perturbation.base, lambda train: perturbation.apply(train, 0)):
            span = (latest - min(row.time for row in rows_of(log))) // 86_400
            with pytest.raises(OptionError, match=rf"leaves nothing before the cut.* span {span}\.0 days; use fewer"):
                call(log)
        return
    base, night = perturbation.base(log), perturbation.apply(log, 0)
    check_invariants(base)
    assert rows_of(base) == old
    assert base.root is log
    assert night.log is log
    assert night.edits.kind == "append"
    new = [row for row in rows_of(log) if row not in old]
    assert night.edits.interaction_ids.tolist() == [row.id for row in new]
    assert night.edits.new_items.tolist() == [row.item for row in new]
    assert (night.edits.old_items == -1).all()
    # Both sides are dealt alike: as many windows, of the same dealt lengths.
    for mode in get_args(WindowMode):
        before, after = windows(base, 2, mode), windows(night.log, 2, mode)
        assert before.dealt_lengths.tolist() == after.dealt_lengths.tolist()
        known = {row.id for row in old}
        assert set(before.instances().ids.tolist()) <= known


def test_days_are_days_in_every_unit() -> None:
    for unit, ticks in (("s", 1), ("ms", 1000), ("us", 1_000_000)):
        log = make([[(0, 0), (1, 86_400 * ticks), (2, 86_401 * ticks), (3, 2 * 86_400 * ticks)]])
        base = Perturbation.parse("append:cut:1").base(replace(log, time_unit=unit))
        assert base.items.tolist() == [0, 1]
