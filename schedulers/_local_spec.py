"""From an AppDef to what the supervisor of a local job is given: plain data, every macro filled in."""

import logging
import os
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any

from torchx.specs import AppDef, Role, macros

from . import _local_devices as devices
from . import _local_jobs as jobs
from ._words import SchedulerError, shortened, without_nul, without_references
from .contract import MASTER_ADDR, MASTER_PORT, REPLICA, derive_port, masked

logger = logging.getLogger(__name__)
_LONGEST_FOLDER = 200


def build_spec(app: AppDef, app_id: str, session: str, cfg: Mapping[str, Any]) -> dict[str, Any]:
    """The spec of a job, as its supervisor reads it."""
    port = str(_free_port(derive_port(app_id)))
    spec = {
        "app_id": app_id,
        "name": app.name,
        "session": session,
        "hostname": socket.gethostname(),
        "created": time.time(),
        "max_retries": max((role.max_retries for role in app.roles), default=0),
        "grace_seconds": cfg.get("grace_seconds"),
        "detach": bool(cfg.get("detach")),
        "roles": [_role_spec(role, app_id, port, bool(cfg.get("prepend_cwd"))) for role in app.roles],
        "devices": [],
    }
    if cfg.get("auto_set_cuda_visible_devices"):
        _deal_devices(spec)
    return spec


def _role_spec(role: Role, app_id: str, port: str, prepend_cwd: bool) -> dict[str, Any]:
    cwd = os.getcwd()
    replicas = []
    if len(jobs.folder_name(role.name)) > _LONGEST_FOLDER:
        raise SchedulerError(f"role {shortened(role.name)}: its name is too long for a directory")
    for index in range(role.num_replicas):
        values = macros.Values(img_root=cwd, app_id=app_id, replica_id=str(index), rank0_env=MASTER_ADDR)
        ready = values.apply(role)
        own = without_references(ready.env)
        without_nul([ready.entrypoint, *ready.args, *own.values()], "arguments and environment")
        env = {**_contract(port, index), **own, "PATH": _path(ready.env.get("PATH"), cwd, prepend_cwd)}
        replicas.append({"args": [ready.entrypoint, *ready.args], "cwd": cwd, "env": env})
    return {
        "name": role.name,
        "folder": jobs.folder_name(role.name),
        "image": role.image,
        "entrypoint": role.entrypoint,
        "args": list(role.args),
        "min_replicas": role.min_replicas,
        "max_retries": role.max_retries,
        "resource": {"cpu": role.resource.cpu, "gpu": role.resource.gpu, "memMB": role.resource.memMB},
        "replicas": replicas,
    }


def _contract(port: str, index: int) -> dict[str, str]:
    env = {
        MASTER_ADDR: "127.0.0.1",
        MASTER_PORT: port,
        REPLICA: str(index),
        "TORCHX_RANK0_HOST": "localhost",  # what TorchX's own components read
    }
    if "PYTHONUNBUFFERED" not in os.environ:
        env["PYTHONUNBUFFERED"] = "1"
    return env


def _path(own: str | None, cwd: str, prepend_cwd: bool) -> str:
    """PATH of a replica: the environment torchx itself runs in comes before what the shell has."""
    parts = [os.path.dirname(sys.executable), own, os.environ.get("PATH")]
    parts = [cwd, *parts] if prepend_cwd else [*parts, cwd]
    return os.pathsep.join(part for part in parts if part)


def _free_port(port: int) -> int:
    """The first port from this one on that nobody listens on."""
    for candidate in range(port, port + 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            return candidate
    return port


def _deal_devices(spec: dict[str, Any]) -> None:
    """Writes CUDA_VISIBLE_DEVICES into the replicas of roles that ask for GPUs."""
    replicas = [(role["resource"]["gpu"], replica) for role in spec["roles"] for replica in role["replicas"]]
    replicas = [(gpu, replica) for gpu, replica in replicas if gpu > 0]
    if not replicas:
        return
    visible = devices.visible_devices()
    dealt = devices.split([gpu for gpu, _ in replicas], visible, devices.devices_in_use())
    if dealt is None:
        wanted = sum(gpu for gpu, _ in replicas)
        logger.warning(
            "the job asks for %d GPUs, this machine has %d: all replicas see all of them", wanted, len(visible)
        )
        return
    for (_, replica), own in zip(replicas, dealt, strict=True):
        replica["env"]["CUDA_VISIBLE_DEVICES"] = ",".join(own)
        spec["devices"].extend(own)


def without_secrets(spec: dict[str, Any]) -> dict[str, Any]:
    """A copy of the spec that may be stored."""
    roles = [
        {**role, "replicas": [{**replica, "env": masked(replica["env"])} for replica in role["replicas"]]}
        for role in spec["roles"]
    ]
    return {**spec, "roles": roles}
