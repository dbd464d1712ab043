"""Does influence rank interactions as leaving each out does? ``python -m benchmarks.leave_one_out``.

On a tiny simulated log every training interaction is left out in turn and the model trained again, in coupled
streams; what that does to the mean test loss is compared with the influence that TracIn gives it, by Spearman's rank
correlation. Leaving an interaction out also changes the input of those after it, which the influence of its own
instance does not see, so it is given for those interactions too that nothing follows. One thread.
"""

import argparse

import numpy as np
import torch
import torch.nn.functional as F
from scipy import stats

from benchmarks.machine import header
from finestrec.data.sequences import Instances
from finestrec.data.simulator import SimulatorOptions, simulate
from finestrec.data.splits import split
from finestrec.perturbation.edits import edit
from finestrec.ranking import POSITIONS_PER_BATCH, score_chunks
from finestrec.stability.influence import influence
from finestrec.stabilizers import Recipe
from finestrec.training.state import TrainingState
from finestrec.training.trained import TrainedModel


def mean_loss(trained: TrainedModel, test: Instances) -> float:
    """Mean cross-entropy of the test instances."""
    batches = trained.model.ranking_batches(test, POSITIONS_PER_BATCH)
    total = sum(
        float(F.cross_entropy(scores, targets, reduction="sum"))
        for _, scores, targets in score_chunks(trained.model, batches)
    )
    return total / len(test)


def main() -> None:
    """Print the correlations."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=25)
    parser.add_argument("--items", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--models", nargs="*", default=["lstm", "lrurec"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    header()
    log = simulate(SimulatorOptions(users=arguments.users, items=arguments.items, mean_length=14), seed=0)
    parts = split(log.with_min_length(5))
    test = parts.held_out(50)
    train = parts.train
    last = np.zeros(len(train), dtype=bool)
    last[train.offsets[1:] - 1] = True
    print(f"{train}, {len(test)} test instances")
    for model in arguments.models:
        recipe = Recipe.of(
            model,
            model_options={"hidden": 16, "dropout": 0.0},
            training={"epochs": arguments.epochs, "lr": 0.01, "batch_size": 8},
        )
        states: list[TrainingState] = []
        whole = recipe.train(train, 0, on_epoch=states.append)
        found = influence(whole, states, test)
        base = mean_loss(whole, test)
        known = np.flatnonzero(found)
        change = np.array(
            [mean_loss(recipe.train(edit(train, "delete", np.array([row])).log, 0), test) - base for row in known]
        )
        for label, rows in (("all instances", np.ones(len(known), bool)), ("those that nothing follows", last[known])):
            rho = stats.spearmanr(found[known][rows], change[rows])
            print(
                f"{model}, {label}: rho {rho.statistic:+.3f} (p = {rho.pvalue:.2g}, {int(rows.sum())} interactions)",
                flush=True,
            )


if __name__ == "__main__":
    main()
