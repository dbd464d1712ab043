"""Strategies that start from a trained model's weights with a fresh optimizer: warm start and FINEST."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from torch import Tensor

from finestrec.data.alignment import check_same_world
from finestrec.data.log import InteractionLog
from finestrec.errors import OptionError
from finestrec.options import Options, completed, validated
from finestrec.stabilizers.base import Kind, Recipe, Strategy, saver, trained_incumbent
from finestrec.stabilizers.finest import (
    Finest,
    FinestOptions,
    ReferenceLists,
    TeacherLists,
    reference_lists,
)
from finestrec.training.averaging import Averaging, interpolated
from finestrec.training.loop import Schedule, train
from finestrec.training.objectives import Curriculum, NextItem
from finestrec.training.progress import Progress
from finestrec.training.state import TrainingState
from finestrec.training.trained import TrainedModel


@dataclass(frozen=True)
class FineTuning(Strategy):
    """F epochs from the incumbent's weights on a curriculum; fresh moments, the fine-tuning learning rate.

    The log's catalogue may have grown: its first items are the incumbent's.

    Attributes:
        anchor: The model of which something is preserved, with its own training log; the incumbent by default.
    """

    kind: ClassVar[Kind] = "tuned"
    of_finest: ClassVar[frozenset[str]] = frozenset({"epochs", "lr"})

    anchor: TrainedModel | None = None

    def fit(
        self,
        log: InteractionLog,
        seed: int,
        incumbent: TrainedModel | None = None,
        *,
        checkpoint: Path | None = None,
    ) -> TrainedModel:
        """See `Strategy.fit`."""
        base = trained_incumbent(incumbent, type(self).__name__)
        check_same_world(log, base.log)
        options = self.recipe.finetuning
        model = self.recipe.copy_of(base, log.n_items)
        state = self._saved(checkpoint)
        if state is None or state.epochs_done < options.epochs:
            began = time.perf_counter()
            curriculum = self.curriculum(log, seed, self.anchor or base)
            state = train(
                model,
                curriculum,
                options,
                seed,
                preparation=time.perf_counter() - began,
                device=self.recipe.device,
                state=state,
                averaging=self.averaging,
                schedule=self.schedule,
                on_epoch=saver(checkpoint),
                progress=self.progress,
            )
        state = replace(state, weights=self.final_weights(state, self.anchor or base), averages={})
        model.load_state_dict(state.weights)
        return TrainedModel(model.eval(), log, seed, options, state)

    @property
    def averaging(self) -> Averaging | None:
        """Which average of the weights the fine-tuning ends with, if any."""
        return None

    @property
    def schedule(self) -> Schedule | None:
        """How the learning rate goes on; by default it stays."""
        return None

    def final_weights(self, state: TrainingState, anchor: TrainedModel) -> dict[str, Tensor]:
        """What the model is made of when the fine-tuning is over.

        An option alpha that acts after the training is the anchor's share in it.
        """
        if "alpha" not in self.after_training:
            return state.final_weights
        return interpolated(state, anchor.model, self.options.alpha)

    def curriculum(self, log: InteractionLog, seed: int, anchor: TrainedModel) -> Curriculum:
        """What the fine-tuning sees and minimises."""
        raise NotImplementedError


class WarmStart(FineTuning):
    """F epochs of next-item loss from the incumbent's weights."""

    def curriculum(self, log: InteractionLog, seed: int, anchor: TrainedModel) -> Curriculum:  # noqa: ARG002
        """The log as it is."""
        return NextItem(log, self.recipe.finetuning, seed)


@dataclass(frozen=True)
class Preserving(FineTuning):
    """Base of fine-tuning on simulated perturbations with a loss on the anchor's lists.

    What is simulated, and where lists come from, is in the recipe's options of FINEST.

    Attributes:
        references: Lists that were made already, in place of the anchor's.
        directory: Where very large reference lists are kept meanwhile.
    """

    strength: ClassVar[str | None] = "weight"
    preserves: ClassVar[bool] = True

    references: ReferenceLists | None = None
    directory: Path | None = None

    def lists(self, anchor: TrainedModel, k: int, n_items: int) -> ReferenceLists | TeacherLists:
        """The 2K items of each instance, for a catalogue that may have grown since."""
        if self.references is not None:
            return self.references
        if self.recipe.finest.teacher == "batch":
            return TeacherLists(self.recipe.copy_of(anchor, n_items), anchor.model.n_items, k)
        return reference_lists(anchor, k, self.directory)


class FinestTuning(Preserving):
    """FINEST: F epochs on simulated perturbations that preserve the incumbent's lists.

    Its options are the recipe's.
    """

    options_type: ClassVar[type[Options]] = FinestOptions
    after_training: ClassVar[frozenset[str]] = frozenset({"alpha"})
    of_finest: ClassVar[frozenset[str]] = frozenset(FinestOptions.model_fields)

    def _default_options(self) -> Options:
        return self.recipe.finest

    @classmethod
    def of(cls, recipe: Recipe, values: Mapping[str, Any], progress: Progress | None = None) -> Self:
        """See `Strategy.of`; the values stand above the recipe's."""
        options = validated(FinestOptions, {**recipe.finest.model_dump(), **values})
        return cls(replace(recipe, finest=options), progress=progress)

    def curriculum(self, log: InteractionLog, seed: int, anchor: TrainedModel) -> Curriculum:
        """Simulated perturbations and both losses."""
        options = self.recipe.finest
        return Finest(log, self.lists(anchor, options.k, log.n_items), options, self.recipe.finetuning, seed)


def finest(
    incumbent: TrainedModel,
    log: InteractionLog | None = None,
    *,
    options: dict[str, Any] | FinestOptions | None = None,
    references: ReferenceLists | None = None,
    seed: int | None = None,
    in_place: bool = False,
) -> TrainedModel:
    """Fine-tune a trained model so that its lists hold.

    Args:
        incumbent: The trained model; a model that was trained elsewhere comes in by `TrainedModel.of`.
        log: The training interactions to fine-tune on, by default those that it was trained on. Under the vocabulary
            and the interaction ids of those; see `finestrec.data.alignment`.
        options: FINEST's options, by field name or complete.
        references: Lists to preserve; by default the incumbent's, made now.
        seed: Drives simulation, order and dropout; by default the incumbent's.
        in_place: When all is done, give the new weights to the incumbent's model too, that is, to the module that it
            was adapted from. By default the incumbent is not changed.

    Returns:
        A new trained model.

    Raises:
        OptionError: If an option does not fit, or not with the references.
        DataError: If the log's items or ids are not the incumbent's.
        UnsupportedError: If the incumbent is not a torch model.
        TrainingError: If the loss is NaN or infinite.
    """
    incumbent = trained_incumbent(incumbent, "finest")
    recipe = Recipe(
        model=incumbent.model.name,
        model_options=incumbent.model.options,
        training=incumbent.options,
        finest=completed(FinestOptions, options, "finest"),
    )
    named = options.get("k") if isinstance(options, dict) else None
    if references is not None and named is not None and min(named, incumbent.model.n_items // 2) != references.k:
        raise OptionError(f"the references are of k={references.k} and the options say k={named}; leave k out of them")
    if references is not None and recipe.finest.teacher == "batch":
        raise OptionError(
            "references were given, and finest.teacher=batch asks the incumbent for others in each batch; leave out one"
        )
    fitter = FinestTuning(recipe, references=references)
    stable = fitter.fit(incumbent.log if log is None else log, incumbent.seed if seed is None else seed, incumbent)
    if in_place:
        incumbent.model.load_state_dict(stable.model.state_dict())
    return stable
