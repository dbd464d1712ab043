"""A grown catalogue: what was there stays, what is new begins."""

import pytest
import torch

from finestrec.data.log import InteractionLog
from finestrec.data.sequences import windows
from finestrec.errors import OptionError
from finestrec.models import MODELS, build_model
from finestrec.ranking import rank
from finestrec.training.growing import grown_state
from finestrec.training.state import TrainingState
from finestrec.training.trained import fit

SMALL = {"hidden": 16, "blocks": 1}
N, MORE = 30, 33


@pytest.mark.parametrize("name", sorted(MODELS))
def test_known_items_keep_their_scores(name: str, chain: InteractionLog) -> None:
    trained = fit(chain, name, 0, model_options=SMALL, training={"epochs": 1})
    larger = build_model(name, MORE, 5, SMALL)
    larger.load_state_dict(grown_state(trained.state, larger).weights)
    instances = windows(chain).instances()
    before, after = rank(trained.model, instances, N), rank(larger.eval(), instances, MORE)
    known = after.items < N
    assert before.items.ravel().tolist() == after.items[known].tolist()
    torch.testing.assert_close(torch.from_numpy(before.scores).ravel(), torch.from_numpy(after.scores[known]))


@pytest.mark.parametrize("name", sorted(MODELS))
def test_old_rows_and_moments_are_unchanged_and_new_moments_zero(name: str, chain: InteractionLog) -> None:
    state = fit(chain, name, 0, model_options=SMALL, training={"epochs": 1}).state
    model = build_model(name, MORE, 5, SMALL)
    initial = {key: value.clone() for key, value in model.state_dict().items()}
    grown = grown_state(state, model)
    tables = [key for key in state.weights if len(grown.weights[key]) != len(state.weights[key])]
    assert tables
    for key, old in state.weights.items():
        assert torch.equal(grown.weights[key][: len(old)], old)
        assert torch.equal(grown.weights[key][len(old) :], initial[key][len(old) :])
    for key, moment in state.moments.items():
        after = grown.moments[key]
        if key.partition("/")[2] in tables and moment.dim():
            assert len(after) == len(moment) + MORE - N
            assert torch.equal(after[: len(moment)], moment)
            assert not after[len(moment) :].any()
        else:
            assert torch.equal(after, moment)
    assert grown.history == state.history


def test_a_state_of_its_own_size_is_copied(chain: InteractionLog) -> None:
    model = build_model("lrurec", N, 0, SMALL)
    state = TrainingState.of(model)
    grown = grown_state(state, build_model("lrurec", N, 1, SMALL))
    assert all(torch.equal(grown.weights[key], state.weights[key]) for key in state.weights)


@pytest.mark.parametrize(
    ("items", "options"), [(N, {**SMALL, "hidden": 8}), (N - 1, SMALL), (N, {**SMALL, "blocks": 2})]
)
def test_only_the_catalogue_may_differ(items: int, options: dict[str, int]) -> None:
    state = TrainingState.of(build_model("lrurec", N, 0, SMALL))
    with pytest.raises(OptionError, match="differ in more than the number of items"):
        grown_state(state, build_model("lrurec", items, 0, options))
