"""The whole authors' protocol of LRURec on one log: 8 + 6 epochs on D and on D', evaluation, comparison.

Run as ``python -m benchmarks.protocol``, two threads. The authors' released code took 932 s for this on a machine with
two cores of the kind that ran 154 GFLOP/s in float32; the ratio is against that figure, so the machine's own speed is
printed beside it. Then the same once more as two jobs at a time of one thread each: the two sides do not wait for one
another.
"""

import time

import torch

from benchmarks.machine import gflops, header, load, megabytes
from benchmarks.training import REDDIT
from finestrec.data.sources import read_log
from finestrec.data.splits import split
from finestrec.stability.audit import audit
from finestrec.stability.memory import peak_bytes
from finestrec.stabilizers import Recipe
from finestrec.stabilizers.finest import AUTHORS_PRESETS

AUTHORS_SECONDS = 932


def main() -> None:
    """Run it both ways and print what it took and gave."""
    if not REDDIT.exists():
        print(f"{REDDIT} is not here; nothing to measure")
        return
    torch.set_num_threads(2)
    header()
    speed = gflops()
    recipe = Recipe.of("lrurec", training={"epochs": 8}, finest={**AUTHORS_PRESETS["lrurec"], "epochs": 6})
    parts = split(read_log(REDDIT, min_length=10))
    for jobs, words in ((1, "one job of two threads"), (2, "two jobs of one thread")):
        began = time.perf_counter()
        found = audit(parts, recipe, methods=["finest"], regimes=["authors-protocol"], floors=False, jobs=jobs)
        seconds = time.perf_counter() - began
        row = next(row for row in found.rows if row.perturbation)
        ratio = AUTHORS_SECONDS / seconds
        print(f"{words}: {seconds:.0f} s at {speed:.0f} GFLOP/s, {ratio:.1f}x less; {load()}")
        print({**row.measures, **row.accuracy})
    print(f"peak memory of this process {megabytes(peak_bytes()):.0f} MB")


if __name__ == "__main__":
    main()
