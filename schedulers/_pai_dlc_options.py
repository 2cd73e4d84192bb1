"""The options of the pai_dlc scheduler, checked before anything is built from them."""

import os
import re
from collections.abc import Mapping
from typing import Any, Dict, cast  # noqa: UP035  (TorchX 0.7.0 knows types by these names only)

from torchx.specs import runopts

from ._strict_opts import StrictOpts
from ._words import SchedulerError, plain, shortened

TEXTS = {
    "region": "region, e.g. cn-hangzhou (default: ALIBABA_CLOUD_REGION_ID)",
    "workspace": "id of the workspace",
    "quota": "id of a resource quota; without one the job is pay-as-you-go",
    "ecs_spec": "machine of a pay-as-you-go job, e.g. ecs.g7.2xlarge (default: what the named resource says)",
    "image": "image for components that are given none",
    "cwd": "directory in the container to run in, e.g. where the code source lies",
    "vpc": "id of your VPC",
    "vswitch": "id of a vSwitch in it",
    "security_group": "id of a security group in it",
    "code_source": "id of a code source",
    "code_branch": "branch of the code source",
    "code_commit": "commit of the code source",
    "code_dir": "where the code source is put (default: /mnt/code)",
    "fault_tolerance_args": "what AIMaster is told, e.g. --job-execution-mode Sync --enable-job-restart True",
    "tensorboard": "directory in the container with summaries, for which a TensorBoard is made",
    "shm_size": "size of /dev/shm with a quota, e.g. 16Gi (default: half of the memory)",
    "endpoint": "address of the service, if it is not the region's public one",
}
_RANGES = {"priority": (1, 9), "max_minutes": (0, 1_000_000), "grace_seconds": (1, 3600)}
_TAG = re.compile(r"[A-Za-z0-9_.:/@+-]{1,128}")


def declare() -> runopts:
    """All options with their defaults."""
    opts = StrictOpts()
    for name, text in TEXTS.items():
        opts.add(name, type_=str, default=None, help=text)
    opts.add("tags", type_=cast(Any, Dict[str, str]), default=None, help="tags of the job, e.g. team:ads;project:ctr")  # noqa: UP006
    opts.add("fault_tolerance", type_=bool, default=False, help="have AIMaster watch the job and restart it")
    opts.add("priority", type_=int, default=1, help="1 (lowest) to 9")
    opts.add("max_minutes", type_=int, default=0, help="the service ends the job after this time; 0 means never")
    opts.add("grace_seconds", type_=int, default=60, help="time to save work when the job is stopped")
    return opts


def word(cfg: Mapping[str, Any], name: str) -> str:
    """Value of an option, or an empty text."""
    return plain(str(cfg.get(name) or ""), name)


def number(cfg: Mapping[str, Any], name: str) -> int:
    """Value of an option that is a number."""
    value = cfg.get(name)
    low, high = _RANGES[name]
    found = {"priority": 1, "max_minutes": 0, "grace_seconds": 60}[name] if value is None else int(value)
    if not low <= found <= high:
        raise SchedulerError(f"{name}={found}: must be {low} to {high}")
    return found


def tags(cfg: Mapping[str, Any]) -> dict[str, str]:
    """Tags of the user's."""
    found = dict(cfg.get("tags") or {})
    for key, value in found.items():
        if not _TAG.fullmatch(key) or not _TAG.fullmatch(value) or key.startswith("tzx"):
            raise SchedulerError(
                f"tags: {shortened(key)}:{shortened(value)}: letters, digits and _.:/@+- make keys and values; "
                f"keys that begin with tzx are taken"
            )
    return found


def workspace(cfg: Mapping[str, Any]) -> str:
    """Id of the workspace; inside PAI the environment has it."""
    found = word(cfg, "workspace") or os.environ.get("PAI_WORKSPACE_ID", "")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", found):
        raise SchedulerError(f"workspace={shortened(found)}: -cfg workspace=NUMBER, or .torchxconfig")
    return found


def check(cfg: Mapping[str, Any]) -> None:
    """Refuses options that the service would not take, before anything is built."""
    for name in TEXTS:
        word(cfg, name)
    if cfg.get("vswitch") and not cfg.get("vpc"):
        raise SchedulerError("vswitch needs vpc")
    if cfg.get("fault_tolerance_args") and not cfg.get("fault_tolerance"):
        raise SchedulerError("fault_tolerance_args needs fault_tolerance=True")
    for name in ("code_branch", "code_commit", "code_dir"):
        if cfg.get(name) and not cfg.get("code_source"):
            raise SchedulerError(f"{name} needs code_source")
    for name in ("cwd", "code_dir", "tensorboard"):
        if cfg.get(name) and not str(cfg[name]).startswith("/"):
            raise SchedulerError(f"{name}={shortened(str(cfg[name]))}: must be an absolute path in the container")
