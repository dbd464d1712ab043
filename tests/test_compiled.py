"""Loops that share torch's threads: equal results on any number of them, and nothing of torch's changed."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from finestrec.models.activations import GeluAndDropout
from finestrec.models.lrurec import LinearRecurrence
from finestrec.models.masks import MaskOfSeed


def everything(seed: int) -> list[torch.Tensor]:
    """Values and gradients of all that is compiled for threads, at sizes that leave each one a part of a part."""
    rng = torch.Generator().manual_seed(seed)
    u, h = (torch.randn(7, 5, 12, generator=rng).requires_grad_() for _ in range(2))
    bias, decay = (torch.rand(12, generator=rng).requires_grad_() for _ in range(2))
    states = LinearRecurrence.apply(u, bias, decay * 0.6)
    inside = GeluAndDropout.apply(h * 1, bias, 3, 20000)
    masked = MaskOfSeed.apply(torch.randn(4099, generator=rng), 4, 20000)
    (states.square().sum() + inside.square().sum()).backward()
    return [states.detach(), inside.detach(), masked, *(each.grad for each in (u, h, bias, decay))]  # type: ignore[misc]


@pytest.mark.parametrize("seed", [0, 1])
def test_results_do_not_depend_on_the_number_of_threads(seed: int) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = everything(seed)
        torch.set_num_threads(2)
        for one, two in zip(alone, everything(seed), strict=True):
            assert torch.equal(one, two)
    finally:
        torch.set_num_threads(before)


IN_A_PROCESS = """
    import threading
    import torch
    torch.set_num_threads({threads})
    from finestrec.models.masks import MaskOfSeed
    x = torch.randn(300, 1000)
    wanted = MaskOfSeed.apply(x, 1, 20000)
    assert torch.get_num_threads() == {threads}
    import numba
    assert numba.threading_layer() == "{layer}", numba.threading_layer()
    right = []
    def ask():
        for _ in range(200):
            assert torch.equal(MaskOfSeed.apply(x, 1, 20000), wanted)
        right.append(True)
    callers = [threading.Thread(target=ask) for _ in range(3)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    assert len(right) == 3
    assert torch.get_num_threads() == {threads}
"""


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
@pytest.mark.parametrize("threads", [1, 64])
def test_threads_of_a_server_may_ask_at_once_and_torch_keeps_its_number(
    layer: str, threads: int, tmp_path: Path
) -> None:
    """Numba's own threads, where there is no OpenMP, end the process if two callers meet; 64 is more than there are."""
    if layer == "omp":
        pytest.importorskip("numba.np.ufunc.omppool", reason="this machine has no OpenMP that numba finds")
    code = tmp_path / "ask.py"
    code.write_text(textwrap.dedent(IN_A_PROCESS.format(layer=layer, threads=threads)))
    run = subprocess.run(
        [sys.executable, str(code)], env={"NUMBA_THREADING_LAYER": layer}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
