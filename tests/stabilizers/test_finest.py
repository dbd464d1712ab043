"""FINEST: the loss by hand and by a loop, the references, what takes part, and that lists hold."""

import copy
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from finestrec.data.alignment import align, under_vocabulary
from finestrec.data.log import InteractionLog
from finestrec.data.sequences import windows
from finestrec.errors import DataError, OptionError
from finestrec.models import build_model
from finestrec.perturbation.edits import edit
from finestrec.stabilizers import Continue, FinestTuning, Recipe, Retrain, WarmStart, stabilizer
from finestrec.stabilizers.finest import (
    AUTHORS_PRESETS,
    Finest,
    FinestOptions,
    ReferenceLists,
    TeacherLists,
    rank_preserving_loss,
    reference_lists,
)
from finestrec.stabilizers.finetuning import finest
from finestrec.training.options import TrainingOptions
from finestrec.training.trained import TrainedModel, fit

SMALL = {"hidden": 16, "blocks": 1}


def slow_loss(scores: list[float], m1: float, m2: float) -> float:
    """The formulas of METHOD, section 3, step 4, with loops."""
    k = len(scores) // 2
    order = [max(0.0, m1 - (scores[i] - scores[i + 1])) for i in range(k - 1)]
    margin = [max(0.0, m2 - (scores[i] - scores[k + i])) for i in range(k)]
    return (sum(order) / len(order) if order else 0.0) + sum(margin) / len(margin)


def test_loss_by_hand() -> None:
    """K = 2: r1 leads r2 by 0.05 of 0.1; r1 leads r3 by 0.3; r2 trails r4 by 0.2."""
    scores = torch.tensor([[1.0, 0.95, 0.7, 1.15]])
    assert rank_preserving_loss(scores).item() == pytest.approx(0.05 + (0 + 0.3) / 2)


