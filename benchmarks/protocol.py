"""The whole authors' protocol of LRURec on one log: 8 + 6 epochs on D and on D', evaluation, comparison.

Run as ``python -m benchmarks.protocol``, two threads. The authors' released code took 932 s for this on a machine with
two cores of the kind that ran 154 GFLOP/s in float32; the ratio is against that figure, so the machine's own speed is
printed beside it.
"""

import time

import torch

from benchmarks.machine import gflops, header, megabytes
from benchmarks.training import REDDIT
from finestrec.data.sources import read_log
from finestrec.data.splits import split
from finestrec.stability.audit import audit
from finestrec.stability.memory import peak_bytes
from finestrec.stabilizers import Recipe
from finestrec.stabilizers.finest import AUTHORS_PRESETS

AUTHORS_SECONDS = 932


def main() -> None:
    """Run it once and print what it took and gave."""
    if not REDDIT.exists():
        print(f"{REDDIT} is not here; nothing to measure")
        return
    torch.set_num_threads(2)
    header()
    speed = gflops()
    began = time.perf_counter()
    recipe = Recipe.of("lrurec", training={"epochs": 8}, finest={**AUTHORS_PRESETS["lrurec"], "epochs": 6})
    parts = split(read_log(REDDIT, min_length=10))
    found = audit(parts, recipe, methods=["finest"], regimes=["authors-protocol"], floors=False)
    seconds = time.perf_counter() - began
    row = next(row for row in found.rows if row.perturbation)
    print(f"{seconds:.0f} s at {speed:.0f} GFLOP/s: {AUTHORS_SECONDS / seconds:.1f}x less")
    print(f"peak memory {megabytes(peak_bytes()):.0f} MB")
    print({**row.measures, **row.accuracy})


if __name__ == "__main__":
    main()
