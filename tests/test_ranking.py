from typing import Any, cast

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata
from torch import Tensor, nn

import finestrec.ranking as ranking_module
from finestrec.data.log import InteractionLog
from finestrec.data.sequences import Instances, SequenceBatch, windows
from finestrec.data.splits import split
from finestrec.errors import OptionError, TrainingError
from finestrec.models import ModelOptions, NextItemModel
from finestrec.ranking import SeenPolicy, TopLists, rank, score_chunks, target_ranks, top_k

N = 11
N_STATES = 101


# Scores with many ties; both zeros, which are equal; infinities.
SCORES = st.one_of(st.integers(-2, 2).map(float), st.sampled_from([0.0, -0.0, float("inf"), float("-inf")]))


@st.composite
def score_tables(draw: st.DrawFn) -> Tensor:
    columns = draw(st.integers(1, 12))
    rows = draw(st.lists(st.lists(SCORES, min_size=columns, max_size=columns), max_size=5))
    return torch.tensor(rows, dtype=torch.float32).view(len(rows), columns)


def slow_order(row: list[float]) -> list[int]:
    return sorted(range(len(row)), key=lambda item: (-row[item], item))


# top_k


@settings(deadline=None, max_examples=300)
@given(score_tables(), st.integers(1, 12))
def test_top_k_agrees_with_sorting(scores: Tensor, k: int) -> None:
    k = min(k, scores.shape[1])
    before = scores.clone()
    values, columns = top_k(scores, k)
    assert values.shape == columns.shape == (len(scores), k)
    assert columns.tolist() == [slow_order(row)[:k] for row in scores.tolist()]
    assert torch.equal(values, scores.gather(1, columns))
    assert torch.equal(scores, before)


@pytest.mark.parametrize("k", [1, 10, 100, 952])
def test_top_k_on_wide_tables_with_few_distinct_scores(k: int) -> None:
    scores = torch.from_numpy(np.random.default_rng(0).integers(0, 40, (20, 952)).astype(np.float32))
    scores[::4] = torch.rand(5, 952, generator=torch.Generator().manual_seed(0))
    _, columns = top_k(scores, k)
    assert columns.tolist() == [slow_order(row)[:k] for row in scores.tolist()]


def test_a_tie_across_the_border_goes_to_the_smaller_index() -> None:
    values, columns = top_k(torch.tensor([[1.0, 3.0, 2.0, 2.0, 2.0]]), 2)
    assert columns.tolist() == [[1, 2]]
    assert values.tolist() == [[3.0, 2.0]]


def test_negative_zero_ties_with_zero() -> None:
    assert top_k(torch.tensor([[-0.0, 0.0, -1.0, 0.0, -0.0]]), 3)[1].tolist() == [[0, 1, 3]]


def test_top_k_of_no_rows_is_empty() -> None:
    values, columns = top_k(torch.empty(0, 4), 2)
    assert values.shape == columns.shape == (0, 2)


@pytest.mark.parametrize("column", [0, 3, 5])
@pytest.mark.parametrize("k", [1, 6])
def test_a_nan_anywhere_is_refused(column: int, k: int) -> None:
    scores = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [6.0, 5.0, float("inf"), 3.0, 2.0, 1.0]])
    scores[1, column] = float("nan")
    with pytest.raises(TrainingError, match="scores are NaN"):
        top_k(scores, k)


# target_ranks


@settings(deadline=None)
@given(score_tables(), st.data())
def test_target_ranks_agree_with_scipy(scores: Tensor, data: st.DataObject) -> None:
    n_items = scores.shape[1]
    targets = [data.draw(st.integers(-1, n_items - 1)) for _ in range(len(scores))]
    # Ordinal ranks break ties by position; adding 0 makes the two zeros one.
    expected = [
        0 if target < 0 else int(rankdata(-np.array(row) + 0.0, method="ordinal")[target])
        for row, target in zip(scores.tolist(), targets, strict=True)
    ]
    assert target_ranks(scores, torch.tensor(targets, dtype=torch.int64)).tolist() == expected


@settings(deadline=None)
@given(score_tables())
def test_the_rank_of_the_kth_listed_item_is_k(scores: Tensor) -> None:
    _, columns = top_k(scores, scores.shape[1])
    for place in range(scores.shape[1]):
        assert target_ranks(scores, columns[:, place]).tolist() == [place + 1] * len(scores)


# rank, with a model whose scores are known


