"""What is taken down stands in no list of the new side, and nobody is judged by it."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strangers import Popular

from chains import markov_log
from finestrec.data.log import InteractionLog
from finestrec.data.sequences import Instances
from finestrec.data.splits import Split, split
from finestrec.errors import DataError
from finestrec.perturbation.spec import Perturbation
from finestrec.ranking import BEYOND_THE_LIST, NO_TARGET, TopLists
from finestrec.stability import comparing
from finestrec.stability.audit import audit
from finestrec.stability.instances import row_values
from finestrec.stability.withdrawn import WithoutItems
from finestrec.stabilizers import Recipe

N = 12
TEST = split(markov_log(users=30, items=N, length=12, seed=0)).held_out(50)


@dataclass(frozen=True)
class Shuffled:
    """Another order of the items for each instance, of which at most `width` are listed."""

    seed: int
    width: int = N

    def rank(self, instances: Instances, k: int) -> TopLists:
        orders = [np.random.default_rng([self.seed, int(one)]).permutation(N) for one in instances.ids]
        items = np.array(orders, dtype=np.int32).reshape(-1, N)
        places = np.argsort(items, axis=1)[np.arange(len(items)), instances.targets] + 1
        places[instances.targets < 0] = NO_TARGET
        k = min(k, self.width)
        return TopLists(items[:, :k], places, -np.tile(np.arange(k, dtype=np.float32), (len(items), 1)))


@given(
    st.integers(0, 100), st.integers(1, N), st.integers(1, N + 3), st.sets(st.integers(0, N - 1)), st.integers(1, 40)
)
def test_lists_without_items_by_a_slow_way(seed: int, width: int, k: int, gone: set[int], chunk: int) -> None:
    targets = TEST.targets.copy()
    targets[::5] = -1
    test = replace(TEST, targets=targets)
    items = np.isin(np.arange(N), list(gone))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparing, "_FULL_RANKINGS_PER_CHUNK", N * chunk)
        found = WithoutItems(Shuffled(seed, width), items).rank(test, k)
    for row, target in enumerate(targets.tolist()):
        order = Shuffled(seed).rank(test.subset(slice(row, row + 1)), N).items[0].tolist()
        left = [item for item in order[:width] if item not in gone]
        expected = (left + [-1] * N)[: min(k, width)]
        assert found.items[row].tolist() == expected
        if target < 0:
            rank = NO_TARGET
        elif target in gone:
            rank = N if width == N else BEYOND_THE_LIST
        else:
            rank = left.index(target) + 1 if target in left else BEYOND_THE_LIST
        assert found.target_ranks[row] == rank
        scores = [-float(order.index(item)) for item in expected if item >= 0]
        assert found.scores[row, : len(scores)].tolist() == scores


def test_without_anything_taken_down_nothing_changes() -> None:
    found, expected = WithoutItems(Shuffled(3), np.zeros(N, bool)).rank(TEST, 5), Shuffled(3).rank(TEST, 5)
    for name in ("items", "target_ranks", "scores"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert WithoutItems(Shuffled(3), np.ones(N, bool)).rank(TEST.subset(slice(0)), 5).items.shape == (0, 5)


@pytest.fixture(scope="module")
def parts(chain: InteractionLog) -> Split:
    return split(chain)


def test_a_take_down_in_an_audit(parts: Split, small_recipe: Recipe, tmp_path: Path) -> None:
    methods = ["retrain", "finest", "hysteresis:tau=1e9"]
    found = audit(
        parts,
        small_recipe,
        perturbations=["delete:item:2"],
        methods=methods,
        regimes=["anchored-update", "authors-protocol"],
        floors=False,
        folder=tmp_path,
    )
    train = parts.train
    edits = Perturbation.parse("delete:item:2").apply(train, seed=0).edits
    gone = parts.log.vocabulary.items.gather(np.unique(edits.old_items))
    assert len(gone) == 2
    test = parts.held_out(50)
    is_gone = pl.Series(parts.log.vocabulary.items.gather(test.targets)).is_in(gone.implode()).to_numpy()
    rows = [row for row in found.rows if row.perturbation is not None]
    assert len(rows) == 5
    for row in rows:
        table = pl.read_parquet(tmp_path / f"{row.comparison}.parquet")
        listed = {side: table[f"{side}_items"].explode().is_in(gone.implode()) for side in ("old", "new")}
        assert listed["new"].sum() == 0
        assert (table["touch"] == "target erased").to_numpy().tolist() == is_gone.tolist()
        assert (table["new_rank"].to_numpy()[is_gone] == 30).all()
        assert row.n_instances == (~is_gone).sum() < len(test)
        kept = table.filter(~pl.Series(is_gone))
        assert row.accuracy["MRR"] == pytest.approx((1 / kept["new_rank"]).mean())
        assert row.measures["AverageOverlap@all"] is None
        assert any("does not rank all" in note for note in row.notes)
        if row.regime == "anchored-update":
            assert listed["old"].sum() > 0
            # Who had one of them among the first ten cannot keep ten.
            had = table["erased_item_listed"] == "yes"
            assert table.filter(had)["Jaccard@10"].max() < 1
    assert "nobody can be right about them" in found.verdict()


def test_an_item_that_a_few_deletions_happen_to_leave_nothing_of_is_still_offered() -> None:
    parts = split(markov_log(40, 100, 12, seed=0))
    found = audit(
        parts,
        {"retrain": Popular()},
        perturbations=["delete:random:0.5"],
        regimes=["anchored-update"],
        methods=["retrain"],
        floors=False,
    )
    row = found.rows[-1]
    assert row.log_change is not None
    assert row.log_change["erased_items"] > 0 == row.log_change["erased_users"]
    assert row.measures["AverageOverlap@all"] is not None
    assert row.n_instances == len(parts.held_out(50))


def test_nothing_left_to_be_compared_is_an_error() -> None:
    table = pl.DataFrame({"touch": pl.Series(["erased", "target erased"]), "user_id": [1, 2]})
    with pytest.raises(DataError, match="each of the 2 test instances is of an erased user or has a target that was"):
        row_values(table)
