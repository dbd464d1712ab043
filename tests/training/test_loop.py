"""The loop: what is resumed, what is coupled, what is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from chains import markov_log
from finestrec.data.log import InteractionLog
from finestrec.data.sequences import windows
from finestrec.data.splits import split
from finestrec.errors import DataError, OptionError, RunFolderError, TrainingError
from finestrec.models import LSTM, MODELS, build_model
from finestrec.perturbation.edits import edit
from finestrec.stabilizers import Recipe, Retrain
from finestrec.stabilizers.base import SaveTo
from finestrec.training.loop import train
from finestrec.training.objectives import NextItem
from finestrec.training.options import DeviceOptions, TrainingOptions
from finestrec.training.state import TrainingState
from finestrec.training.trained import TrainedModel, fit

SMALL = {"hidden": 16, "blocks": 1}


def fitted(log: InteractionLog, model: str = "lrurec", seed: int = 0, **training: Any) -> TrainedModel:
    options: Any = {"epochs": 3, "lr": 5e-3, **training}
    return fit(log, model, seed, model_options=SMALL, training=options)


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("model", ["lrurec", "lstm"])
def test_the_same_seed_twice_gives_the_same_bits(model: str, chain: InteractionLog) -> None:
    first, second, other = (fitted(chain, model, seed).state for seed in (1, 1, 2))
    assert same(first.weights, second.weights)
    assert same(first.moments, second.moments)
    assert not same(first.weights, other.weights)


def test_the_global_generator_is_left_alone(chain: InteractionLog) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    fitted(chain, epochs=1)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("stop_after", [1, 2])
@pytest.mark.parametrize("patience", [None, 5])
def test_a_resumed_run_ends_with_the_bits_of_an_uninterrupted_one(
    stop_after: int, patience: int | None, chain: InteractionLog, tmp_path: Path
) -> None:
    whole = fitted(chain, patience=patience).state
    saved = tmp_path / "checkpoint.safetensors"

    class StopError(Exception):
        pass

    def save_and_stop(state: TrainingState) -> None:
        state.save(saved)
        if state.epochs_done == stop_after:
            raise StopError

    arguments: Any = {"model_options": SMALL, "training": {"epochs": 3, "lr": 5e-3, "patience": patience}}
    with pytest.raises(StopError):
        fit(chain, "lrurec", 0, **arguments, on_epoch=save_and_stop)
    resumed = fit(chain, "lrurec", 0, **arguments, state=TrainingState.load(saved)).state
    assert same(whole.weights, resumed.weights)
    assert same(whole.moments, resumed.moments)
    assert same(whole.best_weights, resumed.best_weights)
    assert [record.losses for record in whole.history] == [record.losses for record in resumed.history]


def test_weight_decay_acts_on_what_the_model_names(chain: InteractionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Adam's first step is the sign of the gradient, which a heavy penalty makes the weight's own."""
    monkeypatch.setattr(LSTM, "decayed", ("items.weight", "layers.0.bias"))
    before = build_model("lstm", chain.n_items, 0, SMALL).state_dict()
    one_step: Any = {"epochs": 1, "lr": 1e-3, "batch_size": 1000, "clip_norm": None}
    without, with_decay = (
        fit(chain, "lstm", 0, model_options=SMALL, training={**one_step, "weight_decay": decay}).state.weights
        for decay in (0, 1e6)
    )
    for name, initial in before.items():
        if name.startswith(("items.weight", "layers.0.bias")):
            torch.testing.assert_close(with_decay[name], initial - 1e-3 * initial.sign(), rtol=0, atol=1e-6)
        else:
            assert torch.equal(with_decay[name], without[name])


def test_long_gradients_are_clipped_and_short_ones_left_alone(chain: InteractionLog) -> None:
    """After one step Adam's first moments are a tenth of the gradient."""

    def gradient(clip_norm: float | None) -> dict[str, torch.Tensor]:
        one_step: Any = {"epochs": 1, "batch_size": 1000, "clip_norm": clip_norm, "weight_decay": 0}
        moments = fit(chain, "lstm", 0, model_options=SMALL, training=one_step).state.moments
        return {key: 10 * moment for key, moment in moments.items() if key.startswith("exp_avg/")}

    plain = gradient(None)
    norm = float(torch.stack([each.square().sum() for each in plain.values()]).sum().sqrt())
    assert same(gradient(1.01 * norm), plain)
    for key, each in gradient(norm / 3).items():
        torch.testing.assert_close(each, plain[key] / 3, rtol=1e-4, atol=1e-9)


