"""Scoring test instances: users encoded once, against one sequence an instance. ``python -m benchmarks.evaluation``."""

import time

import torch

from benchmarks.machine import header
from benchmarks.training import REDDIT
from finestrec.data.sequences import Instances
from finestrec.data.simulator import SimulatorOptions, simulate
from finestrec.data.sources import read_log
from finestrec.data.splits import SplitOptions, split
from finestrec.models import NextItemModel, build_model


def positions_and_seconds(model: NextItemModel, instances: Instances, *, shared: bool) -> tuple[int, float]:
    """Encoded positions, padding included, and the best time of three."""
    best, positions = float("inf"), 0
    for _ in range(3):
        began = time.perf_counter()
        positions = 0
        with torch.inference_mode():
            for _, batch in instances.batches(1 << 14, shared=shared):
                positions += batch.items.numel()
                batch.at_positions(model.hidden(batch))
        best = min(best, time.perf_counter() - began)
    return positions, best


def main() -> None:
    """Print the table for a tenth and for a half of each history held out."""
    torch.set_num_threads(2)
    header()
    log = read_log(REDDIT, min_length=10) if REDDIT.exists() else simulate(SimulatorOptions(), seed=0)
    model = build_model("lrurec", log.n_items, 0).eval()
    print(f"{'held out':>9}{'instances':>11}{'shared s':>10}{'apart':>8}{'positions':>12}{'apart':>8}")
    for fraction in (0.1, 0.5):
        test = split(log, SplitOptions(fraction=fraction)).held_out(50)
        once, apart = (positions_and_seconds(model, test, shared=shared) for shared in (True, False))
        seconds = f"{once[1]:10.2f}{apart[1] / once[1]:7.1f}x"
        print(f"{fraction:9}{len(test):11,}{seconds}{once[0]:12,}{apart[0] / once[0]:7.1f}x")


if __name__ == "__main__":
    main()
