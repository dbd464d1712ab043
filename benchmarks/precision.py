"""What products in bfloat16 do to accuracy and to lists.

Run as ``python -m benchmarks.precision [--model NAME] [--log FILE]``. Cold training with `device.matmul_precision`
highest and medium, over seeds: accuracy of each, and how far lists move when a thousandth is deleted, at either
precision, and by the precision alone. One thread. Where the processor has no bfloat16 both are the same.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from benchmarks.machine import header
from benchmarks.training import REDDIT
from finestrec.data.sources import read_log
from finestrec.data.splits import split
from finestrec.perturbation.spec import Perturbation
from finestrec.stability.comparing import compare_judged, judge
from finestrec.stabilizers import Recipe, Retrain
from finestrec.training.options import DeviceOptions

NAMES = ("MRR", "Recall@10", "NDCG@10", "RBO(p=0.9)", "FRBO(p=0.9)@10", "Jaccard@10")


def main() -> None:
    """Print a Markdown table: means over seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", type=Path, default=REDDIT)
    parser.add_argument("--model", default="lrurec")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    header()
    parts = split(read_log(arguments.log, min_length=10))
    test = parts.held_out(50)
    rows: dict[str, list[dict[str, float]]] = {}
    for seed in range(arguments.seeds):
        perturbed = Perturbation.parse("delete:random:0.001").apply(parts.train, seed).log
        whole = {}
        for precision in ("highest", "medium"):
            device = DeviceOptions(matmul_precision=precision)
            fitter = Retrain(Recipe.of(arguments.model, training={"epochs": arguments.epochs}, device=device))
            trained = fitter.fit(parts.train, seed)
            whole[precision] = judge(trained, test)
            seconds = sum(record.seconds for record in trained.state.history)
            moved = compare_judged(whole[precision], judge(fitter.fit(perturbed, seed), test), test).means()
            values = {**whole[precision].accuracy(), **moved, "seconds": seconds}
            rows.setdefault(f"{precision}; a thousandth deleted", []).append(values)
        between = compare_judged(whole["highest"], whole["medium"], test).means()
        rows.setdefault("from highest to medium, nothing deleted", []).append(between)
    print("| | " + " | ".join(NAMES) + " | seconds |\n|---" + "|---:" * (len(NAMES) + 1) + "|")
    for label, found in rows.items():
        cells = [f"{np.mean([each[name] for each in found]):.4f}" if name in found[0] else "" for name in NAMES]
        cells.append(f"{np.mean([each['seconds'] for each in found]):.0f}" if "seconds" in found[0] else "")
        print("| " + " | ".join([label, *cells]) + " |")


if __name__ == "__main__":
    main()
