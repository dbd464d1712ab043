"""Perturbing large logs: ``python -m benchmarks.perturbation``. Simulated logs of x1, x4 and x16 the interactions."""

import time

from benchmarks.machine import header, megabytes
from finestrec.data.simulator import SimulatorOptions, simulate
from finestrec.perturbation.spec import Perturbation
from finestrec.stability.memory import peak_bytes, reset_peak


def main() -> None:
    """Print seconds and peak memory of each kind."""
    header()
    print(f"{'interactions':>14}{'kind':>10}{'seconds':>9}{'ns each':>9}{'peak MB':>9}")
    for interactions in (625_000, 2_500_000, 10_000_000):
        log = simulate(SimulatorOptions(users=interactions // 25, items=20_000, interactions=interactions), seed=0)
        for kind in ("delete", "replace", "insert"):
            perturbation = Perturbation.parse(f"{kind}:random:0.01")
            reset_peak()
            began = time.perf_counter()
            perturbation.apply(log, seed=1)
            seconds = time.perf_counter() - began
            print(
                f"{len(log):14,}{kind:>10}{seconds:9.2f}{seconds / len(log) * 1e9:9.0f}{megabytes(peak_bytes()):9.0f}"
            )


if __name__ == "__main__":
    main()