def test_a_longer_run_begins_as_the_shorter_one(chain: InteractionLog, small_recipe: Recipe) -> None:
    """Epochs are no part of any stream, so going on from E epochs equals training for more of them."""
    base = Retrain(small_recipe).fit(chain, 0)
    longer = small_recipe.training.model_copy(update={"epochs": 5})
    continued = fit(
        chain, "lrurec", 0, model_options=small_recipe.model_options.model_dump(), training=longer, state=base.state
    )
    at_once = Retrain(replace(small_recipe, training=longer)).fit(chain, 0)
    assert same(continued.state.weights, at_once.state.weights)


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_the_loss_of_an_epoch_weighs_all_positions_alike(share: float) -> None:
    """The mean of a step's loss over an epoch's batches at fixed weights is that over all positions of the log.

    Also of a log whose batches are dealt as those of another one, of which half is left.
    """
    log = markov_log(60, 12, 14, seed=1).keep(np.random.default_rng(0).random(60 * 14) < 0.7)
    if share < 1:
        log = edit(log, "delete", np.flatnonzero(np.random.default_rng(1).random(len(log)) > share)).log
    options = TrainingOptions(batch_size=8)
    curriculum = NextItem(log, options, 0)
    model = build_model("lrurec", 12, 0, SMALL).eval()
    cut = curriculum.windows(0)
    batches = cut.deal(8, 0, 0)
    with torch.no_grad():
        per_batch = [float(curriculum.losses(model, cut.batch(dealt))["next_item"]) for dealt in batches]
        instances = cut.instances()
        total = 0.0
        for _, batch in instances.batches(10_000, shared=False):
            scores = model.scores(batch.at_positions(model.hidden(batch)))
            total += float(torch.nn.functional.cross_entropy(scores, batch.targets, reduction="sum"))
    assert np.mean(per_batch) == pytest.approx(total / len(instances), rel=1e-5)


def test_one_deletion_re_deals_no_batch(chain: InteractionLog) -> None:
    edited = edit(chain, "delete", np.array([7])).log
    options = TrainingOptions(batch_size=16)
    before, after = NextItem(chain, options, 0), NextItem(edited, options, 0)
    for dealt, again in zip(before.windows(0).deal(16, 3, 2), after.windows(0).deal(16, 3, 2), strict=True):
        assert dealt.tolist() == again.tolist()


def test_runs_on_almost_equal_logs_stay_closer_than_runs_of_two_seeds(chain: InteractionLog) -> None:
    edited = edit(chain, "delete", np.array([7])).log

    def distance(first: TrainedModel, second: TrainedModel) -> float:
        a, b = first.state.weights, second.state.weights
        return float(sum((a[key] - b[key]).square().sum() for key in a))

    base = fitted(chain)
    assert distance(base, fitted(edited)) < 0.2 * distance(base, fitted(chain, seed=1))


@pytest.mark.parametrize("model", ["lrurec", "lstm"])
def test_two_devices_compute_what_one_does(model: str, chain: InteractionLog, tmp_path: Path) -> None:
    """Without dropout, whose masks each device draws for its own rows."""
    options = TrainingOptions(epochs=2, lr=5e-3, batch_size=32, clip_norm=5.0)
    results = []
    for devices in (1, 2):
        network = build_model(model, chain.n_items, 0, {**SMALL, "dropout": 0.0})
        saved = SaveTo(tmp_path / f"{devices}.safetensors")
        state = train(
            network,
            NextItem(chain, options, 0),
            options,
            0,
            device=DeviceOptions(devices=devices, threads=1),
            on_epoch=saved,
        )
        assert same(TrainingState.load(saved.path).weights, state.weights)
        assert same(network.state_dict(), state.weights)
        results.append(state)
    one, two = results
    for key, value in one.weights.items():
        torch.testing.assert_close(two.weights[key], value, rtol=1e-3, atol=1e-4)
    for first, second in zip(one.history, two.history, strict=True):
        assert second.losses["next_item"] == pytest.approx(first.losses["next_item"], rel=1e-4)


