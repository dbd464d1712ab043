"""A model, what it was trained on, and how: what every later step starts from."""

from dataclasses import dataclass
from typing import Any

from finestrec.data.log import InteractionLog
from finestrec.data.sequences import Instances, Windows, windows
from finestrec.data.splits import validation_split
from finestrec.errors import DataError, OptionError
from finestrec.models import ModelFactory, NextItemModel, build_model, check_model, model_type
from finestrec.options import completed, validated
from finestrec.ranking import TopLists, rank
from finestrec.training.loop import OnEpoch, train
from finestrec.training.objectives import NextItem
from finestrec.training.options import DeviceOptions, TrainingOptions
from finestrec.training.progress import Progress
from finestrec.training.state import TrainingState


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A trained model that can rank, be continued and be fine-tuned.

    Attributes:
        model: In evaluation mode, on the host.
        log: The training interactions.
        seed: The seed of its training.
        options: How it was trained.
        state: Weights, moments and the record of the epochs.
    """

    model: NextItemModel
    log: InteractionLog
    seed: int
    options: TrainingOptions
    state: TrainingState

    @classmethod
    def of(
        cls,
        model: NextItemModel,
        log: InteractionLog,
        seed: int = 0,
        *,
        training: dict[str, Any] | TrainingOptions | None = None,
    ) -> "TrainedModel":
        """A model that was trained elsewhere, as it is: the start of FINEST, a warm start, a comparison.

        Args:
            model: Of ours or adapted; put into evaluation mode.
            log: What it was trained on, under the catalogue of the model.
            seed: Of what comes later.
            training: Options of what comes later, by field name or complete; max_length is the model's by default.

        Raises:
            OptionError: If it is no such model, the log has another number of items, or max_length is more than the
                model reads.
        """
        if not isinstance(model, NextItemModel):
            raise OptionError(
                f"the model is a {type(model).__name__}; expected a NextItemModel; finestrec.models.adapters"
                " makes one of a torch module: adapt(module, n_items, max_length, Declaration(...))"
            )
        if log.n_items != model.n_items:
            raise OptionError(
                f"the model scores {model.n_items:,} items and the log's catalogue has {log.n_items:,}; bring the log"
                " under the model's catalogue with log.with_items"
            )
        if not isinstance(training, TrainingOptions):
            training = validated(TrainingOptions, {"max_length": model.max_length, **(training or {})}, "training")
        if training.max_length > model.max_length:
            raise OptionError(
                f"training.max_length is {training.max_length}, but the model reads at most {model.max_length} items"
            )
        return cls(model.eval(), log, seed, training, TrainingState.of(model))

    @property
    def windows(self) -> Windows:
        """The windows of its training log."""
        return windows(self.log, self.options.max_length, self.options.window)

    def rank(self, instances: Instances, k: int) -> TopLists:
        """The k best items of each instance; see `finestrec.ranking.rank`."""
        return rank(self.model, instances, k)


def training_options(
    model: str | ModelFactory, options: dict[str, Any] | TrainingOptions | None = None
) -> TrainingOptions:
    """General defaults, then those of a model of ours, then the given ones.

    Raises:
        OptionError: If there is no such model, or an option does not fit.
    """
    check_model(model)
    if isinstance(options, TrainingOptions):
        return options
    defaults = model_type(model).training_defaults if isinstance(model, str) else {}
    return validated(TrainingOptions, {**defaults, **(options or {})}, "training")


def fit(
    log: InteractionLog,
    model: str | ModelFactory,
    seed: int = 0,
    *,
    model_options: dict[str, Any] | None = None,
    training: dict[str, Any] | TrainingOptions | None = None,
    device: dict[str, Any] | DeviceOptions | None = None,
    state: TrainingState | None = None,
    on_epoch: OnEpoch | None = None,
    progress: Progress | None = None,
) -> TrainedModel:
    """Train a model from its initial weights.

    Args:
        log: The training interactions.
        model: A name of `MODELS`; or a function of the number of items and the longest input that makes a model of
            your own (see `finestrec.models.adapters`).
        seed: Drives initial weights, order and dropout.
        model_options: Options of a model of ours, by field name.
        training: Options of the training, by field name over the model's defaults, or complete.
        device: Where to run, by field name or complete.
        state: An earlier state of the same run to go on from.
        on_epoch: See `finestrec.training.loop.train`.
        progress: See there.

    Raises:
        OptionError: If a name is unknown, or a factory's model does not fit.
        DataError: If there is nothing to learn from, or to hold out for early stopping.
        TrainingError: If the loss is NaN or infinite.
    """
    options = training_options(model, training)
    network = build_model(model, log.n_items, seed, model_options, max_length=options.max_length)
    held_out = validation_split(log) if options.patience is not None else None
    if held_out is not None and held_out.is_train.all():
        raise DataError(
            "no user has a second training interaction to hold out for early stopping; train without training.patience"
        )
    state = train(
        network,
        NextItem(held_out.train if held_out else log, options, seed),
        options,
        seed,
        device=completed(DeviceOptions, device, "device"),
        state=state,
        validation=held_out.held_out(options.max_length) if held_out else None,
        on_epoch=on_epoch,
        progress=progress,
    )
    return TrainedModel(network, log, seed, options, state)
