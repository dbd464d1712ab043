"""RecBole's models, in an environment with RecBole (`make test-hosts`): asked and fine-tuned in place."""

import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from movielens import movielens

from finestrec.data.log import InteractionLog
from finestrec.data.splits import split
from finestrec.errors import DataError, OptionError
from finestrec.models.adapters import TorchModel, adapt_recbole, from_recbole
from finestrec.perturbation.spec import Perturbation
from finestrec.stability.audit import audit
from finestrec.stability.comparing import compare_judged, judge
from finestrec.stabilizers import Recipe, WarmStart
from finestrec.stabilizers.finetuning import finest
from finestrec.training.trained import TrainedModel

pytest.importorskip("recbole", reason="RecBole has pins of its own; run `make test-hosts`")

USERS, LENGTH = 150, 20
MODELS = ("GRU4Rec", "SASRec", "BERT4Rec")
each_model = pytest.mark.parametrize("name", MODELS)


class Host:
    """A RecBole dataset on disk, and models of it after one epoch of RecBole's own training."""

    def __init__(self, folder: Path) -> None:
        # RecBole keeps times in 32 bits: the order, for the times, has no ties.
        frame = movielens(USERS).sort("timestamp", maintain_order=True).with_columns(timestamp=pl.int_range(pl.len()))
        frame = frame.with_columns(pl.col("user_id").cast(pl.String))
        (folder / "ml").mkdir()
        header = "user_id:token\titem_id:token\ttimestamp:float\n"
        (folder / "ml" / "ml.inter").write_text(header + frame.write_csv(separator="\t", include_header=False))
        self.folder = folder
        self.log = InteractionLog.from_frame(frame)
        self.trained: dict[str, Any] = {}

    def parts(self, name: str) -> tuple[Any, Any, Any]:
        from recbole.config import Config
        from recbole.data import create_dataset, data_preparation
        from recbole.utils import get_model

        options = {
            "data_path": str(self.folder),
            "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
            "MAX_ITEM_LIST_LENGTH": LENGTH,
            "train_neg_sample_args": None,
            "embedding_size": 32,
            "hidden_size": 32,
            "inner_size": 64,
            "epochs": 1,
            "use_gpu": False,
            "checkpoint_dir": str(self.folder),
            "show_progress": False,
        }
        config = Config(model=name, dataset="ml", config_dict=options)
        dataset = create_dataset(config)
        train, _, test = data_preparation(config, dataset)
        torch.manual_seed(0)
        return config, get_model(name)(config, train.dataset), (train, test)

    def fitted(self, name: str) -> tuple[Any, Any]:
        if name not in self.trained:
            from recbole.utils import get_trainer

            config, model, (train, test) = self.parts(name)
            trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
            trainer.fit(train, saved=False, show_progress=False)
            self.trained[name] = (model, test)
        return self.trained[name]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("recbole")
    # RecBole reads the command line, and writes into the working folder.
    with pytest.MonkeyPatch.context() as patched, chdir(folder):
        patched.setattr(sys, "argv", sys.argv[:1])
        yield Host(folder)


def adapted(host: Host, name: str) -> tuple[TorchModel, InteractionLog, Any]:
    model, test = host.fitted(name)
    return *from_recbole(model, test.dataset, host.log), test


@each_model
def test_lists_are_recboles_own(name: str, host: Host) -> None:
    """The scores that RecBole's own evaluation computes, user by user, in our columns."""
    model, log, test = adapted(host, name)
    held_out = split(log).held_out(LENGTH)
    last = held_out.subset(held_out.end + 1 == log.offsets[held_out.users + 1])
    lists = TrainedModel.of(model, log).rank(last, log.n_items)
    compared = 0
    model.eval()
    for batch in test:
        interaction = batch[0]
        with torch.no_grad():
            scores = model.module.full_sort_predict(interaction).numpy()  # type: ignore[operator]
        for user, own in zip(test.dataset.id2token("user_id", interaction["user_id"]), scores, strict=True):
            (i,) = np.flatnonzero((log.vocabulary.users.gather(last.users) == user).to_numpy())
            tokens = log.vocabulary.items.gather(lists.items[i]).to_list()
            ids = test.dataset.token2id("item_id", np.array(tokens))
            np.testing.assert_allclose(own[ids], lists.scores[i], rtol=1e-4, atol=1e-5)
            compared += 1
    assert compared == USERS


