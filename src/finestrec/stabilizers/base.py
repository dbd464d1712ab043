"""What the audit asks of any recommender, and what our strategies share.

The audit depends on two small protocols only, so a user's own model is audited by an object with `fit` that
returns an object with `rank`. Our strategies add what the regimes of METHOD, section 3, need.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from finestrec.data.log import InteractionLog
from finestrec.data.sequences import Instances
from finestrec.errors import OptionError
from finestrec.models import build_model, model_type
from finestrec.models.base import ModelOptions, NextItemModel
from finestrec.ranking import TopLists
from finestrec.stabilizers.finest import FinestOptions
from finestrec.training.growing import grown_state
from finestrec.training.options import DeviceOptions, TrainingOptions
from finestrec.training.progress import Progress
from finestrec.training.state import TrainingState
from finestrec.training.trained import TrainedModel, training_options


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
    """A model of ours and all that steers its training.

    Attributes:
        model: A name of `MODELS`.
        model_options: Options of the model.
        training: Base training: E epochs.
        finest: Fine-tuning: F epochs; warm start takes its epochs and learning rate too.
        device: Where to run.
    """

    model: str
    model_options: ModelOptions
    training: TrainingOptions
    finest: FinestOptions = field(default_factory=FinestOptions)
    device: DeviceOptions = field(default_factory=DeviceOptions)

    @classmethod
    def of(
        cls,
        model: str,
        *,
        model_options: dict[str, Any] | None = None,
        training: dict[str, Any] | None = None,
        finest: dict[str, Any] | FinestOptions | None = None,
        device: DeviceOptions | None = None,
    ) -> "Recipe":
        """Compose general defaults, the model's defaults and the given options.

        Raises:
            OptionError: If the model is unknown.
        """
        return cls(
            model=model,
            model_options=model_type(model).options_type.model_validate(model_options or {}),
            training=training_options(model, training),
            finest=finest if isinstance(finest, FinestOptions) else FinestOptions.model_validate(finest or {}),
            device=device or DeviceOptions(),
        )

    @property
    def finetuning(self) -> TrainingOptions:
        """The base training's options with the epochs and the learning rate of fine-tuning, to its end."""
        return self.training.model_copy(update={"epochs": self.finest.epochs, "lr": self.finest.lr, "patience": None})

    def copy_of(self, trained: TrainedModel, n_items: int | None = None) -> NextItemModel:
        """A new model with the weights of a trained one.

        Args:
            trained: The model to copy.
            n_items: Size of a catalogue that has grown since; the rows of new items are initial ones.
        """
        model = build_model(
            self.model,
            n_items or trained.model.n_items,
            trained.seed,
            self.model_options,
            max_length=trained.model.max_length,
        )
        model.load_state_dict(grown_state(TrainingState.of(trained.model), model).weights)
        return model


@dataclass(frozen=True)
class Strategy:
    """Base of our strategies: a recipe, and where to keep the state of an unfinished run.

    Attributes:
        recipe: What is trained.
        progress: Shown while training.
    """

    recipe: Recipe
    progress: Progress | None = None

    def fit(
        self,
        log: InteractionLog,
        seed: int,
        incumbent: TrainedModel | None = None,
        *,
        checkpoint: Path | None = None,
    ) -> TrainedModel:
        """Train; see the strategy's own docstring.

        Args:
            log: The training interactions.
            seed: Drives every stream.
            incumbent: The result that the strategy starts from, if it wants one.
            checkpoint: A file that keeps the state after each epoch; a run that finds one goes on from it.
        """
        raise NotImplementedError

    def _incumbent(self, incumbent: TrainedModel | None) -> TrainedModel:
        if incumbent is None:
            raise OptionError(f"{type(self).__name__} starts from a trained model, but none was given: pass incumbent=")
        return incumbent

    @staticmethod
    def _saved(checkpoint: Path | None) -> TrainingState | None:
        return TrainingState.load(checkpoint) if checkpoint is not None and checkpoint.exists() else None


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
