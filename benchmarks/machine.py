"""What the machine is and can do, printed with every benchmark."""

import os
import platform
import resource
import time

import torch


def header() -> None:
    """Print processor count, threads and versions."""
    print(
        f"{platform.machine()}, {os.cpu_count()} CPUs, {torch.get_num_threads()} threads, Python"
        f" {platform.python_version()}, torch {torch.__version__}"
    )


def load() -> str:
    """How busy the machine was in the last minute: timings of a busy one say little."""
    return f"load {os.getloadavg()[0]:.1f}"


def cpu_seconds() -> float:
    """Processor time of this process and of those of its children that have ended."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in spent)


def gflops() -> float:
    """Speed of a large float32 matrix product, in 10^9 operations a second: the best of several."""
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    best = float("inf")
    for _ in range(8):
        began = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - began)
    return 2 * 2048**3 / best / 1e9


def megabytes(count: int) -> float:
    """Bytes as MB."""
    return count / 1e6
