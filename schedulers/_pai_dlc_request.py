"""From an AppDef to the CreateJob request of PAI-DLC.

All nodes are workers, so that the number of a replica is that of its pod. Everything a user wrote for the job's program
is quoted once, in UserCommand.
"""

import json
import math
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torchx.specs import AppDef, BindMount, Role, VolumeMount, macros

from . import _pai_dlc_options as options
from ._remote_jobs import tag_value
from ._words import SchedulerError, by_reference, plain, quoted, shortened
from .contract import MASTER_ADDR, NEVER_RETRIED

_BODY = Path(__file__).parent / "_pai_dlc_run.sh"
_LONGEST = 65_536  # bytes of a request that the service takes


@dataclass(frozen=True)
class DlcRequest:
    """What will be submitted."""

    name: str
    body: dict[str, Any]
    tensorboard: dict[str, Any] | None
    cfg: dict[str, Any] = field(repr=False)

    def describe(self) -> str:
        """A text for people; no secret is in it."""
        command = self.body["UserCommand"].replace(_BODY.read_text(), f"({_BODY.name})\n")
        text = "CreateJob " + json.dumps({**self.body, "UserCommand": "..."}, indent=2)
        more = f"\nCreateTensorboard {json.dumps(self.tensorboard, indent=2)}" if self.tensorboard else ""
        return f"{text}\nUserCommand:\n{command.rstrip()}{more}"


def build_request(app: AppDef, session: str, name: str, cfg: Mapping[str, Any]) -> DlcRequest:
    """Everything but the submission.

    Args:
        app: with one role.
        session: name of the TorchX session.
        name: a unique one for the job.
        cfg: resolved options.
    """
    options.check(cfg)
    role = app.roles[0]
    command = _command(role, plain(session, "session"), name, cfg)
    sources = [_data_source(mount) for mount in role.mounts]
    body: dict[str, Any] = {
        "DisplayName": name,
        "JobType": "PyTorchJob",
        "WorkspaceId": options.workspace(cfg),
        "JobSpecs": [_job_spec(role, cfg)],
        "UserCommand": command,
        "Priority": options.number(cfg, "priority"),
        "DataSources": sources,
        "Settings": _settings(role, name, cfg),
        **_optional(role, cfg),
    }
    _check_size(body, role)
    return DlcRequest(name, body, _tensorboard(name, sources, cfg), dict(cfg))


