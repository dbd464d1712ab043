"""Strategies that start from a trained model's weights with a fresh optimizer: warm start and FINEST."""

from dataclasses import dataclass
from pathlib import Path

from finestrec.data.log import InteractionLog
from finestrec.stabilizers.base import Strategy, saver
from finestrec.stabilizers.finest import Finest, reference_lists
from finestrec.training.loop import train
from finestrec.training.objectives import Curriculum, NextItem
from finestrec.training.trained import TrainedModel


class FineTuning(Strategy):
    """F epochs from the incumbent's weights on a curriculum; fresh moments, the fine-tuning learning rate."""

    def fit(
        self,
        log: InteractionLog,
        seed: int,
        incumbent: TrainedModel | None = None,
        *,
        checkpoint: Path | None = None,
    ) -> TrainedModel:
        """See `Strategy.fit`."""
        base = self._incumbent(incumbent)
        options = self.recipe.finetuning
        model = self.recipe.copy_of(base)
        saved = self._saved(checkpoint)
        if saved is not None and saved.epochs_done == options.epochs:
            model.load_state_dict(saved.weights)
            return TrainedModel(model, log, seed, options, saved)
        state = train(
            model,
            self.curriculum(log, seed, base),
            options,
            seed,
            device=self.recipe.device,
            state=saved,
            on_epoch=saver(checkpoint),
            progress=self.progress,
        )
        return TrainedModel(model, log, seed, options, state)

    def curriculum(self, log: InteractionLog, seed: int, incumbent: TrainedModel) -> Curriculum:
        """What the fine-tuning sees and minimises."""
        raise NotImplementedError


class WarmStart(FineTuning):
    """The next-item loss alone."""

    def curriculum(self, log: InteractionLog, seed: int, incumbent: TrainedModel) -> Curriculum:  # noqa: ARG002
        """The log as it is."""
        return NextItem(log, self.recipe.finetuning)


@dataclass(frozen=True)
class FinestTuning(FineTuning):
    """FINEST (see `finestrec.stabilizers.finest`).

    Attributes:
        anchor: Whose lists are preserved, made on its own training log; the incumbent's by default.
        directory: Where very large reference lists are kept meanwhile.
    """

    anchor: TrainedModel | None = None
    directory: Path | None = None

    def curriculum(self, log: InteractionLog, seed: int, incumbent: TrainedModel) -> Curriculum:
        """Simulated perturbations and both losses."""
        references = reference_lists(self.anchor or incumbent, self.recipe.finest.k, self.directory)
        return Finest(log, references, self.recipe.finest, self.recipe.finetuning, seed)
