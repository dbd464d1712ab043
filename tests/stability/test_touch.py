"""What differs between two logs, against the edits that made them."""

import numpy as np
import polars as pl
import pytest

from finestrec.data.log import InteractionLog
from finestrec.perturbation.edits import edit
from finestrec.perturbation.spec import Perturbation
from finestrec.stability.touch import log_change, touched_users


@pytest.fixture(scope="module")
def log() -> InteractionLog:
    """Twenty users of 8 interactions of 12 items; the last item was had once, by user 19."""
    items = np.random.default_rng(0).integers(0, 11, 160)
    items[-1] = 11
    frame = pl.DataFrame({"user": np.repeat(np.arange(20), 8), "item": items, "timestamp": np.tile(np.arange(8), 20)})
    return InteractionLog.from_frame(frame)


@pytest.mark.parametrize("spec", ["delete:random:9", "replace:random:9", "insert:random:9"])
def test_touched_are_the_users_with_an_edit(log: InteractionLog, spec: str) -> None:
    perturbed = Perturbation.parse(spec).apply(log, seed=3)
    expected = np.isin(np.arange(log.n_users), perturbed.edits.users)
    assert expected.any()
    assert not expected.all()
    assert (touched_users(log, perturbed.log) == expected).all()
    assert not touched_users(log, log).any()


@pytest.mark.parametrize(("kind", "removed", "added"), [("delete", 9, 0), ("replace", 9, 9), ("insert", 0, 9)])
def test_what_is_removed_and_added_is_counted(log: InteractionLog, kind: str, removed: int, added: int) -> None:
    perturbed = Perturbation.parse(f"{kind}:random:9").apply(log, seed=3)
    found = log_change(log, perturbed.log)
    assert (found["interactions"], found["removed"], found["added"]) == (160, removed, added)
    assert found["users"] == 20
    assert found["touched_users"] == len(np.unique(perturbed.edits.users))


def test_erased_users_and_items_are_counted(log: InteractionLog) -> None:
    found = log_change(log, edit(log, "delete", np.arange(152, 160)).log)
    assert (found["touched_users"], found["erased_users"], found["erased_items"], found["removed"]) == (1, 1, 1, 8)


def test_interactions_with_ids_of_their_own_are_added(log: InteractionLog) -> None:
    """As a later night brings them: the earlier log is the later one without its last rows."""
    earlier = log.keep(log.times < 7)
    found = log_change(earlier, log)
    assert (found["removed"], found["added"], found["touched_users"]) == (0, 20, 20)
