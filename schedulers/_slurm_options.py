"""The options of the slurm scheduler, and the words of a user that become part of a command."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torchx.specs import BindMount, Role, runopts

from ._strict_opts import StrictOpts
from ._words import SchedulerError, plain, shortened

# Options whose value goes to sbatch as it is, in this order.
PASSED = {
    "partition": "where to run (default: the cluster's default partition)",
    "time": "time limit, e.g. 30 (minutes), 12:00:00 or 2-00:00:00",
    "account": "account to charge",
    "qos": "quality of service",
    "constraint": "features that nodes must have",
    "reservation": "name of a reservation",
    "nodelist": "nodes that must be among those given",
    "exclude": "nodes not to use",
    "mail_user": "who gets mail",
    "mail_type": "when, e.g. END,FAIL",
    "comment": "a remark that Slurm keeps",
}
_MODULE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+/@:~-]*")


def declare() -> runopts:
    """All options with their defaults."""
    opts = StrictOpts()
    for name, text in PASSED.items():
        opts.add(name, type_=str, default=None, help=text)
    opts.add("job_dir", type_=str, default=None, help="where job directories go; every node must see it")
    opts.add("grace_seconds", type_=int, default=60, help="time to save work before the time limit and on cancel")
    opts.add("requeue", type_=bool, default=True, help="let Slurm start the job again when a node is lost or preempted")
    opts.add("nomem", type_=bool, default=False, help="do not ask for memory, for clusters that do not count it")
    opts.add("modules", type_=str, default=None, help="environment modules to load, separated by spaces")
    opts.add("container_image", type_=str, default=None, help="image to run in, by the pyxis plug-in of srun")
    return opts


def sbatch_flags(cfg: Mapping[str, Any]) -> list[str]:
    """What the options add to sbatch's command line."""
    flags = []
    for name in PASSED:
        value = cfg.get(name)
        if value not in (None, ""):
            flags.append(f"--{name.replace('_', '-')}={plain(str(value), name)}")
    flags.append("--requeue" if cfg.get("requeue", True) else "--no-requeue")
    return flags


def grace_seconds(cfg: Mapping[str, Any]) -> int:
    """Seconds between the notice and the end."""
    value = cfg.get("grace_seconds")
    seconds = 60 if value is None else int(value)
    if not 1 <= seconds <= 65535:
        raise SchedulerError(f"grace_seconds={seconds}: must be 1 to 65535")
    return seconds


def modules(cfg: Mapping[str, Any]) -> list[str]:
    """Names of environment modules."""
    names = str(cfg.get("modules") or "").split(" ")
    for name in filter(None, names):
        if not _MODULE.fullmatch(name):
            raise SchedulerError(
                f"modules: {shortened(name)} is no name of a module; names like cuda/12.8 are separated by spaces"
            )
    return [name for name in names if name]


def container_flags(cfg: Mapping[str, Any], role: Role, job: Path) -> list[str]:
    """What srun needs to run a role in a container, with the job's directory and the role's mounts in it."""
    image = cfg.get("container_image")
    if not image:
        return []
    mounts = [f"{path}:{path}" for path in (job, os.getcwd())]
    for mount in role.mounts:
        if not isinstance(mount, BindMount):
            raise SchedulerError(f"slurm containers take only mounts of type=bind, not {mount}")
        for path in (mount.src_path, mount.dst_path):
            if re.search("[:,]", plain(path, "mounts")):
                raise SchedulerError(f"mounts: {path!r} must not contain a colon or a comma")
        mounts.append(f"{mount.src_path}:{mount.dst_path}{':ro' if mount.read_only else ''}")
    return [f"--container-image={plain(str(image), 'container_image')}", f"--container-mounts={','.join(mounts)}"]
