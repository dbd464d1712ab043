"""Why the authors' code has a higher Recall@10: ``python -m benchmarks.noisy_references``.

The released code records its reference lists during the last training epoch, with dropout on and weights moving
(METHOD, section 5, trap 1). This trains LRURec on reddit.tsv for 8 epochs, then 6 of FINEST with the authors' preset,
from lists of the model in evaluation mode, from lists drawn with dropout on, and from lists recorded at the steps of
the last training epoch, and prints the accuracy.
"""

import argparse
from dataclasses import replace

import torch
from torch import Tensor

from benchmarks.machine import header
from benchmarks.training import REDDIT
from finestrec.data.sequences import SequenceBatch
from finestrec.data.sources import read_log
from finestrec.data.splits import split
from finestrec.models import NextItemModel, build_model
from finestrec.randomness import torch_stream
from finestrec.ranking import top_k
from finestrec.stability.comparing import judge
from finestrec.stabilizers import FinestTuning, Recipe, Retrain
from finestrec.stabilizers.finest import AUTHORS_PRESETS, ReferenceLists, reference_lists
from finestrec.training.loop import train
from finestrec.training.objectives import NextItem, PositionScores
from finestrec.training.trained import TrainedModel


def noisy(base: TrainedModel, clean: ReferenceLists) -> ReferenceLists:
    """The same lists, ranked with dropout on."""
    items = clean.items.copy()
    instances = base.windows.instances()
    base.model.train()
    with torch.no_grad(), torch_stream(base.seed, "dropout", 10**6):
        for members, batch in instances.batches(1 << 14, shared=True):
            scores = base.model.scores(batch.at_positions(base.model.hidden(batch)))
            items[clean.find(instances.ids[members])] = top_k(scores, items.shape[1])[1].numpy()
    base.model.eval()
    return replace(clean, items=items)


class Recording(NextItem):
    """Plain training that writes down what the model ranks highest at each step, as the step finds it."""

    lists: ReferenceLists

    def losses(self, model: NextItemModel, batch: SequenceBatch) -> dict[str, Tensor]:
        scores = PositionScores(model, batch)
        items = self.lists.items
        items[self.lists.find(batch.ids)] = top_k(scores.all.detach(), items.shape[1])[1].numpy()
        return {"next_item": self.next_item(scores, batch)}


def recorded(base: TrainedModel, clean: ReferenceLists) -> ReferenceLists:
    """The same lists as each instance's last step of training found them: the training is repeated."""
    curriculum = Recording(base.log, base.options, base.seed)
    curriculum.lists = replace(clean, items=clean.items.copy())
    model = build_model("lrurec", base.model.n_items, base.seed, max_length=base.options.max_length)
    state = train(model, curriculum, base.options, base.seed)
    assert all(torch.equal(state.weights[name], base.state.weights[name]) for name in state.weights)
    return curriculum.lists


def main() -> None:
    """Print accuracy before, and after FINEST from each kind of lists."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    header()
    parts = split(read_log(REDDIT, min_length=10))
    test = parts.held_out(50)
    recipe = Recipe.of("lrurec", training={"epochs": 8}, finest={**AUTHORS_PRESETS["lrurec"], "epochs": 6})
    for seed in range(arguments.seeds):
        base = Retrain(recipe).fit(parts.train, seed)
        clean = reference_lists(base, recipe.finest.k)
        print(f"seed {seed}: before FINEST          {judge(base, test).accuracy()}", flush=True)
        kinds = {
            "evaluation mode": clean,
            "dropout on": noisy(base, clean),
            "last epoch": recorded(base, clean),
        }
        for name, references in kinds.items():
            tuned = FinestTuning(recipe, references=references).fit(parts.train, seed, base)
            print(f"seed {seed}: {name:16} lists {judge(tuned, test).accuracy()}", flush=True)


if __name__ == "__main__":
    main()
