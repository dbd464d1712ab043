"""Adapted modules: their scores are the module's own, and everything that trains and ranks works on them."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from foreign_modules import FACTORIES, WIDTH, RightGRU, right_gru
from torch import Tensor, nn

from chains import markov_log
from finestrec.data.log import InteractionLog
from finestrec.data.sequences import Instances
from finestrec.data.splits import split
from finestrec.errors import OptionError, UnsupportedError
from finestrec.measures.accuracy import recall
from finestrec.models import build_model
from finestrec.models.adapters import Declaration, TorchModel, adapt
from finestrec.perturbation.spec import Perturbation
from finestrec.stability.audit import audit
from finestrec.stability.comparing import compare_judged, judge
from finestrec.stabilizers import FinestTuning, Recipe, Retrain, WarmStart
from finestrec.stabilizers.finest import reference_lists
from finestrec.stabilizers.finetuning import finest
from finestrec.training.trained import TrainedModel, fit

N, LENGTH = 30, 12
TRAINING = {"epochs": 3, "lr": 1e-2, "max_length": LENGTH}

each_kind = pytest.mark.parametrize("kind", FACTORIES)


def made(kind: str, seed: int = 0) -> TorchModel:
    model = build_model(FACTORIES[kind], N, seed, max_length=LENGTH)
    assert isinstance(model, TorchModel)
    return model


def by_hand(kind: str, module: nn.Module, row: list[int]) -> Tensor:
    """Scores of the N items after a row of item indices, straight from the module."""
    if kind == "zero_based_gru":
        return module(torch.tensor([row]))[0, -1]
    ids = torch.tensor([[item + 1 for item in row]])
    if kind == "right_gru":
        return module(ids)[0, -1, 1:]
    if kind == "last_gru":
        return module(ids, torch.tensor([len(row)]))[0, 1:]
    if kind == "left_attention":
        return module(ids)[0, -1, 1:]
    if kind == "left_hidden":
        full = torch.cat([torch.zeros(1, LENGTH - len(row), dtype=torch.int64), ids], 1)
        return module.items.weight[1:] @ module(full)[0, -1]
    if kind == "last_hidden":
        return module.items.weight[1:-1] @ module(ids)[0]
    return module(torch.cat([ids, torch.tensor([[N + 1]])], 1))[0, -1, 1:]


def some_instances(log: InteractionLog) -> Instances:
    rows = np.arange(0, len(log), 15)[:, None] + np.array([1, 4, 12, 14])
    end = rows.ravel()
    first = log.offsets[log.users[end]]
    return Instances(log, np.maximum(first, end - LENGTH), end, log.items[end], log.interaction_ids[end])


@each_kind
def test_lists_are_those_of_the_modules_own_scores(kind: str, chain: InteractionLog) -> None:
    model = made(kind).eval()
    asked = some_instances(chain)
    lists = TrainedModel.of(model, chain, training=TRAINING).rank(asked, N)
    for i in range(len(asked)):
        with torch.no_grad():
            own = by_hand(kind, model.module, chain.items[asked.start[i] : asked.end[i]].tolist())
        np.testing.assert_allclose(own.numpy()[lists.items[i]], lists.scores[i], rtol=1e-4, atol=1e-5)
        assert (np.diff(lists.scores[i]) <= 0).all()
        assert sorted(lists.items[i].tolist()) == list(range(N))


@each_kind
def test_batches_of_any_size_ask_for_each_instance_once(kind: str, chain: InteractionLog) -> None:
    model, asked = made(kind).eval(), some_instances(chain)
    for max_positions in (1, 40, 10**6):
        found: dict[int, Tensor] = {}
        for members, batch in model.ranking_batches(asked, max_positions):
            assert batch.ids.tolist() == asked.ids[members].tolist()
            hidden = batch.at_positions(model.hidden(batch))
            found.update(zip(members.tolist(), model.scores(hidden), strict=True))
        assert sorted(found) == list(range(len(asked)))
        if max_positions == 1:
            alone = found
        torch.testing.assert_close([found[i] for i in range(len(asked))], [alone[i] for i in range(len(asked))])


@each_kind
def test_chosen_columns_are_columns_of_all_scores(kind: str, chain: InteractionLog) -> None:
    model = made(kind).eval()
    _, batch = next(model.ranking_batches(some_instances(chain), 60))
    hidden = batch.at_positions(model.hidden(batch))
    scores = model.scores(hidden)
    assert scores.shape == (len(batch.targets), N)
    shared = torch.tensor([29, 0, 7])
    torch.testing.assert_close(model.scores(hidden, shared), scores[:, shared])
    own = torch.randint(N, (len(hidden), 5), generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(model.scores(hidden, own), scores.gather(-1, own))


@each_kind
def test_training_and_references_see_every_instance_once(kind: str, chain: InteractionLog) -> None:
    model = made(kind)
    cut = TrainedModel.of(model, chain, training=TRAINING).windows
    numbers = np.array([5, 3, 100])
    batch = model.learning_batch(cut, numbers, 0, 0)
    assert sorted(batch.ids.tolist()) == sorted(cut.batch(numbers).ids.tolist())
    asked = np.concatenate([members for members, _ in model.reference_batches(cut, 500)])
    assert sorted(asked.tolist()) == list(range(cut.n_instances))


def test_a_row_an_instance_gives_what_a_row_a_window_gives(chain: InteractionLog) -> None:
    """The recurrent module answers alike in both ways, so losses and weights have to be the same."""
    ways = {}
    for kind in ("right_gru", "last_gru"):
        recipe = Recipe.of(FACTORIES[kind], training=TRAINING, finest={"epochs": 1, "k": 5, "average": "user"})
        model = build_model(FACTORIES[kind], N, 0, max_length=LENGTH)
        for part in model.modules():
            if isinstance(part, nn.Dropout):
                part.p = 0.0
        base = TrainedModel.of(model, chain, training=recipe.training)
        ways[kind] = (reference_lists(base, 5), FinestTuning(recipe).fit(chain, 0, base).state.history[0].losses)
    (a, one), (b, other) = ways.values()
    assert np.array_equal(a.items, b.items)
    assert one == pytest.approx(other, rel=1e-4)


@each_kind
def test_order_is_learnt_and_the_seed_gives_the_weights(kind: str, chain: InteractionLog) -> None:
    parts = split(chain)
    training = {**TRAINING, "epochs": 25}
    trained = fit(parts.train, FACTORIES[kind], 0, training=training)
    assert float(recall(trained.rank(parts.held_out(LENGTH), 5).target_ranks, 1).mean()) > 0.6
    again = fit(parts.train, FACTORIES[kind], 0, training=TRAINING).model.state_dict()
    same = fit(parts.train, FACTORIES[kind], 0, training=TRAINING).model.state_dict()
    other = fit(parts.train, FACTORIES[kind], 1, training=TRAINING).model.state_dict()
    assert all(torch.equal(again[key], same[key]) for key in again)
    assert any(not torch.equal(again[key], other[key]) for key in again)


@each_kind
def test_finest_keeps_more_of_the_lists_than_a_warm_start(kind: str, chain: InteractionLog) -> None:
    parts = split(chain)
    test = parts.held_out(LENGTH)
    recipe = Recipe.of(
        FACTORIES[kind],
        training={**TRAINING, "epochs": 10},
        finest={"epochs": 3, "k": 10, "lr": 5e-3, "weight": 10.0},
    )
    base = Retrain(recipe).fit(parts.train, 0)
    edited = Perturbation.parse("delete:random:0.02").apply(parts.train, 0).log
    old = judge(base, test)
    kept = {
        method: compare_judged(old, judge(method(recipe).fit(edited, 0, base), test), test).means()["RBO(p=0.9)"] or 0
        for method in (WarmStart, FinestTuning)
    }
    assert kept[FinestTuning] > kept[WarmStart] + 0.02


def test_a_module_that_was_trained_elsewhere_is_stabilized_in_place_or_not(chain: InteractionLog) -> None:
    module = RightGRU(N)
    base = TrainedModel.of(adapt(module, N, LENGTH), chain, training={"lr": 1e-2})
    assert base.options.max_length == LENGTH
    before = {key: value.clone() for key, value in module.state_dict().items()}
    options = {"epochs": 1, "k": 5}
    stable = finest(base, options=options)
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    again = finest(base, options=options, in_place=True)
    assert all(torch.equal(value, module.state_dict()[key]) for key, value in again.model.module.state_dict().items())  # type: ignore[union-attr,operator]
    assert not torch.equal(module.items.weight, before["items.weight"])
    assert torch.equal(stable.model.state_dict()["module.items.weight"], module.items.weight)


def test_an_audit_of_a_strangers_module_end_to_end(chain: InteractionLog) -> None:
    recipe = Recipe.of(right_gru, training=TRAINING, finest={"epochs": 2, "k": 10})
    found = audit(split(chain), recipe, perturbations=["delete:random:0.01"])
    assert {row.model for row in found.rows} == {"foreign_modules.right_gru"}
    assert {row.method for row in found.rows} == {"retrain", "warm_start", "finest", "same_seed", "other_seed"}
    (floor,) = [row for row in found.rows if row.method == "same_seed"]
    assert floor.measures["RBO(p=0.9)"] == 1.0
    assert "items with everything else equal" in found.verdict()


def test_an_own_loss_is_what_is_minimised(chain: InteractionLog) -> None:
    def nothing(scores: Tensor, targets: Tensor) -> Tensor:
        return scores.sum(1) * 0

    model = adapt(RightGRU(N), N, LENGTH, Declaration(loss=nothing))
    base = TrainedModel.of(model, chain, training=TRAINING)
    recipe = Recipe.of(right_gru, training=TRAINING, finest={"epochs": 1})
    tuned = WarmStart(recipe).fit(chain, 0, base)
    assert tuned.state.history[0].losses == {"next_item": 0.0}


def bare(n_items: int, max_length: int) -> nn.Module:
    return RightGRU(n_items)


def small(n_items: int, max_length: int) -> TorchModel:
    return right_gru(n_items - 1, max_length)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (bare, r"test_module\.bare made a RightGRU; expected a NextItemModel: return .*adapt\("),
        (small, "made a model of 29 items that reads 50; it was asked for 30 items"),
    ],
)
def test_factories_that_make_something_else_are_refused(
    factory: Callable[[int, int], TorchModel], message: str, chain: InteractionLog
) -> None:
    with pytest.raises(OptionError, match=message):
        fit(chain, factory)


def test_what_does_not_fit_is_refused_in_words(chain: InteractionLog) -> None:
    model = right_gru(N, LENGTH)
    nested = Recipe.of(lambda n_items, length: right_gru(n_items, length + 1))
    with pytest.raises(OptionError, match=r"<lambda> cannot be sent to another process .* top level of a module"):
        audit(split(chain), nested, jobs=2)
    raw: Any = RightGRU(N)
    for make in (Recipe.of, partial(fit, chain)):
        with pytest.raises(OptionError, match=r"the model is a RightGRU; expected a name \(lrurec, .* or a function"):
            make(raw)
    with pytest.raises(OptionError, match=r"the model is a RightGRU; expected a NextItemModel; .*adapt"):
        TrainedModel.of(raw, chain)
    with pytest.raises(OptionError, match="takes no options"):
        Recipe.of(right_gru, model_options={"hidden": 8})
    with pytest.raises(OptionError, match=r"scores 30 items and the log's catalogue has 20"):
        TrainedModel.of(model, markov_log(10, 20, 12, seed=0))
    with pytest.raises(OptionError, match="max_length is 50, but the model reads at most 12"):
        TrainedModel.of(model, chain, training={"max_length": 50})
    grown = markov_log(10, 31, 12, seed=0)
    grown = replace(grown, interaction_ids=grown.interaction_ids + len(chain))
    with pytest.raises(UnsupportedError, match=r"catalogue has 31 items and the model 30.* cannot grow"):
        finest(TrainedModel.of(model, chain), grown)
    with pytest.raises(UnsupportedError, match="was given a RightGRU"):
        finest(RightGRU(N))  # type: ignore[arg-type]
    assert WIDTH == 16
