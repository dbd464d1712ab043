"""What every model has to keep, whatever is inside."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from chains import markov_log
from finestrec.data.log import InteractionLog
from finestrec.data.sequences import PADDING, SequenceBatch, windows
from finestrec.data.splits import split
from finestrec.errors import OptionError
from finestrec.measures.accuracy import recall
from finestrec.models import MODELS, NextItemModel, build_model
from finestrec.perturbation.spec import Perturbation
from finestrec.stability.comparing import compare_judged, judge
from finestrec.stabilizers import FinestTuning, Recipe, Retrain, WarmStart
from finestrec.training.state import TrainingState
from finestrec.training.trained import fit

N = 30
SMALL = {"hidden": 16, "blocks": 2}

each_model = pytest.mark.parametrize("name", sorted(MODELS))
each_causal_model = pytest.mark.parametrize("name", sorted(set(MODELS) - {"bert4rec"}))  # its rule: test_bert4rec.py


def batch_of(rows: list[list[int]], times: list[int] | None = None) -> SequenceBatch:
    width = max(len(row) for row in rows)
    items = torch.tensor([row + [PADDING] * (width - len(row)) for row in rows])
    at = torch.tensor(times) if times else torch.arange(width) ** 2
    return SequenceBatch(
        items=items,
        times=torch.where(items == PADDING, 0, at),
        lengths=torch.tensor([len(row) for row in rows]),
        positions=torch.arange(items.numel())[(items != PADDING).flatten()],
        targets=torch.zeros(int((items != PADDING).sum()), dtype=torch.long),
        ids=np.zeros(int((items != PADDING).sum()), dtype=np.int64),
    )


def evaluated(name: str, seed: int = 0) -> NextItemModel:
    return build_model(name, N, seed, SMALL).eval()


@each_model
def test_shapes(name: str) -> None:
    model, batch = evaluated(name), batch_of([[1, 2, 3], [4]])
    hidden = model.hidden(batch)
    assert hidden.shape == (2, 3, 16)
    assert model.scores(hidden).shape == (2, 3, N)
    assert model.scores(hidden, torch.tensor([5, 7])).shape == (2, 3, 2)
    assert model.scores(hidden, torch.zeros(2, 3, 4, dtype=torch.long)).shape == (2, 3, 4)


@each_model
def test_padding_and_company_do_not_change_scores(name: str) -> None:
    model = evaluated(name)
    alone = model.scores(model.hidden(batch_of([[4, 9]])))[0]
    among = model.scores(model.hidden(batch_of([[1, 2, 3, 5, 6, 7], [4, 9], [8]])))[1, :2]
    torch.testing.assert_close(alone, among, rtol=1e-4, atol=1e-5)


@each_model
def test_where_little_is_asked_the_answer_is_the_same(name: str) -> None:
    model, whole = evaluated(name), batch_of([[1, 2, 3, 5, 6, 7], [4, 9], [8]])
    last = torch.tensor([5, 7, 12])
    little = replace(whole, positions=last, targets=torch.zeros(3, dtype=torch.long), ids=np.zeros(3, dtype=np.int64))
    hidden = model.hidden(little)
    assert hidden.shape == (3, 6, 16)
    torch.testing.assert_close(
        little.at_positions(hidden), little.at_positions(model.hidden(whole)), rtol=1e-4, atol=1e-5
    )


@each_causal_model
def test_what_comes_later_changes_nothing_before(name: str) -> None:
    model = evaluated(name)
    before = model.hidden(batch_of([[1, 2, 3, 4]]))[0, :2]
    changed = model.hidden(batch_of([[1, 2, 20, 21]]))[0]
    torch.testing.assert_close(before, changed[:2])
    assert not torch.allclose(model.hidden(batch_of([[1, 2, 3, 4]]))[0, 2:], changed[2:])


@each_causal_model
def test_when_it_comes_later_changes_nothing_before(name: str) -> None:
    """A shorter gap that comes later shrinks no earlier time unit, e.g. that of TiSASRec."""
    model = evaluated(name)
    before = model.hidden(batch_of([[1, 2, 3, 4, 5]], [0, 60, 90, 200, 500]))[0, :3]
    changed = model.hidden(batch_of([[1, 2, 3, 4, 5]], [0, 60, 90, 91, 92]))[0, :3]
    assert torch.equal(before, changed)


@each_causal_model
def test_prefixes_that_share_a_row_have_the_lists_of_rows_of_their_own(name: str, chain: InteractionLog) -> None:
    model = evaluated(name)
    instances = windows(chain).instances().subset(slice(40))
    alone = torch.zeros(40, N)
    for members, batch in instances.batches(100, shared=False):
        alone[torch.from_numpy(members)] = model.scores(batch.at_positions(model.hidden(batch))).detach()
    for members, batch in model.ranking_batches(instances, 1000):
        shared = model.scores(batch.at_positions(model.hidden(batch)))
        torch.testing.assert_close(shared, alone[torch.from_numpy(members)], rtol=1e-4, atol=1e-5)


@each_model
def test_what_came_before_changes_what_follows(name: str) -> None:
    model = evaluated(name)
    first, second = (model.hidden(batch_of([[start, 2, 3]]))[0, -1] for start in (1, 25))
    assert not torch.allclose(first, second)


@each_model
def test_evaluation_draws_nothing(name: str) -> None:
    model, batch = evaluated(name), batch_of([[1, 2, 3]])
    assert torch.equal(model.hidden(batch), model.hidden(batch))
    model.train()
    assert not torch.equal(model.hidden(batch), model.hidden(batch))


@each_model
def test_chosen_columns_are_columns_of_all_scores(name: str) -> None:
    model = evaluated(name)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.1)
    hidden = model.hidden(batch_of([[1, 2, 3], [4, 5, 6]]))
    scores = model.scores(hidden)
    shared = torch.tensor([29, 0, 7])
    torch.testing.assert_close(model.scores(hidden, shared), scores[..., shared])
    own = torch.randint(N, (2, 3, 5), generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(model.scores(hidden, own), scores.gather(-1, own))


@each_model
def test_saved_and_loaded_gives_the_same_bits(name: str, tmp_path: object) -> None:
    path = __import__("pathlib").Path(str(tmp_path)) / "model.safetensors"
    model, batch = evaluated(name), batch_of([[1, 2, 3]])
    TrainingState.of(model).save(path)
    other = evaluated(name, seed=1)
    assert not torch.equal(model.hidden(batch), other.hidden(batch))
    other.load_state_dict(TrainingState.load(path).weights)
    assert torch.equal(model.scores(model.hidden(batch)), other.scores(other.hidden(batch)))


@each_model
def test_a_step_changes_every_parameter(name: str, chain: InteractionLog) -> None:
    model = build_model(name, N, 0, SMALL)
    before = {key: value.clone() for key, value in model.named_parameters()}
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    batch = model.learning_batch(windows(chain), np.arange(len(chain.offsets) - 1), 0, 0)
    for _ in range(2):  # a parameter behind one that starts at zero moves in the second step
        hidden = batch.at_positions(model.hidden(batch))
        loss = torch.nn.functional.cross_entropy(model.scores(hidden), batch.targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert [key for key, value in model.named_parameters() if torch.equal(value, before[key])] == []


@each_model
def test_order_is_learnt_where_there_is_order(name: str, chain: InteractionLog) -> None:
    """The chain's next item is right in nine of ten cases; without order, ten of thirty items are a third."""
    training: dict[str, Any] = {"epochs": 12, "lr": 1e-2}
    options = SMALL
    if name == "bert4rec":  # asked for a fifth of the instances an epoch, and it has to find out which side is next
        training, options = {"epochs": 40, "lr": 5e-3, "batch_size": 16}, {"hidden": 32, "blocks": 1}

    def recall_at_1(log: InteractionLog) -> float:
        parts = split(log)
        trained = fit(parts.train, name, 0, model_options=options, training=training)
        return float(recall(trained.rank(parts.held_out(50), 10).target_ranks, 1).mean())

    assert recall_at_1(chain) > 0.6
    assert recall_at_1(markov_log(200, 30, 15, seed=0, shuffled=True)) < 0.2


