"""No defence: training from the initial weights, and going on with a run."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from finestrec.data.log import InteractionLog
from finestrec.errors import OptionError
from finestrec.stabilizers.base import Kind, Strategy, saver, trained_incumbent
from finestrec.training.trained import TrainedModel


class Retrain(Strategy):
    """Cold retraining: E epochs from the weights that the seed gives; an incumbent is not looked at."""

    def fit(
        self,
        log: InteractionLog,
        seed: int,
        incumbent: TrainedModel | None = None,  # noqa: ARG002
        *,
        checkpoint: Path | None = None,
    ) -> TrainedModel:
        """See `Strategy.fit`."""
        return self._fit(log, seed, checkpoint, None, self.recipe.training.epochs)

    def _fit(
        self, log: InteractionLog, seed: int, checkpoint: Path | None, base: TrainedModel | None, epochs: int
    ) -> TrainedModel:
        return self.recipe.train(
            log,
            seed,
            epochs=epochs,
            state=self._saved(checkpoint) or (replace(base.state) if base else None),
            on_epoch=saver(checkpoint),
            progress=self.progress,
        )


class Continue(Retrain):
    """The incumbent's own run, F epochs longer: weights, moments and streams go on as if it had never stopped.

    The baseline of authors-protocol: E + F epochs without the rank-preserving loss.
    """

    kind: ClassVar[Kind] = "tuned"

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
        if base.options.patience is not None:
            raise OptionError(
                "a run with early stopping (training.patience) cannot go on for a number of epochs: train without it"
            )
        return self._fit(log, seed, checkpoint, base, base.options.epochs + self.recipe.finest.epochs)
