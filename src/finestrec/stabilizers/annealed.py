"""FINEST whose learning rate falls to zero, so that what is left in the end is not the noise of the last steps."""

from typing import ClassVar

from finestrec.stabilizers.finetuning import FinestTuning
from finestrec.training.loop import Schedule


class Annealed(FinestTuning):
    """FINEST with a learning rate that falls in a straight line from twice `finest.lr` to 0 over its F epochs.

    Nothing else differs: its options are FINEST's, and its steps sum to as much. The idea is that at a constant rate
    the weights never come to rest: they wander around what the losses ask for as far as the rate and the order of the
    batches carry them, and where a run stops on that walk decides between items whose scores are close. A rate that
    falls to 0 lets the walk die down. A constant rate that is a fifth lower keeps as much of the lists, at an accuracy
    that is not told apart. The line to zero is the schedule of Defazio et al., 2023 (https://arxiv.org/abs/2310.07831).

    Its strength is alpha, the incumbent's share in the final weights: from FINEST's lists at 0 to the incumbent's own
    at 1, by one training. The weight of the loss reaches no further than about its default (docs/results/weight.md).
    """

    strength: ClassVar[str | None] = "alpha"

    @property
    def schedule(self) -> Schedule | None:
        """See `FineTuning.schedule`."""
        return falling


def falling(done: float) -> float:
    """2 at the beginning, 0 at the end, 1 on average."""
    return 2.0 * (1.0 - done)
