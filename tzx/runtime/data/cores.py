"""How many cores a process may use."""

import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of the container


def cores_for_me(local_world_size: int) -> int:
    """Cores this process may use: affinity and container quota, shared by the job's processes on this machine."""
    cores = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    if _QUOTA.is_file():
        limit, _, period = _QUOTA.read_text().strip().partition(" ")
        if limit.isdigit() and period.isdigit():
            cores = min(cores, int(limit) / int(period))
    return max(1, int(cores) // local_world_size)