def test_two_devices_end_with_equal_weights(chain: InteractionLog, tmp_path: Path) -> None:
    options = TrainingOptions(epochs=1, batch_size=32)
    train(
        build_model("lrurec", chain.n_items, 0, SMALL),
        WritesItsWeights(chain, options, tmp_path),
        options,
        0,
        device=DeviceOptions(devices=2, threads=1),
    )
    ranks = sorted(tmp_path.glob("rank-*.pt"))
    assert len(ranks) == 2
    first, second = (TrainingState.load(path).weights for path in ranks)
    assert same(first, second)


class WritesItsWeights(NextItem):
    """Writes the weights that each rank starts the last steps with."""

    def __init__(self, log: InteractionLog, options: TrainingOptions, folder: Path) -> None:
        super().__init__(log, options, 0)
        self._folder = folder

    def losses(self, model: Any, batch: Any) -> dict[str, torch.Tensor]:
        rank = torch.distributed.get_rank()
        TrainingState.of(model).save(self._folder / f"rank-{rank}.pt")
        return super().losses(model, batch)


def test_fewer_rows_than_devices_are_no_obstacle() -> None:
    log = markov_log(3, 12, 14, seed=1)
    options = TrainingOptions(epochs=1, batch_size=1)
    network = build_model("lrurec", 12, 0, SMALL)
    state = train(network, NextItem(log, options, 0), options, 0, device=DeviceOptions(devices=2, threads=1))
    assert state.epochs_done == 1


def test_a_loss_that_is_not_finite_stops_with_epoch_step_and_rate(chain: InteractionLog) -> None:
    with pytest.raises(TrainingError, match=r"the loss is (nan|inf) in epoch 1, step \d+, at learning rate 1e\+30"):
        fitted(chain, lr=1e30)


def at_two(model: str, chain: InteractionLog, *devices: DeviceOptions) -> tuple[list[TrainedModel], list[list[float]]]:
    """A model trained at two precisions, and the losses of both."""
    recipe = {"model_options": SMALL, "training": {"epochs": 3, "lr": 5e-3}}
    fits = [fit(chain, model, device=device, **recipe) for device in devices]
    return fits, [[record.losses["next_item"] for record in each.state.history] for each in fits]


@pytest.mark.parametrize("model", list(MODELS))
def test_mixed_precision_trains_as_single_precision_does(model: str, chain: InteractionLog) -> None:
    (_, mixed), losses = at_two(model, chain, DeviceOptions(), DeviceOptions(precision="bf16-mixed"))
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    assert all(weight.dtype == torch.float32 for weight in mixed.state.weights.values() if weight.is_floating_point())