@each_model
def test_finest_tunes_the_model_itself_and_keeps_its_lists(name: str, host: Host) -> None:
    model, log, _ = adapted(host, name)
    parts = split(log)
    held_out = parts.held_out(LENGTH)
    test = held_out.subset(held_out.is_first)
    training = {"lr": 1e-3, "batch_size": 8}
    base = TrainedModel.of(model, parts.train, training=training)
    edited = Perturbation.parse("delete:random:0.02").apply(parts.train, 0).log
    options = {"epochs": 1, "lr": 1e-3, "k": 50, "weight": 10.0}
    old = judge(base, test)
    recipe = Recipe.of(_never, training={**training, "max_length": LENGTH}, finest=options)
    warm = judge(WarmStart(recipe).fit(edited, 0, base), test)
    before = {key: value.clone() for key, value in model.module.state_dict().items()}
    tuned = finest(base, edited, options=options, in_place=True)
    stable = judge(tuned, test)
    kept, lost = (compare_judged(old, side, test).means()["RBO(p=0.9)"] or 0 for side in (stable, warm))
    assert kept > lost
    now = host.fitted(name)[0].state_dict()
    assert any(not torch.equal(now[key], before[key]) for key in now)
    assert np.array_equal(judge(base, test).lists.items, stable.lists.items)
    model.module.load_state_dict(before)


def _never(n_items: int, max_length: int) -> TorchModel:
    raise AssertionError("fine-tuning starts from a model that is there")


def test_an_audit_trains_recboles_model_from_the_start(host: Host) -> None:
    config, fresh, _ = host.parts("GRU4Rec")

    def make(n_items: int, max_length: int) -> TorchModel:
        return adapt_recbole(type(fresh)(config, _Sized(n_items + 1)))

    log = host.log.keep(host.log.users < 40)
    training = {"epochs": 1, "max_length": LENGTH, "batch_size": 8}
    recipe = Recipe.of(make, training=training, finest={"epochs": 1, "k": 20})
    found = audit(
        split(log),
        recipe,
        perturbations=["delete:random:0.01"],
        regimes=["anchored-update"],
        methods=["retrain", "finest"],
        instances="first",
    )
    (floor,) = [row for row in found.rows if row.method == "same_seed"]
    assert floor.measures["RBO(p=0.9)"] == 1.0
    assert {row.method for row in found.rows} >= {"retrain", "finest"}


class _Sized:
    """All that a model reads of a dataset."""

    def __init__(self, n_ids: int) -> None:
        self.n_ids = n_ids

    def num(self, field: str) -> int:
        return self.n_ids


def test_items_that_the_model_does_not_have_are_named(host: Host) -> None:
    model, test = host.fitted("GRU4Rec")
    stranger = pl.DataFrame(
        {"user_id": ["1", "1", "1"], "item_id": ["242", "nobody", "nobody"], "timestamp": [1, 2, 3]}
    )
    log = InteractionLog.from_frame(stranger)
    with pytest.raises(DataError, match=r"does not have 1 of the log's 2 items, such as 'nobody' \(2 interactions\)"):
        from_recbole(model, test.dataset, log)
    _, kept = from_recbole(model, test.dataset, log, unknown="drop")
    assert len(kept) == 1
    assert kept.n_items == model.n_items - 1
    with pytest.raises(OptionError, match=r"has no full_sort_predict.*sequential recommender of RecBole"):
        adapt_recbole(torch.nn.Linear(2, 2))