def _optional(role: Role, cfg: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if quota := options.word(cfg, "quota"):
        found["ResourceId"] = quota
    if minutes := options.number(cfg, "max_minutes"):
        found["JobMaxRunningTimeMinutes"] = minutes
    if source := options.word(cfg, "code_source"):
        names = {"Branch": "code_branch", "Commit": "code_commit", "MountPath": "code_dir"}
        given = {key: options.word(cfg, name) for key, name in names.items() if cfg.get(name)}
        found["CodeSource"] = {"CodeSourceId": source, "MountPath": "/mnt/code", **given}
    if vpc := options.word(cfg, "vpc"):
        names = {"SwitchId": "vswitch", "SecurityGroupId": "security_group"}
        found["UserVpc"] = {"VpcId": vpc, **{k: options.word(cfg, name) for k, name in names.items() if cfg.get(name)}}
    if role.min_replicas is not None and role.min_replicas != role.num_replicas:
        found["ElasticSpec"] = {
            "EnableElasticTraining": True,
            "EnableAIMaster": True,
            "MinParallelism": role.min_replicas,
            "MaxParallelism": role.num_replicas,
        }
    return found


def _job_spec(role: Role, cfg: Mapping[str, Any]) -> dict[str, Any]:
    image = plain(role.image, "image") or options.word(cfg, "image")
    if not image:
        raise SchedulerError("which image? --image of the component, or image= in .torchxconfig")
    spec: dict[str, Any] = {"Type": "Worker", "PodCount": role.num_replicas, "Image": image}
    resource = role.resource
    if cfg.get("quota"):
        gigabytes = max(1, math.ceil(resource.memMB / 1024))
        own = {"CPU": str(max(1, int(resource.cpu))), "Memory": f"{gigabytes}Gi"}
        own["SharedMemory"] = options.word(cfg, "shm_size") or f"{max(1, gigabytes // 2)}Gi"
        if resource.gpu > 0:
            own["GPU"] = str(int(resource.gpu))
        return {**spec, "ResourceConfig": own}
    machine = options.word(cfg, "ecs_spec") or str(resource.capabilities.get("aliyun.instance_type", ""))
    if not machine:
        raise SchedulerError(
            "a job without quota needs a machine: ecs_spec=ecs.g7.2xlarge, or -h with a named resource"
        )
    return {**spec, "EcsSpec": plain(machine, "ecs_spec")}


def _settings(role: Role, name: str, cfg: Mapping[str, Any]) -> dict[str, Any]:
    own = {"tzx": "job", "tzx-name": name, "tzx-role": tag_value(role.name)}
    found: dict[str, Any] = {
        "Tags": {**options.tags(cfg), **own},
        "TerminationGracePeriodSeconds": options.number(cfg, "grace_seconds"),
    }
    if cfg.get("fault_tolerance"):
        found["EnableErrorMonitoringInAIMaster"] = True
        found["ErrorMonitoringArgs"] = options.word(cfg, "fault_tolerance_args")
    return found


def _data_source(mount: Any) -> dict[str, Any]:
    """A mount as DLC has it: an address like oss://bucket.endpoint/path/, or the id of a data set."""
    if isinstance(mount, BindMount):
        source, target = mount.src_path, mount.dst_path
    elif isinstance(mount, VolumeMount):
        source, target = mount.src, mount.dst_path
    else:
        raise SchedulerError(f"DLC takes mounts of type=volume, not {mount}")
    plain(source, "mounts")
    if not plain(target, "mounts").startswith("/"):
        raise SchedulerError(f"mounts: dst={shortened(target)}: must be an absolute path in the container")
    access = {"MountPath": target, "MountAccess": "RO" if mount.read_only else "RW"}
    if re.fullmatch(r"(?:oss|nas|cpfs|bmcpfs)://\S+", source):
        return {"Uri": source, **access}
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", source):
        return {"DataSourceId": source, **access}
    raise SchedulerError(f"mounts: src={shortened(source)}: give oss://bucket.endpoint/path/ or the id of a data set")


def _tensorboard(name: str, sources: list[dict[str, Any]], cfg: Mapping[str, Any]) -> dict[str, Any] | None:
    """A TensorBoard for a directory, which must lie in a mount: it is another container."""
    folder = options.word(cfg, "tensorboard")
    if not folder:
        return None
    inside = [source for source in sources if f"{folder}/".startswith(source["MountPath"].rstrip("/") + "/")]
    if not inside:
        where = ", ".join(source["MountPath"] for source in sources) or "there are none"
        raise SchedulerError(f"tensorboard={folder}: must lie in a mount; mounts: {where}")
    source = max(inside, key=lambda source: len(source["MountPath"]))
    relative = folder[len(source["MountPath"].rstrip("/")) :].strip("/")
    found = {"DisplayName": name, "WorkspaceId": options.workspace(cfg), "SummaryRelativePath": relative}
    if "DataSourceId" in source:
        return {**found, "DataSourceId": source["DataSourceId"]}
    kind = source["Uri"].partition(":")[0].upper()
    return {**found, "DataSourceType": kind, "Uri": source["Uri"]}


def _command(role: Role, session: str, name: str, cfg: Mapping[str, Any]) -> str:
    """The shell script that every node runs."""
    mark = f"@{secrets.token_hex(12)}@"
    ready = macros.Values(img_root=".", app_id=name, replica_id=mark, rank0_env=MASTER_ADDR).apply(role)
    argv = [ready.entrypoint, *ready.args]
    env, files = by_reference({"TORCHX_JOB_ID": f"pai_dlc://{session}/{name}", **ready.env}, argv)
    for text in (*argv, *env.values()):
        if re.search("[\ud800-\udfff]", text):
            raise SchedulerError(f"{shortened(text)} is not Unicode, which is all that a request can hold")

    def word(text: str) -> str:
        found = quoted(text, {mark: '"${RANK:-0}"'})
        return re.sub(r"\$(?=[$(])", "$''", found)  # Kubernetes looks for $(NAME) and $$, inside quotes too

    lines = [f"max_retries={int(role.max_retries)}", f"never={word(' '.join(map(str, sorted(NEVER_RETRIED))))}"]
    lines += [f"export {key}={word(value)}" for key, value in env.items()]
    for key, path in files.items():
        lines += [f"{key}=`cat -- {word(path)}` || exit 2", f"export {key}"]
    if cwd := options.word(cfg, "cwd"):
        lines.append(f"cd -- {word(cwd)} || exit 126")
    words = " ".join(word(text) for text in argv)
    return "\n".join([*lines, f"program() {{ exec {words}; }}", _BODY.read_text()])


def _check_size(body: Mapping[str, Any], role: Role) -> None:
    size = len(json.dumps(body).encode())
    if size > _LONGEST:
        parts = {**{f"env {key}": value for key, value in role.env.items()}}
        parts.update({f"argument {i + 1} ({shortened(text)})": text for i, text in enumerate(role.args)})
        largest = sorted(parts, key=lambda key: -len(parts[key]))[:3]
        told = ", ".join(f"{key} {len(parts[key]):,}" for key in largest)
        raise SchedulerError(f"the request has {size:,} bytes, DLC takes {_LONGEST:,}; the largest parts: {told}")