@pytest.mark.parametrize("model", list(MODELS))
def test_coarser_products_train_alike_and_nothing_else_is_coarser(model: str, chain: InteractionLog) -> None:
    """On a processor without bfloat16 they are float32 products, and both runs are the same."""
    _, losses = at_two(model, chain, DeviceOptions(), DeviceOptions(matmul_precision="medium"))
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():
        assert losses[0] != losses[1]


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_what_the_process_has_set_of_torchs_precision_is_left_as_it_was(precision: str, chain: InteractionLog) -> None:
    products = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul
    before = [each.fp32_precision for each in products]
    try:
        products[0].fp32_precision = "tf32"
        set_now = [each.fp32_precision for each in products]
        fit(
            chain,
            "lrurec",
            model_options=SMALL,
            training={"epochs": 1},
            device=DeviceOptions(matmul_precision=precision),
        )
        assert [each.fp32_precision for each in products] == set_now
    finally:
        for each, value in zip(products, before, strict=True):
            each.fp32_precision = value


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ({"device": "cuda"}, "device is cuda, which torch does not find"),
        ({"device": "mps"}, "device is mps, which torch does not find"),
        ({"precision": "16-mixed"}, "16-mixed, which a cpu does not have"),
    ],
)
def test_what_a_machine_does_not_have_is_refused(
    device: dict[str, Any], words: str, chain: InteractionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(OptionError, match=words):
        fit(chain, "lrurec", device=DeviceOptions(**device))
    with pytest.raises(OptionError, match=words):
        fit(chain, "lrurec", device=device)


def test_a_device_option_that_does_not_exist_is_refused(chain: InteractionLog) -> None:
    with pytest.raises(OptionError, match=r"unknown option device.cores"):
        Recipe.of("lrurec", device={"cores": 2})
    with pytest.raises(OptionError, match=r"unknown option device.cores"):
        fit(chain, "lrurec", device={"cores": 2})
    with pytest.raises(OptionError, match=r"device is 2; expected options by name in a dict, or DeviceOptions"):
        fit(chain, "lrurec", device=2)  # type: ignore[arg-type]


def test_a_log_with_nothing_to_learn_from_is_refused(chain: InteractionLog) -> None:
    firsts = np.zeros(len(chain), dtype=bool)
    firsts[chain.offsets[:-1]] = True
    with pytest.raises(DataError, match=r"nothing to learn from: of [\d,]+ training interactions none follows"):
        fitted(chain.keep(firsts))
    firsts[chain.offsets[0] : chain.offsets[1]] = True
    one = chain.keep(firsts)
    assert fitted(one).state.epochs_done == 3
    with pytest.raises(DataError, match="no user has a second training interaction"):
        fitted(chain.keep(np.isin(np.arange(len(chain)), chain.offsets[:-1])), patience=1)


def test_the_seconds_of_a_preparation_are_the_first_epochs(chain: InteractionLog) -> None:
    options = TrainingOptions(epochs=2)
    model = build_model("lstm", chain.n_items, 0, SMALL, max_length=50)
    state = train(model, NextItem(chain, options, 0), options, 0, preparation=1000.0)
    first, second = (record.seconds for record in state.history)
    assert first > 1000 > second
    longer = train(
        model, NextItem(chain, options, 0), options.model_copy(update={"epochs": 3}), 0, state=state, preparation=1000.0
    )
    assert longer.history[2].seconds < 1000


def test_early_stopping_keeps_the_best_weights(chain: InteractionLog) -> None:
    trained = fitted(chain, epochs=40, patience=2, lr=3e-2)
    scores = [record.validation_ndcg for record in trained.state.history]
    assert None not in scores
    best = int(np.argmax([score or 0 for score in scores]))
    assert len(scores) - 1 - best <= 2
    assert same(trained.model.state_dict(), trained.state.best_weights)
    again = fitted(chain, epochs=best + 1, patience=40, lr=3e-2)
    assert same(again.model.state_dict(), trained.model.state_dict())


def test_the_state_file_is_whole_or_refused(chain: InteractionLog, tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    fitted(chain, epochs=1).state.save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(RunFolderError, match="truncated or not ours"):
        TrainingState.load(path)
    path.write_bytes(content.replace(b"finestrec-state-2", b"finestrec-state-9"))
    with pytest.raises(RunFolderError, match="another version"):
        TrainingState.load(path)


@pytest.mark.parametrize(
    "options", [{"epochs": 0}, {"lr": -1.0}, {"lr": float("nan")}, {"epoch": 3}, {"window": "first"}]
)
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TrainingOptions(**options)


def test_windows_of_the_whole_history_train_on_every_interaction(chain: InteractionLog) -> None:
    cut = windows(chain, 5, "all")
    assert cut.n_instances == len(chain) - chain.n_users
    assert fitted(chain, max_length=5, window="all", epochs=1).state.epochs_done == 1


@pytest.mark.parametrize(("loss", "epochs"), [("bce", 12), ("sampled_softmax", 12), ("gbce", 40)])
def test_sampled_losses_learn_order(loss: str, epochs: int, chain: InteractionLog) -> None:
    """Calibration weakens the pull of the next item, so gbce takes longer to begin."""
    parts = split(chain)
    training = {"epochs": epochs, "lr": 1e-2, "loss": loss, "negatives": 8}
    trained = fit(parts.train, "lrurec", 0, model_options=SMALL, training=training)
    ranks = trained.rank(parts.held_out(50), 10).target_ranks
    assert (ranks == 1).mean() > 0.6
