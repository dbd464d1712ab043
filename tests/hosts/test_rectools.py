"""RecTools' transformers, in an environment with RecTools (`make test-hosts`): asked and fine-tuned in place."""

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from movielens import movielens

from finestrec.data.log import InteractionLog
from finestrec.data.sequences import Instances
from finestrec.data.splits import split
from finestrec.errors import DataError, OptionError
from finestrec.models.adapters import TorchModel, adapt_rectools, from_rectools
from finestrec.perturbation.spec import Perturbation
from finestrec.stability.audit import audit
from finestrec.stability.comparing import compare_judged, judge
from finestrec.stabilizers import Recipe, WarmStart
from finestrec.stabilizers.finetuning import finest
from finestrec.training.trained import TrainedModel

pytest.importorskip("rectools", reason="RecTools has pins of its own; run `make test-hosts`")

USERS, LENGTH = 150, 20
MODELS = ("SASRecModel", "BERT4RecModel")
each_model = pytest.mark.parametrize("name", MODELS)


def dataset_of(log: InteractionLog) -> Any:
    import pandas as pd
    from rectools.dataset import Dataset

    frame = log.to_frame()
    return Dataset.construct(
        pd.DataFrame(
            {
                "user_id": frame["user_id"].to_numpy(),
                "item_id": frame["item_id"].to_numpy(),
                "weight": 1.0,
                # RecTools sorts by time alone: the row number keeps equal times in our order.
                "datetime": pd.to_datetime(np.arange(len(frame)), unit="s"),
            }
        )
    )


def fitted(name: str, log: InteractionLog, epochs: int = 1, session_max_len: int = LENGTH, seed: int | None = 0) -> Any:
    from rectools import models

    if seed is not None:
        torch.manual_seed(seed)
    options = {"n_factors": 32, "n_blocks": 1, "n_heads": 2, "batch_size": 16, "recommend_torch_device": "cpu"}
    kind = getattr(models, name)
    return kind(**options, session_max_len=session_max_len, epochs=epochs).fit(dataset_of(log))


class Host:
    """Models after one epoch of RecTools' own training."""

    def __init__(self) -> None:
        self.log = InteractionLog.from_frame(movielens(USERS))
        self.models = {name: fitted(name, self.log) for name in MODELS}

    def adapted(self, name: str) -> tuple[TorchModel, InteractionLog]:
        return from_rectools(self.models[name], self.log, unknown="drop")


@pytest.fixture(scope="module")
def host() -> Host:
    return Host()


def at_the_end(log: InteractionLog, length: int) -> Instances:
    """What follows each user's last interaction."""
    users = np.flatnonzero(log.lengths > 0)
    end = log.offsets[users + 1]
    return Instances(
        log=log,
        start=np.maximum(log.offsets[users], end - length),
        end=end,
        targets=np.full(len(users), -1, dtype=np.int32),
        ids=np.full(len(users), -1, dtype=np.int64),
    )


@each_model
def test_lists_are_what_rectools_recommends(name: str, host: Host) -> None:
    model, log = host.adapted(name)
    asked = at_the_end(log, model.max_length)
    ours = TrainedModel.of(model, log).rank(asked, 10)
    own = host.models[name].recommend(
        users=log.vocabulary.users.gather(asked.users).to_numpy(), dataset=dataset_of(log), k=10, filter_viewed=False
    )
    theirs = pl.DataFrame({column: own[column].to_numpy() for column in ("user_id", "item_id", "score", "rank")})
    for i, user in enumerate(log.vocabulary.users.gather(asked.users).to_list()):
        lines = theirs.filter(pl.col("user_id") == user).sort("rank")
        np.testing.assert_allclose(ours.scores[i], lines["score"].to_numpy(), rtol=1e-4, atol=1e-5)
        assert log.vocabulary.items.gather(ours.items[i]).to_list() == lines["item_id"].to_list()


@each_model
def test_finest_tunes_the_model_itself_and_keeps_its_lists(name: str, host: Host) -> None:
    model, log = host.adapted(name)
    parts = split(log)
    held_out = parts.held_out(model.max_length)
    test = held_out.subset(held_out.is_first)
    training = {"lr": 1e-3, "batch_size": 8, "max_length": model.max_length}
    base = TrainedModel.of(model, parts.train, training=training)
    edited = Perturbation.parse("delete:random:0.02").apply(parts.train, 0).log
    options = {"epochs": 1, "lr": 1e-3, "k": 50, "weight": 10.0}
    old = judge(base, test)
    warm = judge(WarmStart(Recipe.of(_never, training=training, finest=options)).fit(edited, 0, base), test)
    before = {key: value.clone() for key, value in model.module.state_dict().items()}
    tuned = finest(base, edited, options=options, in_place=True)
    stable = judge(tuned, test)
    kept, lost = (compare_judged(old, side, test).means()["RBO(p=0.9)"] or 0 for side in (stable, warm))
    assert kept > lost
    test_lists_are_what_rectools_recommends(name, host)  # its own recommend has the new weights
    now = host.models[name].torch_model.state_dict()
    assert any(not torch.equal(now[key], before[key]) for key in now)
    model.module.load_state_dict(before)


def _never(n_items: int, max_length: int) -> TorchModel:
    raise AssertionError("fine-tuning starts from a model that is there")


def untrained(n_items: int, max_length: int) -> TorchModel:
    """RecTools makes a network when it fits: here for no epoch, on a user an item, so that none is left out."""
    items = np.arange(n_items)
    pairs = np.stack([items, np.roll(items, 1)], axis=1)
    frame = pl.DataFrame({"user_id": items.repeat(2), "item_id": pairs.ravel()})
    log = InteractionLog.from_frame(frame.with_columns(timestamp=pl.int_range(len(frame))))
    return adapt_rectools(fitted("SASRecModel", log, epochs=0, session_max_len=max_length, seed=None))


def test_an_audit_trains_rectools_network_from_the_start(host: Host) -> None:
    log = host.log.keep(host.log.users < 40).with_min_length(1)
    training = {"epochs": 1, "max_length": LENGTH, "batch_size": 8}
    found = audit(
        split(log),
        Recipe.of(untrained, training=training, finest={"epochs": 1, "k": 20}),
        perturbations=["delete:random:0.01"],
        regimes=["anchored-update"],
        methods=["retrain", "finest"],
        instances="first",
    )
    floors = {row.method: row.measures["RBO(p=0.9)"] for row in found.rows if row.regime == "floor"}
    assert floors["same_seed"] == 1.0
    assert (floors["other_seed"] or 1) < 1
    assert "With finest" in found.verdict()


def test_models_that_were_not_fitted_and_items_that_are_missing_are_named(host: Host) -> None:
    from rectools.models.nn.transformers.sasrec import SASRecModel

    with pytest.raises(OptionError, match="SASRecModel is not fitted"):
        adapt_rectools(SASRecModel())
    with pytest.raises(OptionError, match="Linear is no transformer of RecTools"):
        adapt_rectools(torch.nn.Linear(2, 2))
    with pytest.raises(DataError, match=r"RecTools' SASRecModel does not have .* pass unknown='drop'"):
        from_rectools(host.models["SASRecModel"], host.log)
