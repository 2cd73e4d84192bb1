"""The processes that tables are spread over: how many, on what, with how much memory and how fast a network."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from tzx.runtime.protos.train_pb2 import ShardingPlanner

GIB = 2**30
_GPU_IN_A_PREVIEW = 80 * GIB
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True)
class Cluster:
    """What the planner may count on.

    Args:
        world_size: number of processes.
        local_world_size: number of processes on one host.
        device_type: "cpu" or "cuda".
        gpu_bytes: memory of one GPU.
        host_bytes: memory of one host, shared by its processes.
        reserve: share of memory kept free.
        intra_node: bytes per second between processes of a host.
        inter_node: bytes per second between hosts.
    """

    world_size: int
    local_world_size: int
    device_type: str
    gpu_bytes: int
    host_bytes: int
    reserve: float
    intra_node: float
    inter_node: float

    @staticmethod
    def from_config(config: ShardingPlanner, world_size: int, local_world_size: int, device_type: str) -> "Cluster":
        """What the config says, and where it is silent, what this machine has."""
        gpu = config.gpu_memory_gib * GIB if config.HasField("gpu_memory_gib") else _gpu_memory()
        host = config.host_memory_gib * GIB if config.HasField("host_memory_gib") else _host_memory()
        return Cluster(
            world_size=world_size,
            local_world_size=local_world_size,
            device_type=device_type,
            gpu_bytes=int(gpu),
            host_bytes=int(host),
            reserve=config.reserve,
            intra_node=config.intra_node_gib_per_s * GIB,
            inter_node=config.inter_node_gib_per_s * GIB,
        )

    @property
    def on_cpu(self) -> bool:
        """Whether tables live in host memory only."""
        return self.device_type == "cpu"

    @property
    def bytes_per_rank(self) -> int:
        """Memory of the device that one process trains on."""
        return self.host_bytes // self.local_world_size if self.on_cpu else self.gpu_bytes

    def budget(self, dense_bytes: int) -> int:
        """What is left of it for tables, beside the dense parameters and what is kept free."""
        return max(int(self.bytes_per_rank * (1 - self.reserve)) - dense_bytes, 0)

    def memory_text(self) -> str:
        """Where the memory is and how it is shared, for messages."""
        if self.on_cpu:
            return f"{self.host_bytes / GIB:.1f} GiB of host memory for {self.local_world_size} process(es) of a host"
        return f"{self.gpu_bytes / GIB:.1f} GiB of GPU memory for each process"


def _gpu_memory() -> int:
    return torch.cuda.get_device_properties(0).total_memory if torch.cuda.is_available() else _GPU_IN_A_PREVIEW


def _host_memory() -> int:
    """Memory of this machine, or of this container."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(total, int(_CGROUP_LIMIT.read_text()))
    except (OSError, ValueError):  # no limit is the word "max"
        return total
