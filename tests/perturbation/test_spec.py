from dataclasses import FrozenInstanceError
from fractions import Fraction
from math import floor
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_logs import N_ITEMS, of_lengths, rows_of

from finestrec.errors import OptionError
from finestrec.perturbation.edits import EditKind
from finestrec.perturbation.selectors import SELECTORS, random_rows
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
    assert parsed.amount.text == (amount.removeprefix(":") or "0.001")
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
        (" delete:random:1", ["unknown kind of perturbation ' delete'", *KINDS]),
        ("delete", ["unknown selector nothing in 'delete'", *SELECTORS]),
        ("delete:", ["unknown selector ''", *SELECTORS]),
        ("delete:randomly:1", ["unknown selector 'randomly' in 'delete:randomly:1'", *SELECTORS]),
        ("delete:0.001", ["unknown selector '0.001'", *SELECTORS]),
        ("delete:random:", ["the amount '' is not a number", "0.1%"]),
        ("delete:random:some", ["the amount 'some' is not a number", "0.1%"]),
        ("delete:random:0", ["the amount is 0"]),
        ("delete:random:2.5", ["the amount 2.5 is outside (0, 1]"]),
        ("delete:random:-1", ["the amount -1 is outside (0, 1]"]),
        ("delete:random:1:item=popular", ["unknown option 'item=popular'", "for replace and insert only"]),
        ("delete:random:item=popular", ["unknown option 'item=popular'", "for replace and insert only"]),
        ("insert:random:1:item=rare", ["unknown item 'rare'", *WORDS]),
        ("insert:random:1:item", ["unknown item ''", *WORDS]),
        ("insert:random:1:item=", ["unknown item ''", *WORDS]),
        ("insert:random:1:items=popular", ["unknown option 'items=popular'", "item"]),
        ("insert:random:1:", ["unknown option ''", "item"]),
        ("replace:random:1:5", ["unknown option '5'", "item"]),
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
        ("delete:random:100%", 0, 0),
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
        assert {row.item for row in rows if row.id < 0} == {expected}


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