class Table(NextItemModel):
    """Scores looked up by a number that depends on every item of the input and on its place."""

    name = "table"
    summary = "A table."

    def __init__(self, table: Tensor) -> None:
        super().__init__(table.shape[1], 50, ModelOptions())
        self.table = nn.Parameter(table, requires_grad=False)
        self.calls: list[tuple[int, bool]] = []

    def hidden(self, batch: SequenceBatch) -> Tensor:
        self.calls.append((batch.items.numel(), self.training))
        place = torch.arange(1, batch.items.shape[1] + 1)
        # What stands right of a position must not be read, so padding is made to do damage if it is.
        contribution = torch.where(batch.items < 0, 50, (batch.items + 1) * place)
        return contribution.cumsum(1)[..., None] % N_STATES

    def scores(self, hidden: Tensor, items: Tensor | None = None) -> Tensor:
        assert items is None
        return self.table[hidden[..., 0]]


def table(seed: int = 0, n_distinct: int = 4) -> Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, n_distinct, (N_STATES, N)).astype(np.float32))


def log_of(*lengths: int, seed: int = 0) -> InteractionLog:
    rng = np.random.default_rng(seed)
    rows = [(f"u{u:02}", int(rng.integers(N)), t) for u, length in enumerate(lengths) for t in range(length)]
    known = [("~all", item, 0) for item in range(N)]
    return InteractionLog.from_frame(pl.DataFrame(rows + known, schema=["user", "item", "time"], orient="row"))


def slow_scores(model: Table, instances: Instances, number: int) -> list[float]:
    history = instances.log.items[instances.start[number] : instances.end[number]].tolist()
    state = sum((item + 1) * place for place, item in enumerate(history, start=1)) % N_STATES
    return cast(list[float], model.table[state].tolist())


def check(lists: TopLists, model: Table, instances: Instances, k: int, seen: SeenPolicy = "keep") -> None:
    assert len(lists) == len(instances)
    assert lists.items.dtype == np.int32
    assert lists.scores.dtype == np.float32
    for number in range(len(instances)):
        row = slow_scores(model, instances, number)
        order = slow_order(row)
        target = int(instances.targets[number])
        assert lists.target_ranks[number] == (0 if target < 0 else order.index(target) + 1)
        if seen == "drop":
            user = instances.log.users[instances.start[number]]
            had = instances.log.items[instances.log.offsets[user] : instances.end[number]].tolist()
            order = [item for item in order if item not in had]
        best = order[:k]
        assert lists.items[number].tolist() == best + [-1] * (min(k, N) - len(best))
        assert lists.scores[number][: len(best)].tolist() == [row[item] for item in best]


SOME = (12, 1, 25, 3, 40, 9, 2)


@pytest.mark.parametrize("k", [1, 4, N, 3 * N])
def test_rank_agrees_with_sorting_each_instance(k: int) -> None:
    model = Table(table())
    log = log_of(*SOME)
    for instances in (split(log).held_out(max_length=6), windows(log, 6, "all").instances()):
        assert len(instances) > 5
        check(rank(model, instances, k), model, instances, k)


def test_shared_prefixes_give_the_same_as_one_sequence_an_instance() -> None:
    model = Table(table())
    instances = windows(log_of(*SOME), 8, "all").instances()
    together = rank(model, instances, 5)
    for number in range(len(instances)):
        alone = rank(model, instances.subset(slice(number, number + 1)), 5)
        assert alone.items[0].tolist() == together.items[number].tolist()
        assert alone.scores[0].tolist() == together.scores[number].tolist()
        assert alone.target_ranks[0] == together.target_ranks[number]


def test_the_order_of_the_instances_is_kept() -> None:
    model = Table(table())
    instances = windows(log_of(*SOME), 8).instances()
    shuffle = np.random.default_rng(1).permutation(len(instances))
    expected, shuffled = rank(model, instances, 5), rank(model, instances.subset(shuffle), 5)
    assert shuffled.items.tolist() == expected.items[shuffle].tolist()
    assert shuffled.target_ranks.tolist() == expected.target_ranks[shuffle].tolist()


