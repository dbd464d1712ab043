"""Logs under the catalogue of a model that was trained elsewhere; hosts that only look like RecBole and RecTools."""

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from foreign_modules import LastGRU, LeftHidden
from torch import Tensor

from finestrec.data.log import InteractionLog
from finestrec.errors import DataError, OptionError
from finestrec.models.adapters import from_recbole, from_rectools
from finestrec.models.adapters.catalogue import under_catalogue


def log_of(items: list[Any]) -> InteractionLog:
    frame = pl.DataFrame({"user_id": [1] * len(items), "item_id": items, "timestamp": range(len(items))})
    return InteractionLog.from_frame(frame)


def test_the_hosts_order_is_the_catalogue_and_its_other_items_stay() -> None:
    log = under_catalogue(log_of([3, 1, 3]), ["7", "3", "1"], "refuse", "host")
    assert log.vocabulary.items.to_list() == [7, 3, 1]
    assert log.items.tolist() == [1, 2, 1]


def test_ids_are_compared_as_the_logs_type() -> None:
    log = under_catalogue(log_of(["b", "3"]), np.array([3, "b"], dtype=object), "refuse", "host")  # type: ignore[arg-type]
    assert log.items.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("items", "host", "message"),
    [
        ([1, 2, 2], ["1"], r"host does not have 1 of the log's 2 items, such as 2 \(2 interactions\).*unknown='drop'"),
        ([1, 2], ["1", "x"], "host has an item 'x', but the log's item ids are of type Int64"),
        (["a", "b"], ["c"], "host has none of the log's items: its ids are as 'c', the log's as 'a'"),
    ],
)
def test_items_that_do_not_fit_are_named(items: list[Any], host: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        under_catalogue(log_of(items), host, "refuse", "host")


def test_unknown_items_are_dropped_when_asked() -> None:
    assert under_catalogue(log_of([1, 2, 2, 1]), ["1", "9"], "drop", "host").items.tolist() == [0, 0]
    with pytest.raises(OptionError, match="unknown is 'ignore'; known are refuse, drop"):
        under_catalogue(log_of([1]), ["1"], "ignore", "host")  # type: ignore[arg-type]


class LikeRecBole(LastGRU):
    ITEM_ID, ITEM_SEQ, ITEM_SEQ_LEN, max_seq_length = "item_id", "item_id_list", "item_length", 10

    def __init__(self, n_items: int) -> None:
        super().__init__(n_items)
        self.n_items = n_items + 1

    def full_sort_predict(self, interaction: dict[str, Tensor]) -> Tensor:
        return self(interaction["item_id_list"], interaction["item_length"]).view(-1)


class LikeRecToolsBackbone(LeftHidden):
    use_key_padding_mask = False

    def forward(self, batch: dict[str, Tensor]) -> Tensor:  # type: ignore[override]
        return super().forward(batch["x"]) @ self.items.weight.T


class LikeRecTools:
    is_fitted = True

    def __init__(self, n_items: int) -> None:
        self._module = LikeRecToolsBackbone(n_items, 10)
        self.data_preparator = SimpleNamespace(
            n_item_extra_tokens=1,
            extra_token_ids={"PAD": 0},
            session_max_len=10,
            get_known_item_ids=lambda: np.arange(n_items)[::-1],
        )

    @property
    def torch_model(self) -> torch.nn.Module:
        return self._module


def test_hosts_are_known_by_what_they_have() -> None:
    log = log_of([4, 2, 0, 1, 3])
    dataset = SimpleNamespace(field2token_id={"item_id": {"[PAD]": 0, "2": 2, "4": 1, "0": 3, "3": 5, "1": 4}})
    model, aligned = from_recbole(LikeRecBole(5), dataset, log)
    assert aligned.vocabulary.items.to_list() == [4, 2, 0, 1, 3]
    assert (model.n_items, model.max_length) == (5, 10)
    host = LikeRecTools(5)
    model, aligned = from_rectools(host, log)
    assert aligned.vocabulary.items.to_list() == [4, 3, 2, 1, 0]
    assert model.module is host.torch_model
    host.is_fitted = False
    with pytest.raises(OptionError, match="LikeRecTools is not fitted"):
        from_rectools(host, log)
    with pytest.raises(OptionError, match="Linear is no transformer of RecTools"):
        from_rectools(torch.nn.Linear(2, 2), log)
    with pytest.raises(OptionError, match="Linear has no full_sort_predict"):
        from_recbole(torch.nn.Linear(2, 2), dataset, log)


def test_no_host_is_imported() -> None:
    code = "import sys, finestrec.models.adapters; print({'recbole', 'rectools'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
