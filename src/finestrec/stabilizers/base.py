"""What the audit asks of any recommender, and what our strategies share.

The audit depends on two small protocols only, so a user's own model is audited by an object with `fit` that
returns an object with `rank`. Our strategies add what the regimes of METHOD, section 3, need.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from finestrec.data.log import InteractionLog
from finestrec.data.sequences import Instances
from finestrec.errors import OptionError, UnsupportedError
from finestrec.models import MODELS, ModelFactory, NextItemModel, build_model, model_name, model_type
from finestrec.options import Options, completed, validated
from finestrec.ranking import TopLists, rank
from finestrec.stabilizers.finest import FinestOptions
from finestrec.training.growing import grown_state
from finestrec.training.loop import OnEpoch
from finestrec.training.options import DeviceOptions, TrainingOptions
from finestrec.training.progress import Progress
from finestrec.training.state import TrainingState
from finestrec.training.trained import TrainedModel, fit, training_options

Kind = Literal["cold", "tuned", "served"]
"""cold: trained from the initial weights; tuned: F epochs from the incumbent's weights; served: nothing is trained, a
newly trained model's lists and the incumbent's are merged when they are served."""


class Ranker(Protocol):
    """Something that was trained."""

    def rank(self, instances: Instances, k: int) -> TopLists:
        """The k best items of each instance."""
        ...


class Fitter(Protocol):
    """Something that trains."""

    def fit(self, log: InteractionLog, seed: int, incumbent: Any = None) -> Ranker:
        """Train on a log, from an earlier result of `fit` where the strategy wants one."""
        ...


@dataclass(frozen=True)
class Recipe:
    """A model and all that steers its training.

    Attributes:
        model: A name of `MODELS`; or a factory of a model of your own, as `finestrec.training.trained.fit` takes.
            A folder of an audit tells factories apart by their name alone: after a change inside one, use another.
        model_options: Options of a model of ours; a factory has none.
        training: Base training: E epochs.
        finest: Fine-tuning: F epochs; warm start takes its epochs and learning rate too.
        device: Where to run.
    """

    model: str | ModelFactory
    model_options: Options
    training: TrainingOptions
    finest: FinestOptions = field(default_factory=FinestOptions)
    device: DeviceOptions = field(default_factory=DeviceOptions)

    @classmethod
    def of(
        cls,
        model: str | ModelFactory,
        *,
        model_options: dict[str, Any] | None = None,
        training: dict[str, Any] | None = None,
        finest: dict[str, Any] | FinestOptions | None = None,
        device: dict[str, Any] | DeviceOptions | None = None,
    ) -> "Recipe":
        """Compose general defaults, the model's defaults and the given options.

        Raises:
            OptionError: If the model is unknown, or a factory is given options.
        """
        if not isinstance(model, str) and model_options:
            raise OptionError(
                f"{model_name(model)} is a factory and takes no options; give it its own, as with functools.partial"
            )
        options_type = model_type(model).options_type if isinstance(model, str) else Options
        return cls(
            model=model,
            model_options=validated(options_type, model_options or {}, "model"),
            training=training_options(model, training),
            finest=completed(FinestOptions, finest, "finest"),
            device=completed(DeviceOptions, device, "device"),
        )

    @property
    def finetuning(self) -> TrainingOptions:
        """The base training's options with the epochs and the learning rate of fine-tuning, to its end."""
        return self.training.model_copy(update={"epochs": self.finest.epochs, "lr": self.finest.lr, "patience": None})

    def train(
        self,
        log: InteractionLog,
        seed: int,
        *,
        epochs: int | None = None,
        state: TrainingState | None = None,
        on_epoch: OnEpoch | None = None,
        progress: Progress | None = None,
    ) -> TrainedModel:
        """Train from the initial weights; see `finestrec.training.trained.fit`.

        Args:
            log: The training interactions.
            seed: Drives every stream.
            epochs: In place of the base training's E.
            state: An earlier state of the same run to go on from.
            on_epoch: Called with the state after each epoch.
            progress: Shown while training.
        """
        training = self.training if epochs is None else self.training.model_copy(update={"epochs": epochs})
        return fit(
            log,
            self.model,
            seed,
            model_options=self.model_options.model_dump(),
            training=training,
            device=self.device,
            state=state,
            on_epoch=on_epoch,
            progress=progress,
        )

    def copy_of(self, trained: TrainedModel, n_items: int | None = None) -> NextItemModel:
        """A new model with the weights of a trained one.

        Args:
            trained: The model to copy.
            n_items: Size of a catalogue that has grown since; the rows of new items are initial ones.

        Raises:
            UnsupportedError: If the catalogue has grown and the model is not one of ours.
        """
        before = trained.model.n_items
        if n_items is None or n_items == before:
            return copy.deepcopy(trained.model)
        if type(trained.model) not in MODELS.values():
            raise UnsupportedError(
                f"the catalogue has {n_items} items and the model {before}; where a module of your own keeps its items"
                " is not known, so it cannot grow: train it anew, or use log.with_items to stay with its catalogue"
            )
        model = build_model(self.model, n_items, trained.seed, self.model_options, max_length=trained.model.max_length)
        model.load_state_dict(grown_state(TrainingState.of(trained.model), model).weights)
        return model