@pytest.mark.parametrize(("positions", "scores"), [(1, 1), (7, 3 * N), (20, N - 1), (1 << 14, 4 * N + 3)])
@pytest.mark.parametrize("seen", ["keep", "drop"])
def test_chunking_changes_nothing(
    positions: int, scores: int, seen: SeenPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    instances = windows(log_of(*SOME), 8, "all").instances()
    expected = rank(Table(table()), instances, 5, seen=seen)
    monkeypatch.setattr(ranking_module, "POSITIONS_PER_BATCH", positions)
    monkeypatch.setattr(ranking_module, "_SCORES_PER_CHUNK", scores)
    model = Table(table())
    got = rank(model, instances, 5, seen=seen)
    check(got, model, instances, 5, seen)
    assert got.items.tolist() == expected.items.tolist()
    assert got.scores.tolist() == expected.scores.tolist()
    assert got.target_ranks.tolist() == expected.target_ranks.tolist()
    assert all(numel <= max(positions, 8) for numel, _ in model.calls)
    sizes = [
        len(members)
        for members, *_ in score_chunks(model, model.ranking_batches(instances, ranking_module.POSITIONS_PER_BATCH))
    ]
    assert max(sizes) <= max(1, scores // N)
    assert sum(sizes) == len(instances)


def test_score_chunks_cover_each_instance_once_with_its_scores_and_target() -> None:
    model = Table(table())
    instances = windows(log_of(*SOME), 8).instances()
    covered: list[int] = []
    for members, scores, targets in score_chunks(
        model, model.ranking_batches(instances, ranking_module.POSITIONS_PER_BATCH)
    ):
        covered += members.tolist()
        assert targets.tolist() == instances.targets[members].tolist()
        assert scores.tolist() == [slow_scores(model, instances, int(number)) for number in members]
    assert sorted(covered) == list(range(len(instances)))


@pytest.mark.parametrize("k", [2, N])
def test_dropping_seen_items_leaves_out_the_whole_history_not_only_the_input(k: int) -> None:
    model = Table(table())
    log = log_of(*SOME)
    instances = split(log).held_out(max_length=2)
    lists = rank(model, instances, k, seen="drop")
    check(lists, model, instances, k, "drop")
    assert (rank(model, instances, k).items != lists.items).any()
    if k == N:
        assert (lists.items[:, -1] == -1).all()


def test_unlisted_items_stand_in_no_list_and_rank_below_all_others() -> None:
    model = Table(table())
    instances = windows(log_of(*SOME)).instances()
    unlisted = np.zeros(N, dtype=bool)
    unlisted[[1, 4]] = True
    whole, lists = rank(model, instances, N), rank(model, instances, N, unlisted=unlisted)
    for all_items, listed in zip(whole.items, lists.items, strict=True):
        assert listed.tolist() == [item for item in all_items if item not in {1, 4}] + [-1, -1]
    for target, full, left in zip(instances.targets, whole.items, lists.target_ranks, strict=True):
        order = [item for item in full if item not in {1, 4}] + [1, 4]
        assert left == order.index(target) + 1


def test_an_unknown_target_has_rank_zero() -> None:
    instances = windows(log_of(4)).instances()
    unknown = Instances(
        instances.log, instances.start, instances.end, np.full_like(instances.targets, -1), instances.ids
    )
    assert rank(Table(table()), unknown, 3).target_ranks.tolist() == [0] * len(unknown)
    assert (rank(Table(table()), instances, 3).target_ranks > 0).all()


def test_no_instances_make_no_lists() -> None:
    instances = windows(log_of(4)).instances().subset(slice(0, 0))
    lists = rank(Table(table()), instances, 3)
    assert lists.items.shape == lists.scores.shape == (0, 3)
    assert lists.target_ranks.shape == (0,)


@pytest.mark.parametrize("training", [True, False])
def test_models_are_asked_in_evaluation_mode_and_get_their_mode_back(training: bool) -> None:
    model = Table(table()).train(training)
    rank(model, windows(log_of(5, 9)).instances(), 3)
    assert model.training is training
    assert model.calls
    assert not any(was_training for _, was_training in model.calls)
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("seen", ["keep", "drop"])
def test_a_nan_score_is_refused_even_at_a_seen_item_and_the_mode_comes_back(seen: SeenPolicy) -> None:
    instances = windows(log_of(5)).instances().subset(slice(2, 3))
    scores = table()
    scores[:, int(instances.log.items[0])] = float("nan")
    model = Table(scores).train()
    with pytest.raises(TrainingError, match="scores are NaN"):
        rank(model, instances, 3, seen=seen)
    assert model.training
    assert not torch.is_inference_mode_enabled()


def test_a_stopped_reader_gives_the_mode_back() -> None:
    model = Table(table()).train()
    chunks = score_chunks(model, model.ranking_batches(windows(log_of(5, 9)).instances(), 100))
    next(chunks)
    cast(Any, chunks).close()
    assert model.training
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("k", [0, -1])
def test_a_list_of_no_items_is_refused(k: int) -> None:
    with pytest.raises(OptionError, match=f"k is {k}; a list needs at least 1 item"):
        rank(Table(table()), windows(log_of(5)).instances(), k)


def test_an_unknown_policy_for_seen_items_is_refused() -> None:
    with pytest.raises(OptionError, match=r"unknown policy for seen items 'hide'; known are keep, drop"):
        rank(Table(table()), windows(log_of(5)).instances(), 3, seen=cast(SeenPolicy, "hide"))