@each_model
def test_a_resumed_run_ends_with_the_bits_of_an_uninterrupted_one(name: str, chain: InteractionLog) -> None:
    """Also where weight decay acts on some of the parameters, which orders the optimizer's moments otherwise."""
    training = {"lr": 1e-2, "weight_decay": 1e-4}
    first = fit(chain, name, 0, model_options=SMALL, training={**training, "epochs": 1}).state
    resumed = fit(chain, name, 0, model_options=SMALL, training={**training, "epochs": 2}, state=first).state
    whole = fit(chain, name, 0, model_options=SMALL, training={**training, "epochs": 2}).state
    assert all(torch.equal(value, resumed.weights[key]) for key, value in whole.weights.items())
    assert all(torch.equal(value, resumed.moments[key]) for key, value in whole.moments.items())


@each_model
def test_what_weight_decay_acts_on_exists(name: str) -> None:
    names = [key for key, _ in evaluated(name).named_parameters()]
    assert all(any(key.startswith(prefix) for key in names) for prefix in MODELS[name].decayed)


@each_model
def test_finest_raises_the_stability_at_no_loss(name: str, chain: InteractionLog) -> None:
    """A thousandth of a log is deleted; the same epochs of fine-tuning, with and without the rank loss.

    Lists are kept in whole, for their tails are chance. One seed's gain varies by a tenth, so three are summed.
    """
    training: dict[str, Any] = {"epochs": 8, "lr": 1e-2}
    if name == "bert4rec":  # learns from a share of the positions in each epoch
        training = {"epochs": 25, "lr": 5e-3, "batch_size": 16}
    parts = split(chain)
    recipe = Recipe.of(
        name,
        model_options={"hidden": 32, "blocks": 1},
        training=training,
        finest={"epochs": 4, "lr": 3e-3, "k": 15, "weight": 1.0},
    )
    test = parts.held_out(50)
    changed = Perturbation.parse("delete:random:0.001").apply(parts.train, 0).log
    lost = {FinestTuning: 0.0, WarmStart: 0.0}
    for seed in range(3):
        incumbent = Retrain(recipe).fit(parts.train, seed)
        before = judge(incumbent, test)
        until = before.accuracy()["NDCG@10"]
        for cls in lost:
            side = judge(cls(recipe).fit(changed, seed, incumbent), test)
            held, after = compare_judged(before, side, test).means()["RBO(p=0.9)"], side.accuracy()["NDCG@10"]
            assert held is not None
            assert after is not None
            assert until is not None
            lost[cls] += 1 - held
            assert cls is WarmStart or after > 0.97 * until
    assert lost[FinestTuning] < 0.85 * lost[WarmStart]


@each_model
def test_initial_weights_are_the_seeds(name: str) -> None:
    state = torch.random.get_rng_state()
    first, again, other = (build_model(name, N, seed, SMALL).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)
    assert torch.equal(state, torch.random.get_rng_state())


def test_unknown_models_are_refused_with_the_choices() -> None:
    with pytest.raises(OptionError, match=r"unknown model 'lrurek'; known are lrurec, lstm, "):
        build_model("lrurek", N, 0)


@each_model
def test_empty_windows_make_no_rows(name: str, chain: InteractionLog) -> None:
    cut = windows(chain.keep(np.arange(len(chain)) == 0))
    batch = cut.batch(np.arange(len(cut.start)))
    assert len(batch.targets) == 0


@pytest.mark.parametrize("name", ["sasrec", "tisasrec"])
def test_an_input_longer_than_the_positions_is_refused(name: str) -> None:
    model = build_model(name, N, 0, SMALL, max_length=3).eval()
    assert model.hidden(batch_of([[1, 2, 3]])).shape == (1, 3, 16)
    with pytest.raises(OptionError, match="input has 4 interactions, and the model has positions for 3"):
        model.hidden(batch_of([[1, 2, 3, 4]]))
