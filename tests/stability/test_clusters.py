"""An audit on a Ray cluster of two workers, one of which is lost in the middle."""

import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finestrec.data.log import InteractionLog
from finestrec.data.splits import split
from finestrec.errors import OptionError
from finestrec.stability.audit import audit
from finestrec.stabilizers import Recipe
from finestrec.training.options import DeviceOptions

SPEC = "delete:random:0.01"
PATIENCE = 240


def test_without_ray_the_way_to_it_is_said(
    chain: InteractionLog, small_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(OptionError, match=r"pip install 'finestrec\[ray\]'"):
        audit(split(chain), small_recipe, engine="ray", folder=tmp_path)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without CPUs and two machines of one CPU each, all on this one."""
    ray = pytest.importorskip("ray", reason="Ray is not installed; `make test-ray` installs it")
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    machines = [found.add_node(num_cpus=1) for _ in range(2)]
    ray.init(address=found.address, log_to_driver=False)
    try:
        yield ray, found, machines
    finally:
        ray.shutdown()
        found.shutdown()


@pytest.mark.ray
def test_a_lost_machine_changes_nothing(
    chain: InteractionLog, small_recipe: Recipe, tmp_path: Path, cluster: Any
) -> None:
    ray, machines_of, machines = cluster
    recipe = replace(small_recipe, training=small_recipe.training.model_copy(update={"epochs": 12}))
    parts = split(chain)
    lost = threading.Event()

    def lose_one() -> None:
        table = tmp_path / "two" / "jobs.json"
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE:
            jobs = json.loads(table.read_text())["jobs"].values() if table.exists() else []
            done = any(job["status"] == "done" for job in jobs)
            if done and ray.available_resources().get("CPU", 0) == 0:  # both are at work
                machines_of.remove_node(machines[0], allow_graceful=False)
                lost.set()
                return
            time.sleep(0.02)

    watcher = threading.Thread(target=lose_one)
    watcher.start()
    arguments: Any = {"perturbations": [SPEC], "regimes": ["anchored-update"]}
    found = audit(parts, recipe, **arguments, engine="ray", folder=tmp_path / "two")
    watcher.join()
    assert lost.is_set()
    assert sum(machine["Alive"] for machine in ray.nodes()) == 2
    alone = audit(parts, replace(recipe, device=DeviceOptions(threads=1)), **arguments)
    assert [row.measures for row in found.rows] == [row.measures for row in alone.rows]
    assert [row.accuracy for row in found.rows] == [row.accuracy for row in alone.rows]
