import numpy as np
import pytest
from pydantic import ValidationError
from slow_log import check_invariants

from finestrec.data.log import InteractionLog
from finestrec.data.simulator import SimulatorOptions, simulate
from finestrec.data.sources import read_log, write_log

SMALL = SimulatorOptions(users=60, items=40, mean_length=15)


def recall_at_10(log: InteractionLog, items: np.ndarray) -> tuple[float, float]:
    """Recall@10 on each user's last tenth, of a first-order Markov chain and of popularity."""
    position = np.arange(len(log)) - log.offsets[log.users]
    length = log.lengths[log.users]
    test = position >= length - length // 10
    counts = np.bincount(items[~test], minlength=log.n_items).astype(float)
    follows = ~test[1:] & (position[1:] > 0)
    chain = np.zeros((log.n_items, log.n_items))
    np.add.at(chain, (items[:-1][follows], items[1:][follows]), 1)
    best_next = np.argsort(-(chain + counts / counts.sum() / 100), axis=1, kind="stable")[:, :10]
    at = np.flatnonzero(test)
    markov = (best_next[items[at - 1]] == items[at][:, None]).any(axis=1).mean()
    popular = np.isin(items[at], np.argsort(-counts, kind="stable")[:10]).mean()
    return float(markov), float(popular)


def test_the_demo_log_has_an_order_that_can_be_learnt():
    log = simulate(seed=3)
    markov, popular = recall_at_10(log, log.items)
    assert markov > 0.5
    assert popular < 0.25
    shuffled = log.items[np.lexsort((np.random.default_rng(0).random(len(log)), log.users))]
    without_order, _ = recall_at_10(log, shuffled)
    # Taste and repeats are still there, the transitions are gone.
    assert popular < without_order < markov - 0.2


def test_the_demo_log_looks_like_a_log():
    log = simulate()
    summary = log.summary()
    assert (summary.users, summary.interactions) == (1_500, 37_500)
    assert 350 <= summary.items <= 400
    assert log.lengths.min() == 10
    assert summary.max_length > 3 * summary.median_length
    assert 0.3 < summary.repeat_share < 0.6
    counts = np.sort(log.item_counts)[::-1]
    assert counts[:40].sum() > 0.25 * len(log)  # the head tenth of the items
    assert (log.vocabulary.users[0], log.vocabulary.items[0]) == ("user-0001", "item-0001")
    assert log.vocabulary.users.is_sorted()
    assert log.vocabulary.items.is_sorted()
    gaps = np.diff(log.times)[np.diff(log.users) == 0]
    assert gaps.min() >= 1
    assert 0.1 < (gaps > 3600).mean() < 0.5  # between sessions


def test_the_seed_is_everything():
    assert simulate(SMALL, 5).fingerprint == simulate(SMALL, 5).fingerprint
    assert simulate(SMALL, 5).fingerprint != simulate(SMALL, 6).fingerprint


def test_invariants_and_ids_are_those_of_a_file_that_was_read(tmp_path):
    log = simulate(SMALL, 1)
    check_invariants(log)
    write_log(log, tmp_path / "log.tsv")
    assert read_log(tmp_path / "log.tsv").fingerprint == log.fingerprint


@pytest.mark.parametrize(
    "options",
    [
        SimulatorOptions(users=1, items=1, interactions=1, min_length=1),
        SimulatorOptions(
            users=7, items=3, clusters=20, interactions=123, min_length=2, transition_share=1, repeat_share=0
        ),
        SimulatorOptions(users=5, items=30, interactions=50, transition_share=0, repeat_share=1, drift=1),
        SimulatorOptions(users=9, items=50, mean_length=10, popularity_exponent=0, successors=1, session_length=1),
    ],
)
def test_extreme_options(options):
    log = simulate(options, 0)
    check_invariants(log)
    assert len(log) == (options.interactions or options.users * options.mean_length)
    assert log.n_users == options.users
    assert log.lengths.min() >= options.min_length


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"users": 0}, "greater than or equal to 1"),
        ({"interactions": 100, "users": 11}, "too few for 11 users of at least 10 each; ask for 110 or more"),
        ({"mean_length": 5}, "mean_length 5.0 is below min_length 10"),
        ({"transition_share": 0.7, "repeat_share": 0.6}, "add up to more than 1"),
        ({"user": 3}, "Extra inputs"),
    ],
)
def test_impossible_options_are_refused(wrong, message):
    with pytest.raises(ValidationError, match=message):
        SimulatorOptions(**wrong)