def trained_incumbent(incumbent: Any, wanted_by: str) -> TrainedModel:
    """The trained model that a strategy starts from.

    Raises:
        OptionError: If there is none.
        UnsupportedError: If it is something else, whose weights nobody can change.
    """
    if incumbent is None:
        raise OptionError(f"{wanted_by} starts from a trained model, but none was given: pass incumbent=")
    if not isinstance(incumbent, TrainedModel):
        raise UnsupportedError(
            f"{wanted_by} changes the weights of a TrainedModel and was given a {type(incumbent).__name__}. What only"
            " returns lists can be audited, not fine-tuned; a torch module comes in by"
            " TrainedModel.of(finestrec.models.adapters.adapt(module, ...), log)"
        )
    return incumbent


class NoOptions(Options):
    """Of strategies that are steered by the recipe alone."""


@dataclass(frozen=True)
class Strategy:
    """Base of our strategies: a recipe, options of its own, and where to keep the state of an unfinished run.

    Attributes:
        recipe: What is trained.
        options: Of `options_type`; what steers this strategy and no other.
        progress: Shown while training.
    """

    kind: ClassVar[Kind] = "cold"
    options_type: ClassVar[type[Options]] = NoOptions
    strength: ClassVar[str | None] = None
    """The one option that buys stability: the higher, the closer to the incumbent; or, of those that look at none, the
    less depends on single interactions."""
    after_training: ClassVar[frozenset[str]] = frozenset()
    """Options that act when all is trained, so that one training is enough for any of their values: a finished
    checkpoint of one is taken for every other."""
    preserves: ClassVar[bool] = False
    """Whether something of the incumbent is preserved beyond the start from its weights."""
    of_finest: ClassVar[frozenset[str]] = frozenset()
    """Which of the recipe's options of FINEST it reads."""

    recipe: Recipe
    options: Any = None
    progress: Progress | None = None

    def __post_init__(self) -> None:
        if self.options is None:
            object.__setattr__(self, "options", self._default_options())

    def _default_options(self) -> Options:
        return self.options_type()

    @classmethod
    def of(cls, recipe: Recipe, values: Mapping[str, Any], progress: Progress | None = None) -> Self:
        """A strategy with raw values of its options over their defaults.

        Raises:
            OptionError: If an option is unknown or a value does not fit.
        """
        return cls(recipe, validated(cls.options_type, values), progress)

    @property
    def trained_as(self) -> str:
        """Names what is trained: a finished checkpoint of one strategy is that of every other of equal name."""
        return f"{type(self).__name__} {self.options.model_dump_json(exclude=set(self.after_training))}"

    @property
    def strength_is_free(self) -> bool:
        """Whether all strengths share one training."""
        return self.strength in self.after_training

    @property
    def epochs(self) -> float:
        """Epochs of its trainings, for the time that is left."""
        return {"cold": self.recipe.training.epochs, "tuned": self.recipe.finest.epochs, "served": 0}[self.kind]

    def fit(
        self,
        log: InteractionLog,
        seed: int,
        incumbent: TrainedModel | None = None,
        *,
        checkpoint: Path | None = None,
    ) -> Any:
        """Train; see the strategy's own docstring.

        Args:
            log: The training interactions.
            seed: Drives every stream.
            incumbent: The result that the strategy starts from, if it wants one.
            checkpoint: A file that keeps the state after each epoch; a run that finds one goes on from it.

        Returns:
            A `TrainedModel`; of a policy of serving a `Ranker`.
        """
        raise NotImplementedError

    @property
    def trainer(self) -> "Strategy":
        """What trains the model: itself, but of a policy of serving."""
        return self

    def served(self, new: TrainedModel, incumbent: TrainedModel) -> Ranker:  # noqa: ARG002
        """What makes the lists once the model is trained: itself, but of a policy of serving."""
        return new

    @staticmethod
    def _saved(checkpoint: Path | None) -> TrainingState | None:
        return TrainingState.load(checkpoint) if checkpoint is not None and checkpoint.exists() else None


@dataclass(frozen=True, eq=False)
class BeforeGrowth:
    """A model of before the catalogue grew, which lists none of the items that are new to it.

    Attributes:
        model: Over the catalogue of now.
        is_new: Items that it does not know, shape (N,).
    """

    model: NextItemModel
    is_new: NDArray[np.bool_]

    @classmethod
    def of(cls, recipe: Recipe, trained: TrainedModel, n_items: int) -> Self:
        """A trained model over a catalogue that may have grown since."""
        return cls(recipe.copy_of(trained, n_items).eval(), np.arange(n_items) >= trained.model.n_items)

    def rank(self, instances: Instances, k: int) -> TopLists:
        """See `Ranker`."""
        return rank(self.model, instances, k, unlisted=self.is_new)


@dataclass(frozen=True)
class SaveTo:
    """An `on_epoch` that keeps the newest state in a file; picklable."""

    path: Path

    def __call__(self, state: TrainingState) -> None:
        """Write the state."""
        state.save(self.path)


def saver(checkpoint: Path | None) -> SaveTo | None:
    """The `on_epoch` of an optional checkpoint file."""
    return None if checkpoint is None else SaveTo(checkpoint)
