"""The one place that reads what the launcher says about this process."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist

from tzx.runtime.errors import UserError

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Process:
    """Who this process is among its peers, and the device it trains on."""

    rank: int = 0
    local_rank: int = 0
    world_size: int = 1
    local_world_size: int = 1
    device: torch.device = CPU
    timeout: timedelta = timedelta(minutes=30)

    @staticmethod
    def from_env(env: Mapping[str, str] = os.environ) -> "Process":
        """Read RANK, LOCAL_RANK, WORLD_SIZE, LOCAL_WORLD_SIZE and PROCESS_GROUP_TIMEOUT_SECONDS; unset means alone."""
        local_rank = int(env.get("LOCAL_RANK", 0))
        return Process(
            rank=int(env.get("RANK", 0)),
            local_rank=local_rank,
            world_size=int(env.get("WORLD_SIZE", 1)),
            local_world_size=int(env.get("LOCAL_WORLD_SIZE", 1)),
            device=_device(local_rank),
            timeout=timedelta(seconds=int(env.get("PROCESS_GROUP_TIMEOUT_SECONDS", 1800))),
        )

    @property
    def is_chief(self) -> bool:
        """Whether this process writes what is written once: logs, TensorBoard, commit markers."""
        return self.rank == 0

    def join_group(self) -> None:
        """Initialise torch.distributed: nccl on GPUs, gloo otherwise. Alone, no port is opened."""
        if dist.is_initialized():
            return
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        backend = "cuda:nccl,cpu:gloo" if self.device.type == "cuda" else "gloo"
        store = dist.HashStore() if self.world_size == 1 else None
        dist.init_process_group(backend, store=store, rank=self.rank, world_size=self.world_size, timeout=self.timeout)

    def summed(self, counts: Mapping[str, int]) -> dict[str, int]:
        """Counts by name over all processes, each of which has to ask."""
        if self.world_size == 1:
            return dict(counts)
        every: list[dict[str, int]] = [{} for _ in range(self.world_size)]
        dist.all_gather_object(every, dict(counts))
        return dict(sum(map(Counter, every), Counter[str]()))

    def leave_group(self) -> None:
        """Undo `join_group`."""
        if dist.is_initialized():
            dist.destroy_process_group()


def restarts(env: Mapping[str, str] = os.environ) -> int:
    """How often the scheduler or torchrun has started this same job again after a failure."""
    return sum(int(env.get(name) or 0) for name in ("TZX_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT"))


def _device(local_rank: int) -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    if local_rank >= torch.cuda.device_count():
        raise UserError(
            f"local rank {local_rank} has no GPU: this host shows {torch.cuda.device_count()}; "
            f"start at most that many processes per node (-j NODESxPROCESSES)"
        )
    return torch.device("cuda", local_rank)
