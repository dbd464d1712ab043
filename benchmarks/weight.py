"""How FINEST's default weight was chosen, on validation instances: ``python -m benchmarks.weight [--model NAME]``.

The last tenth of each user's *training* interactions of reddit.tsv is held out; a model is trained on the rest for 15
epochs, a thousandth is deleted, and it is fine-tuned for 10 epochs by a warm start and by FINEST with several weights.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.machine import header
from benchmarks.training import REDDIT
from finestrec.data.sources import read_log
from finestrec.data.splits import split, validation_split
from finestrec.perturbation.spec import Perturbation
from finestrec.stability.comparing import Judged, compare_judged, judge
from finestrec.stabilizers import FinestTuning, Recipe, Retrain, WarmStart

WEIGHTS = (0.3, 1.0, 3.0, 10.0)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", type=Path, default=REDDIT)
    parser.add_argument("--model", default="lrurec")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    header()
    parts = validation_split(split(read_log(arguments.log, min_length=10)).train)
    test = parts.held_out(50)
    recipe = Recipe.of(arguments.model, training={"epochs": 15}, finest={"epochs": 10})
    incumbent = Retrain(recipe).fit(parts.train, 0)
    perturbed = Perturbation.parse("delete:random:0.001").apply(parts.train, 0).log
    before = judge(incumbent, test)
    names = ("RBO(p=0.9)", "FRBO(p=0.9)@10", "Jaccard@10", "MRR", "Recall@10", "NDCG@10")
    print(f"| {arguments.model} | " + " | ".join(names) + " |\n|---" + "|---:" * len(names) + "|")

    def show(label: str, side: Judged) -> None:
        values = {**compare_judged(before, side, test).means(), **side.accuracy()}
        print(f"| {label} | " + " | ".join(f"{values[name]:.4f}" for name in names) + " |", flush=True)

    show("incumbent", before)
    show("warm start", judge(WarmStart(recipe).fit(perturbed, 0, incumbent), test))
    for weight in WEIGHTS:
        weighted = replace(recipe, finest=recipe.finest.model_copy(update={"weight": weight}))
        show(f"FINEST, weight {weight:g}", judge(FinestTuning(weighted).fit(perturbed, 0, incumbent), test))


if __name__ == "__main__":
    main()
