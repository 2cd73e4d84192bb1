"""Which GPUs of this machine a local job gets."""

import os
import shutil
import subprocess
from collections.abc import Sequence

from . import _local_jobs as jobs


def visible_devices() -> list[str]:
    """The GPUs this process may use, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [device.strip() for device in named.split(",") if device.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False)
    return [str(index) for index, line in enumerate(listed.stdout.splitlines()) if line.startswith("GPU ")]


def devices_in_use() -> set[str]:
    """The GPUs given to local jobs that still run."""
    used: set[str] = set()
    for app_id in jobs.app_ids():
        job = jobs.find(app_id)
        if job is not None and jobs.current_state(job)["state"] not in jobs.FINISHED:
            used.update(jobs.read_json(job / jobs.SPEC).get("devices", ()))
    return used


def split(wanted: Sequence[int], visible: Sequence[str], used: set[str]) -> list[list[str]] | None:
    """Deals devices out, free ones first.

    Args:
        wanted: number of devices for each replica.
        visible: all devices.
        used: those that other jobs have.

    Returns:
        Devices of each replica, or None if there are not enough.
    """
    if sum(wanted) > len(visible):
        return None
    pool = [device for device in visible if device not in used] + [device for device in visible if device in used]
    dealt = []
    for number in wanted:
        dealt.append(pool[:number])
        pool = pool[number:]
    return dealt
