"""From the mounts of a role to volumes: claims, secrets, config maps, and shared memory.

A source says what it is: NAME or pvc://NAME[/folder in it], secret://NAME[/key], configmap://NAME[/key].
"""

import re
from typing import Any

from torchx.specs import BindMount, Role, VolumeMount

from ._kubernetes_options import Options, name
from ._words import SchedulerError, plain, shortened

_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_SOURCE = re.compile(r"(?:(pvc|secret|configmap)://)?([^/]+)(?:/(.+))?", re.DOTALL)


def volumes(role: Role, options: Options) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Volumes of the pod and where its container sees them."""
    shm: dict[str, Any] = {"medium": "Memory", **({"sizeLimit": options.shm_size} if options.shm_size else {})}
    made = [{"name": "dshm", "emptyDir": shm}]
    seen = [{"name": "dshm", "mountPath": "/dev/shm"}]
    for index, mount in enumerate(role.mounts):
        volume, place = _mount(mount, options)
        made.append({"name": f"mount-{index}", **volume})
        seen.append({"name": f"mount-{index}", **place})
    places = [place["mountPath"] for place in seen]
    twice = next((place for place in places if places.count(place) > 1), None)
    if twice is not None:
        raise SchedulerError(f"mounts: two of them are to be seen at {shortened(twice)}")
    return made, seen


def reference(text: str, what: str) -> tuple[str, str]:
    """Name and key of secret://NAME/KEY."""
    match = re.fullmatch(r"secret://([^/]+)/([^/]+)", text)
    if match is None or not _KEY.fullmatch(match[2]):
        raise SchedulerError(f"{what}: {shortened(text)} is no secret://NAME/KEY")
    return name(match[1], what), match[2]


def _mount(mount: object, options: Options) -> tuple[dict[str, Any], dict[str, Any]]:
    if isinstance(mount, BindMount):
        if not options.host_paths:
            raise SchedulerError(
                f"mounts: {shortened(mount.src_path)} is a path of the node; use a claim, "
                f"type=volume,src=CLAIM,dst=..., or -cfg host_paths=True"
            )
        volume: dict[str, Any] = {"hostPath": {"path": _path(mount.src_path)}}
        return volume, _place(mount.dst_path, mount.read_only)
    if not isinstance(mount, VolumeMount):
        raise SchedulerError("mounts: devices need a privileged container, which tzx does not start")
    match = _SOURCE.fullmatch(plain(mount.src, "mounts"))
    if match is None:
        raise SchedulerError(f"mounts: {shortened(mount.src)} is none of pvc://, secret:// and configmap://NAME")
    return _volume(match[1] or "pvc", name(match[2], "mounts"), match[3], mount)


def _volume(kind: str, source: str, inner: str | None, mount: VolumeMount) -> tuple[dict[str, Any], dict[str, Any]]:
    if kind == "pvc":
        volume: dict[str, Any] = {"persistentVolumeClaim": {"claimName": source}}
        place = _place(mount.dst_path, mount.read_only)
        return volume, {**place, **({"subPath": _inside(inner)} if inner else {})}
    if inner is not None and not _KEY.fullmatch(inner):
        raise SchedulerError(f"mounts: {shortened(inner)} is no key of {source}")
    # Readable by the group of the pod, which is the user's own, and by nobody else.
    body: dict[str, Any] = {"secretName": source, "defaultMode": 0o440} if kind == "secret" else {"name": source}
    if inner is not None:
        body["items"] = [{"key": inner, "path": inner}]
    return {"secret" if kind == "secret" else "configMap": body}, _place(mount.dst_path, True)


def _place(path: str, read_only: bool) -> dict[str, Any]:
    return {"mountPath": _path(path), **({"readOnly": True} if read_only else {})}


def _path(path: str) -> str:
    if not plain(path, "mounts").startswith("/") or ":" in path:
        raise SchedulerError(f"mounts: {shortened(path)} must be an absolute path without a colon")
    return path


def _inside(path: str) -> str:
    if ".." in path.split("/"):
        raise SchedulerError(f"mounts: {shortened(path)} leaves its claim")
    return path
