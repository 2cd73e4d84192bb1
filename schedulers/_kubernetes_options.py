"""The options of the kubernetes scheduler, checked before anything is built from them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Dict, List, cast  # noqa: UP035  (TorchX 0.7.0 knows types by these names only)

from torchx.specs import runopts

from ._strict_opts import StrictOpts
from ._words import SchedulerError, plain, shortened

KINDS = ("job", "volcano", "jobset", "pytorchjob")
ENDINGS = ("delete", "suspend")
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
CLOUDS = {"aws": "aws.instance_type", "aliyun": "aliyun.instance_type", "gcp": "gcp.machine_type"}

_LABEL = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")
_QUANTITY = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:[EPTGMk]i?|Ki|m)?")


@dataclass(frozen=True)
class Options:
    """What `-cfg` says, checked."""

    kind: str = "job"
    queue: str = ""
    image: str = ""
    image_pull_policy: str = ""
    image_pull_secret: str = ""
    service_account: str = ""
    priority_class: str = ""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, str], ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    cloud: str = ""
    gpu_resource: str = "nvidia.com/gpu"
    shm_size: str = ""
    run_as_user: int = 1000
    host_paths: bool = False
    grace_seconds: int = 60
    ttl_seconds: int = 604800
    on_cancel: str = "delete"


def declare() -> runopts:
    """All options with their defaults."""
    strings, pairs = List[str], Dict[str, str]  # noqa: UP006
    opts = StrictOpts()
    opts.add("kind", type_=str, default="job", help=f"what the cluster is asked for: {', '.join(KINDS)}")
    opts.add("namespace", type_=str, default=None, help="where (default: the namespace of the current context)")
    opts.add("queue", type_=str, default=None, help="local queue of Kueue; with kind=volcano a queue of Volcano")
    opts.add("image", type_=str, default=None, help="image for components that are given none")
    opts.add("image_pull_policy", type_=str, default=None, help="Always, IfNotPresent or Never")
    opts.add("image_pull_secret", type_=str, default=None, help="secret with the registry's credentials")
    opts.add("service_account", type_=str, default=None, help="account of the pods; without one they get no token")
    opts.add("priority_class", type_=str, default=None, help="priority class of the pods")
    opts.add("node_selector", type_=pairs, default=None, help="labels that nodes must have, e.g. pool:gpu;zone:a")
    opts.add("tolerations", type_=strings, default=None, help="taints to accept, e.g. gpu:yes:NoSchedule;spot")
    opts.add("labels", type_=pairs, default=None, help="more labels for everything that is made, e.g. team:ads")
    opts.add("files", type_=strings, default=None, help="small local files, such as the config, to send with the job")
    opts.add("cloud", type_=str, default=None, help=f"whose machine a named resource means: {', '.join(CLOUDS)}")
    opts.add("gpu_resource", type_=str, default="nvidia.com/gpu", help="what the cluster calls a GPU")
    opts.add("shm_size", type_=str, default=None, help="size of /dev/shm (default: up to the memory of the pod)")
    opts.add("run_as_user", type_=int, default=1000, help="user id in the container; 0 is root")
    opts.add("host_paths", type_=bool, default=False, help="allow mounts of type=bind, which show the node's disk")
    opts.add("grace_seconds", type_=int, default=60, help="time between SIGTERM and SIGKILL when a pod is stopped")
    opts.add(
        "ttl_seconds", type_=int, default=604800, help="how long a finished job and its logs are kept; -1: forever"
    )
    opts.add("on_cancel", type_=str, default="delete", help="delete the job, or suspend it and keep its record")
    return opts


def parse(cfg: Mapping[str, Any]) -> Options:
    """Reads the resolved options; raises SchedulerError for the first that is wrong."""
    return Options(
        kind=_one_of(cfg, "kind", KINDS, "job"),
        queue=_name(cfg, "queue"),
        image=_plain(cfg, "image"),
        image_pull_policy=_one_of(cfg, "image_pull_policy", ("Always", "IfNotPresent", "Never"), ""),
        image_pull_secret=_name(cfg, "image_pull_secret"),
        service_account=_name(cfg, "service_account"),
        priority_class=_name(cfg, "priority_class"),
        node_selector=_labels(cfg, "node_selector"),
        tolerations=tuple(_toleration(text) for text in cfg.get("tolerations") or ()),
        labels=_labels(cfg, "labels"),
        files=tuple(cfg.get("files") or ()),
        cloud=_one_of(cfg, "cloud", tuple(CLOUDS), ""),
        gpu_resource=_key(str(cfg.get("gpu_resource") or "nvidia.com/gpu"), "gpu_resource"),
        shm_size=_quantity(cfg, "shm_size"),
        run_as_user=_number(cfg, "run_as_user", 1000, 0, 2**31 - 1),
        host_paths=bool(cfg.get("host_paths")),
        grace_seconds=_number(cfg, "grace_seconds", 60, 1, 86400),
        ttl_seconds=_number(cfg, "ttl_seconds", 604800, -1, 2**31 - 1),
        on_cancel=_one_of(cfg, "on_cancel", ENDINGS, "delete"),
    )


def name(text: str, what: str) -> str:
    """A name of an object, as Kubernetes allows it."""
    if not _NAME.fullmatch(plain(text, what)):
        raise SchedulerError(f"{what}: {shortened(text)} is no name: a-z, 0-9, - and . are allowed, up to 253 of them")
    return text


def namespace(cfg: Mapping[str, Any]) -> str:
    """The namespace the user asked for, or nothing."""
    return _name(cfg, "namespace")


def _name(cfg: Mapping[str, Any], option: str) -> str:
    value = cfg.get(option)
    return name(str(value), option) if value not in (None, "") else ""


def _plain(cfg: Mapping[str, Any], option: str) -> str:
    return plain(str(cfg.get(option) or ""), option)


def _one_of(cfg: Mapping[str, Any], option: str, allowed: tuple[str, ...], default: str) -> str:
    value = str(cfg.get(option) or default)
    if value not in (*allowed, default):
        raise SchedulerError(f"{option}={shortened(value)}: must be one of {', '.join(allowed)}")
    return value


def _number(cfg: Mapping[str, Any], option: str, default: int, low: int, high: int) -> int:
    value = cfg.get(option)
    number = default if value is None else int(value)
    if not low <= number <= high:
        raise SchedulerError(f"{option}={number}: must be {low} to {high}")
    return number


def _quantity(cfg: Mapping[str, Any], option: str) -> str:
    value = str(cfg.get(option) or "")
    if value and not _QUANTITY.fullmatch(value):
        raise SchedulerError(f"{option}={shortened(value)}: expected a size like 8Gi or 512Mi")
    return value


def _labels(cfg: Mapping[str, Any], option: str) -> dict[str, str]:
    found = cast(Mapping[str, str], cfg.get(option) or {})
    for key, value in found.items():
        _key(key, option)
        if value and not _LABEL.fullmatch(value):
            raise SchedulerError(f"{option}: {shortened(value)} is no value of a label")
    return dict(found)


def _key(text: str, what: str) -> str:
    prefix, slash, own = text.rpartition("/")
    if not _LABEL.fullmatch(own) or (slash and not _NAME.fullmatch(prefix)):
        raise SchedulerError(f"{what}: {shortened(text)} is no key like pool or example.org/pool")
    return text


def _toleration(text: str) -> dict[str, str]:
    """A taint as key:value:Effect, key:Effect, key:value or key; = for the first colon, as kubectl has it, too."""
    match = re.fullmatch(r"([^=:]+)(?:[=:]([^=:]*))?(?::([^=:]+))?", text)
    key, value, effect = match.groups() if match else ("", None, None)
    if value in EFFECTS and effect is None:
        value, effect = None, value
    if not key or (effect and effect not in EFFECTS) or (value and not _LABEL.fullmatch(value)):
        raise SchedulerError(
            f"tolerations: {shortened(text)} is none; expected key:value:Effect, key:Effect, key:value or key, "
            f"with an effect of {', '.join(EFFECTS)}"
        )
    found = {"key": _key(key, "tolerations"), "operator": "Exists" if value is None else "Equal"}
    found.update({"value": value} if value is not None else {})
    return {**found, "effect": effect} if effect else found
