"""Time `finestrec compare` on generated lists, with its peak memory, in a process of its own.

Run as `python -m benchmarks.compare [USERS]`, by default 5 million users with ten items a side, in Parquet files of
integer ids in a temporary folder. Prints wall and processor seconds and the peak memory of the command alone, with and
without a run folder, and of lists whose rows come in no order. The process starts, imports and ends within the time.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.machine import header

USERS, ITEMS, K, CANDIDATES = 5_000_000, 200_000, 10, 14
CHUNK = 500_000


def generate(folder: Path, users: int) -> None:
    """Yesterday's ten of each user's fourteen candidates, and today's by noisy ranks; then the same in no order."""
    rng = np.random.default_rng(0)
    parts: dict[str, list[pl.DataFrame]] = {"old": [], "new": []}
    for begin in range(0, users, CHUNK):
        n = min(CHUNK, users - begin)
        # Steps of a fixed width keep the items of a list different.
        candidates = rng.integers(0, ITEMS, size=(n, 1)) + 97 * np.arange(CANDIDATES)
        order = np.argsort(np.arange(CANDIDATES) + rng.uniform(0, 4, size=(n, CANDIDATES)), axis=1)[:, :K]
        sides = {"old": candidates[:, :K], "new": np.take_along_axis(candidates, order, axis=1)}
        for name, items in sides.items():
            columns = {
                "user_id": np.repeat(np.arange(begin, begin + n), K),
                "item_id": items.ravel(),
                "rank": np.tile(np.arange(1, K + 1), n),
            }
            parts[name].append(pl.DataFrame(columns))
    for name, frames in parts.items():
        whole = pl.concat(frames)
        whole.write_parquet(folder / f"{name}.parquet")
        whole.sample(fraction=1.0, shuffle=True, seed=0).write_parquet(folder / f"{name}-shuffled.parquet")


def measure(label: str, *arguments: str | Path) -> None:
    """Run the command and print what it took."""
    command = [Path(sys.executable).with_name("finestrec"), "compare", *arguments]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    peak = used.ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
    print(
        f"{label}: {seconds:.1f} s ({used.ru_utime + used.ru_stime:.1f} s of the processors), peak {peak:.2f} GiB, exit"
        f" {process.returncode}",
        flush=True,
    )


def main() -> None:
    """Print the measurements."""
    users = int(sys.argv[1]) if len(sys.argv) > 1 else USERS
    header()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # In a process of its own, so that its memory is given back.
        program = (
            f"from pathlib import Path; from benchmarks.compare import generate; generate(Path({name!r}), {users})"
        )
        subprocess.run([sys.executable, "-c", program], check=True)
        print(f"{users:,} users, top {K} a side")
        sides = [folder / "old.parquet", folder / "new.parquet"]
        gate = ["--fail-if", "lower(Jaccard@10) < 0.5"]
        measure("compare", *sides, *gate)
        measure("compare --out", *sides, *gate, "--out", folder / "run")
        measure("compare, rows in no order", *(folder / f"{side.stem}-shuffled.parquet" for side in sides), *gate)


if __name__ == "__main__":
    main()
