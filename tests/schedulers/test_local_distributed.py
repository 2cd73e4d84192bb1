"""Several nodes on one machine: two replicas, each with its own torchrun, meet through the scheduler's contract."""

import sys
from pathlib import Path
from typing import Any

import pytest

WORKER = """
import torch, torch.distributed as dist
dist.init_process_group("gloo")
total = torch.tensor([float(dist.get_rank() + 1)])
dist.all_reduce(total)
print("sum", total.item(), "of", dist.get_world_size(), flush=True)
dist.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.parametrize("nnodes", ["2", "1:2"])
def test_two_nodes_on_one_host(local: Any, home: Path, nnodes: str) -> None:
    (home / "worker.py").write_text(WORKER)
    args = ["-m", "tzx.apps.torchrun", "--nnodes", nnodes, "--nproc_per_node", "1", "worker.py"]
    elastic = {"min_replicas": 1} if ":" in nnodes else {}
    app = local.app("", replicas=2, args=args, entrypoint=sys.executable, **elastic)
    app_id = local.submit(app)
    assert local.wait(app_id, 120) == "SUCCEEDED"
    for index in (0, 1):
        assert "sum 3.0 of 2\n" in local.log(app_id, index)