@given(
    st.integers(1, 5).flatmap(lambda k: st.lists(st.floats(-3, 3), min_size=2 * k, max_size=2 * k)),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_loss_equals_the_loop(scores: list[float], m1: float, m2: float) -> None:
    ours = rank_preserving_loss(torch.tensor([scores], dtype=torch.float64), order_margin=m1, challenger_margin=m2)
    assert ours.item() == pytest.approx(slow_loss(scores, m1, m2), abs=1e-12)


@given(st.lists(st.floats(-3, 3), min_size=6, max_size=6), st.floats(-5, 5))
def test_loss_does_not_see_a_shift_of_all_scores(scores: list[float], shift: float) -> None:
    row = torch.tensor([scores], dtype=torch.float64)
    torch.testing.assert_close(rank_preserving_loss(row), rank_preserving_loss(row + shift), atol=1e-9, rtol=0)


@pytest.fixture(scope="module")
def base(chain: InteractionLog, small_recipe: Recipe) -> TrainedModel:
    return Retrain(small_recipe).fit(chain, 0)


def test_references_are_the_best_items_at_every_instance_in_evaluation(base: TrainedModel) -> None:
    base.model.train()  # the traps: dropout on, or a model left in another mode
    references = reference_lists(base, 10)
    assert base.model.training
    base.model.eval()
    cut = windows(base.log)
    assert references.ids.tolist() == sorted(references.ids.tolist())
    assert len(references) == cut.n_instances
    with pytest.raises(OptionError, match="the references are of k=10 and the options say k=9"):
        finest(base, references=references, options={"k": 9})
    with pytest.raises(OptionError, match="teacher=batch asks the incumbent for others"):
        finest(base, references=references, options={"teacher": "batch"})
    for window in (0, 17, 199):
        batch = cut.batch(np.array([window]))
        with torch.no_grad():
            scores = base.model.scores(batch.at_positions(base.model.hidden(batch))).numpy()
        best = np.lexsort((np.broadcast_to(np.arange(30), scores.shape), -scores))[:, :20]
        assert np.array_equal(references.items[references.find(batch.ids)], best)


def test_k_is_capped_at_half_the_catalogue_and_refused_below_one(base: TrainedModel) -> None:
    assert reference_lists(base, 100).k == 15
    with pytest.raises(OptionError, match="K is 0"):
        reference_lists(base, 0)


def test_find_names_what_has_no_list() -> None:
    references = ReferenceLists(ids=np.array([3, 5, 9]), items=np.zeros((3, 4), dtype=np.int32))
    assert references.find(np.array([9, -1, 3, 4, 10, 5])).tolist() == [2, -1, 0, -1, -1, 1]


def test_what_was_substituted_has_no_reference_list(chain: InteractionLog, small_recipe: Recipe) -> None:
    rows = np.arange(3, len(chain), 100)
    replaced = edit(chain, "replace", rows, np.zeros(len(rows), dtype=np.int32)).log
    references = reference_lists(Retrain(small_recipe).fit(replaced, 0), 5)
    assert references.ids.min() >= 0
    assert len(references) == windows(replaced).n_instances - len(rows)
    assert references.find(np.array([-1, -1])).tolist() == [-1, -1]


def test_no_lists_at_all_find_nothing() -> None:
    nothing = ReferenceLists(ids=np.empty(0, dtype=np.int64), items=np.empty((0, 4), dtype=np.int32))
    assert nothing.find(np.array([3, -1])).tolist() == [-1, -1]


def test_an_incumbent_of_single_interactions_has_nothing_to_preserve(chain: InteractionLog) -> None:
    """Then FINEST is a warm start on the simulated log: the same as with a weight of 0."""
    first = chain.keep(np.diff(chain.users, prepend=-1) > 0)
    base = TrainedModel.of(build_model("lrurec", 30, 7, {"hidden": 16, "blocks": 1}), first)
    losses = []
    for weight in (3.0, 0.0):
        tuned = finest(base, chain, options={"epochs": 1, "k": 5, "weight": weight})
        losses.append(tuned.state.history[0].losses)
    assert losses[0] == losses[1]
    assert losses[0]["rank"] == 0


def test_a_run_that_stopped_early_cannot_go_on(chain: InteractionLog, small_recipe: Recipe) -> None:
    early = replace(small_recipe, training=small_recipe.training.model_copy(update={"patience": 1}))
    with pytest.raises(OptionError, match="early stopping"):
        Continue(early).fit(chain, 0, Retrain(early).fit(chain, 0))


def test_large_lists_are_memory_mapped_and_equal(base: TrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    in_memory = reference_lists(base, 10)
    monkeypatch.setattr("finestrec.stabilizers.finest.references._IN_MEMORY_BYTES", 1)
    mapped = reference_lists(base, 10)
    assert isinstance(mapped.items, np.memmap)
    assert np.array_equal(mapped.items, in_memory.items)


@pytest.mark.parametrize("window", ["last", "all"])
@pytest.mark.parametrize("average", ["instance", "user"])
def test_the_epoch_loss_is_the_mean_over_what_has_a_list(average: Any, window: Any, base: TrainedModel) -> None:
    """Summed over an epoch's batches: the mean over preserved instances, or over users of their means."""
    if window == "all":  # several windows a user
        base = replace(base, options=base.options.model_copy(update={"window": "all", "max_length": 7}))
    references = reference_lists(base, 5)
    kept = np.random.default_rng(0).random(len(references)) < 0.8
    some = ReferenceLists(ids=references.ids[kept], items=references.items[kept])
    training = base.options.model_copy(update={"batch_size": 16})
    options = FinestOptions(k=5, rho=0.05, kinds=("delete",), average=average, weight=2.0)
    curriculum = Finest(base.log, some, options, training, seed=4)
    cut = curriculum.windows(1)
    assert len(cut.log) == len(base.log) - int(0.05 * len(base.log))
    model = build_model("lrurec", 30, 7, {"hidden": 16, "blocks": 1}).eval()
    batches = cut.deal(16, 0, 0)
    with torch.no_grad():
        per_batch = [float(curriculum.losses(model, cut.batch(dealt))["rank"]) for dealt in batches]
        by_user: dict[int, list[float]] = {}
        for number, start in enumerate(cut.start):
            batch = cut.batch(np.array([number]))
            user = int(np.searchsorted(cut.log.offsets, start, side="right")) - 1
            scores = model.scores(batch.at_positions(model.hidden(batch)))
            for row, interaction in zip(scores, batch.ids, strict=True):
                if interaction in some.ids:
                    items = some.items[some.ids.tolist().index(interaction)]
                    value = slow_loss([float(row[i]) for i in items], 0.1, 0.1)
                    by_user.setdefault(user, []).append(value)
    everything = [value for values in by_user.values() for value in values]
    expected = np.mean(everything) if average == "instance" else np.mean([np.mean(v) for v in by_user.values()])
    assert sum(per_batch) / len(per_batch) == pytest.approx(2.0 * expected, rel=1e-4)


def test_a_log_of_another_world_is_refused(base: TrainedModel) -> None:
    """METHOD, section 5, trap 2: where an index or an id means something else, lists would be of something else."""
    frame = base.log.to_frame()
    first = frame["item_id"][0]
    renamed = frame.with_columns(item_id=pl.when(pl.col("item_id") == first).then(10**6).otherwise(pl.col("item_id")))
    with pytest.raises(DataError, match=r"items of the log have other indices .* under_vocabulary\(align"):
        finest(base, InteractionLog.from_frame(renamed))
    shifted = InteractionLog.from_frame(frame[1:])
    assert shifted.vocabulary.items.equals(base.log.vocabulary.items)
    with pytest.raises(DataError, match=r"ids that were other interactions' .* under_vocabulary\(align"):
        finest(base, shifted)
    aligned = under_vocabulary(align(shifted, base.log), base.log.vocabulary)
    assert finest(base, aligned, options={"epochs": 1, "k": 5}).log is aligned


def test_an_empty_log_is_not_the_incumbents(base: TrainedModel) -> None:
    with pytest.raises(DataError, match="nothing to learn from: of 0 training interactions"):
        finest(base, base.log.keep(np.zeros(len(base.log), dtype=bool)))


def test_options_that_do_not_fit_are_told_in_our_words(base: TrainedModel) -> None:
    with pytest.raises(OptionError, match=r"unknown option finest\.epoch \(did you mean finest\.epochs\?\)"):
        finest(base, options={"epoch": 3})


def test_the_first_epoch_is_charged_for_the_reference_lists(
    base: TrainedModel, small_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Making them takes a second on this clock, and so does an epoch."""
    monkeypatch.setattr("finestrec.training.loop.time.perf_counter", count().__next__)
    tuned = stabilizer("finest:epochs=3", small_recipe).fit(base.log, 0, base)
    assert [record.seconds for record in tuned.state.history] == [2, 1, 1]


def test_a_batch_without_lists_has_no_rank_loss(base: TrainedModel) -> None:
    one = ReferenceLists(ids=np.array([10**9]), items=np.zeros((1, 4), dtype=np.int32))
    curriculum = Finest(base.log, one, FinestOptions(k=2), TrainingOptions(), seed=0)
    batch = curriculum.windows(0).batch(np.arange(10))
    assert curriculum.losses(base.model, batch)["rank"].item() == 0


def test_substituted_and_slid_in_instances_have_no_list(chain: InteractionLog, small_recipe: Recipe) -> None:
    short = replace(small_recipe, training=small_recipe.training.model_copy(update={"max_length": 5}))
    trained = Retrain(short).fit(chain, 0)
    references = reference_lists(trained, 5)
    last = chain.offsets[1:] - 1
    deleted = windows(edit(chain, "delete", last[:1]).log, 5).batch(np.array([0]))
    # The window slid by one: its first instance is new in it, and the others keep their lists.
    assert (references.find(deleted.ids) >= 0).tolist() == [False, True, True, True, True]
    replaced = edit(chain, "replace", last[:1], np.array([3], dtype=np.int32)).log
    batch = windows(replaced, 5).batch(np.array([0]))
    assert (references.find(batch.ids) >= 0).tolist() == [True, True, True, True, False]


def test_simulation_draws_one_kind_an_epoch_and_is_coupled(chain: InteractionLog, base: TrainedModel) -> None:
    references = reference_lists(base, 5)
    options = FinestOptions(k=5, rho=0.02)
    training = TrainingOptions()
    count = int(0.02 * len(chain))
    seen = set()
    edited = edit(chain, "delete", np.array([50])).log
    for epoch in range(12):
        here, there = (Finest(log, references, options, training, seed=0).windows(epoch).log for log in (chain, edited))
        new = int((here.interaction_ids < 0).sum())
        kind = {-count: "delete", 0: "replace", count: "insert"}[len(here) - len(chain)]
        assert new == (0 if kind == "delete" else count)
        if kind != "delete":
            least = int(np.argmin(chain.item_counts))
            assert set(here.items[here.interaction_ids < 0].tolist()) == {least}
        seen.add(kind)
        assert abs((len(there) - len(edited)) - (len(here) - len(chain))) <= 1
        survivors = set(here.interaction_ids.tolist()) ^ set(there.interaction_ids.tolist())
        assert len(survivors) <= 3  # the deleted one, and at most one more draw each way
    assert seen == {"delete", "replace", "insert"}


def test_without_simulation_the_log_is_the_log(chain: InteractionLog, base: TrainedModel) -> None:
    curriculum = Finest(chain, reference_lists(base, 5), FinestOptions(rho=0), TrainingOptions(), seed=0)
    assert curriculum.windows(3).log is chain


@pytest.mark.parametrize(
    ("model", "weight", "rate"),
    [("lrurec", 3.2, 1e-4), ("lstm", 16, 1e-4), ("tisasrec", 1.6, 1e-3), ("bert4rec", 8, 1e-4)],
)
def test_the_authors_settings(model: str, weight: float, rate: float) -> None:
    """METHOD, section 3: 0.1 or 1.0 on a sum over the users of a batch of 32, 16 or 8."""
    options = FinestOptions(**AUTHORS_PRESETS[model])
    assert (options.average, options.weight, options.lr) == ("user", weight, rate)
    assert (options.epochs, options.k, options.rho) == (50, 100, 0.01)
    assert (options.order_margin, options.challenger_margin) == (0.1, 0.1)
    assert options.kinds == ("delete", "replace", "insert")
    assert options.substitute == "least_popular"
    assert (options.terms, options.next_item) == (("order", "margin"), True)
    assert (options.teacher, options.alpha) == ("stored", 0)
    assert len(AUTHORS_PRESETS) == 4


def test_fine_tuning_resumes_to_the_same_bits(base: TrainedModel, small_recipe: Recipe, tmp_path: Any) -> None:
    whole = FinestTuning(small_recipe).fit(base.log, 0, base)
    checkpoint = tmp_path / "finest.safetensors"
    one_epoch = replace(small_recipe, finest=small_recipe.finest.model_copy(update={"epochs": 1}))
    FinestTuning(one_epoch).fit(base.log, 0, base, checkpoint=checkpoint)
    resumed = FinestTuning(small_recipe).fit(base.log, 0, base, checkpoint=checkpoint)
    again = FinestTuning(small_recipe).fit(base.log, 0, base, checkpoint=checkpoint)
    for key, value in whole.state.weights.items():
        assert torch.equal(value, resumed.state.weights[key])
        assert torch.equal(value, again.model.state_dict()[key])


def test_the_incumbent_is_not_touched(base: TrainedModel, small_recipe: Recipe) -> None:
    before = {key: value.clone() for key, value in base.model.state_dict().items()}
    FinestTuning(small_recipe).fit(base.log, 0, base)
    assert all(torch.equal(value, base.model.state_dict()[key]) for key, value in before.items())


def test_fine_tuning_without_an_incumbent_is_refused(chain: InteractionLog, small_recipe: Recipe) -> None:
    with pytest.raises(OptionError, match="starts from a trained model"):
        WarmStart(small_recipe).fit(chain, 0)


def test_sampled_losses_score_the_catalogue_nowhere(chain: InteractionLog) -> None:
    """FINEST and the loss ask for their columns alone, which is what makes large catalogues possible."""
    model = build_model("lrurec", chain.n_items, 0, SMALL)
    whole_catalogue = []
    scores = model.scores

    def recording(hidden: torch.Tensor, items: torch.Tensor | None = None) -> torch.Tensor:
        whole_catalogue.append(items is None)
        return scores(hidden, items)

    model.scores = recording  # type: ignore[method-assign]
    incumbent = fit(chain, "lrurec", 0, model_options=SMALL, training={"epochs": 1})
    curriculum = Finest(chain, reference_lists(incumbent, 5), FinestOptions(), TrainingOptions(loss="gbce"), 0)
    cut = curriculum.windows(0)
    curriculum.losses(model, cut.batch(cut.deal(16, 0, 0)[0]))
    assert whole_catalogue == [False, False]


def test_sampled_and_full_scores_give_finest_the_same_rank_loss(chain: InteractionLog) -> None:
    incumbent = fit(chain, "lrurec", 0, model_options=SMALL, training={"epochs": 1})
    model = build_model("lrurec", chain.n_items, 3, SMALL).eval()
    references = reference_lists(incumbent, 5)
    values = []
    for loss in ("softmax", "gbce"):
        curriculum = Finest(chain, references, FinestOptions(), TrainingOptions(loss=loss), 0)
        cut = curriculum.windows(0)
        values.append(curriculum.losses(model, cut.batch(cut.deal(16, 0, 0)[0]))["rank"].item())
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_each_term_alone_is_its_part_of_the_sum() -> None:
    scores = torch.tensor([[2.0, 1.0, 1.5, 0.9, 1.2, 0.0]])
    order = (0.0 + 0.6) / 2  # 2.0 leads 1.0 by more than 0.1; 1.0 leads 1.5 by -0.5
    margin = (0.0 + 0.3 + 0.0) / 3  # 2.0 against 0.9, 1.0 against 1.2, 1.5 against 0.0
    for terms, expected in ((("order",), order), (("margin",), margin), (("order", "margin"), order + margin)):
        found = rank_preserving_loss(scores, terms=terms)
        assert found.tolist() == pytest.approx([expected])
    assert rank_preserving_loss(torch.tensor([[1.0, 2.0]]), terms=("order",)).tolist() == [0]


def test_a_teacher_asked_for_each_batch_gives_the_stored_lists_where_nothing_was_edited(base: TrainedModel) -> None:
    options = FinestOptions(k=5, rho=0, weight=2.0)
    pair = [
        Finest(base.log, lists, options, base.options, seed=4)
        for lists in (reference_lists(base, 5), TeacherLists(copy.deepcopy(base.model), 30, 5))
    ]
    model = build_model("lrurec", 30, 7, {"hidden": 16, "blocks": 1}).eval()
    for dealt in pair[0].windows(0).deal(32, 0, 0):
        stored, asked = (curriculum.losses(model, curriculum.windows(0).batch(dealt)) for curriculum in pair)
        assert {name: loss.item() for name, loss in stored.items()} == pytest.approx(
            {name: loss.item() for name, loss in asked.items()}, rel=1e-5
        )
    # New interactions have a teacher's list too, so the mean is over all instances.
    teacher = TeacherLists(copy.deepcopy(base.model), 30, 5)
    edited = Finest(base.log, teacher, options.model_copy(update={"rho": 0.2}), base.options, seed=4)
    batch = edited.windows(0).batch(np.arange(40))
    everywhere = teacher(batch)
    scores = model.scores(batch.at_positions(model.hidden(batch))).gather(1, everywhere)
    n_batches = edited.windows(0).n_batches(base.options.batch_size)
    expected = 2 * rank_preserving_loss(scores).sum() * n_batches / edited.windows(0).n_instances
    assert float(edited.losses(model, batch)["rank"]) == pytest.approx(float(expected), rel=1e-5)


def test_after_a_night_both_losses_are_means(base: TrainedModel) -> None:
    """Batches are dealt as the incumbent's, whose log was half of today's; the balance is that of the weight alone."""
    today = base.log
    half = today.keep(np.arange(len(today)) - today.offsets[today.users] < 7)
    lists = reference_lists(TrainedModel.of(copy.deepcopy(base.model), half, training=base.options), 5)
    model = build_model("lrurec", 30, 7, {"hidden": 16, "blocks": 1}).eval()
    found = []
    for log in (today, replace(today, origin=half)):
        curriculum = Finest(log, lists, FinestOptions(k=5, rho=0, weight=2.0), base.options, seed=4)
        cut = curriculum.windows(0)
        parts = [curriculum.losses(model, cut.batch(dealt)) for dealt in cut.deal(base.options.batch_size, 0, 0)]
        found.append({name: np.mean([part[name].item() for part in parts]) for name in curriculum.parts})
    assert found[1] == pytest.approx(found[0], rel=1e-5)


@pytest.mark.parametrize(
    ("loss", "what"),
    [
        (lambda scores, items: scores.of(items).mean(), r"of shape \(\)"),
        (lambda scores, items: scores.of(items), r"of shape \(\d+, 10\)"),
        (lambda scores, items: scores.of(items)[:, :1], r"of shape \(\d+, 1\)"),
        (lambda scores, items: scores.of(items)[:1, 0], r"of shape \(1,\)"),
        (lambda scores, items: 0.0, "float"),
    ],
)
def test_a_loss_of_ones_own_gives_a_number_for_each_position(loss: Any, what: str, base: TrainedModel) -> None:
    curriculum = Finest(base.log, reference_lists(base, 5), FinestOptions(k=5), base.options, 4, loss=loss)
    with pytest.raises(OptionError, match=rf"of \d+ positions is {what}; expected a tensor of a number for each"):
        curriculum.losses(base.model, curriculum.windows(0).batch(np.arange(10)))


def test_without_the_next_item_loss_only_ranks_count(base: TrainedModel) -> None:
    both, alone = (
        Finest(base.log, reference_lists(base, 5), FinestOptions(k=5, next_item=word), base.options, 4)
        for word in (True, False)
    )
    assert (both.parts, alone.parts) == (("next_item", "rank"), ("rank",))
    batch = both.windows(0).batch(np.arange(10))
    assert alone.windows(0).batch(np.arange(10)).ids.tolist() == batch.ids.tolist()
    model = build_model("lrurec", 30, 7, {"hidden": 16, "blocks": 1}).eval()
    assert float(alone.losses(model, batch)["rank"]) == float(both.losses(model, batch)["rank"])
    assert "next_item" not in alone.losses(model, batch)


@pytest.mark.parametrize("method", ["finest:teacher=batch", "finest:next_item=false", "finest:terms=margin:k=4"])
def test_ablations_train_and_resume(method: str, base: TrainedModel, small_recipe: Recipe, tmp_path: Any) -> None:
    recipe = replace(small_recipe, finest=small_recipe.finest.model_copy(update={"epochs": 2}))
    whole = stabilizer(method, recipe).fit(base.log, 0, base)
    short = replace(recipe, finest=recipe.finest.model_copy(update={"epochs": 1}))
    stabilizer(method, short).fit(base.log, 0, base, checkpoint=tmp_path / "c")
    resumed = stabilizer(method, recipe).fit(base.log, 0, base, checkpoint=tmp_path / "c")
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weight, resumed.model.state_dict()[name])


def test_ablations_that_contradict_each_other_are_refused(small_recipe: Recipe) -> None:
    with pytest.raises(OptionError, match=r"use finest\.average=instance"):
        stabilizer("finest:teacher=batch:average=user", small_recipe)
    with pytest.raises(OptionError, match="terms"):
        stabilizer("finest:terms=sideways", small_recipe)
