"""From what the API server says of a job and its pods to what TorchX shows."""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from torchx.schedulers.api import DescribeAppResponse, ListAppResponse
from torchx.specs import NONE, AppState, ReplicaState, ReplicaStatus, Role, RoleStatus

from ._kubernetes_kinds import KINDS
from ._kubernetes_pod import ROLE, container_name
from ._kubernetes_request import APP, CANCELLED, ROLES
from ._status import error_json
from .contract import NEVER_RETRIED

_VOLCANO = {
    "PENDING": "Pending Restarting",
    "RUNNING": "Running Completing Terminating",
    "SUCCEEDED": "Completed",
    "FAILED": "Failed Terminated",
    "CANCELLED": "Aborting Aborted",
}
_PHASES = {phase: state for state, phases in _VOLCANO.items() for phase in phases.split()}
_TELLING = NEVER_RETRIED | {74, 75}
_MESSAGE = re.compile(r'"message": "((?:[^"\\]|\\.)*)"')


def describe(app_id: str, kind: str, found: dict[str, Any], pods: list[dict[str, Any]]) -> DescribeAppResponse:
    """State, restarts, message and replicas of a job."""
    native = state(kind, found)
    newest = _newest(kind, pods)
    if native == "RUNNING" and newest and all(_phase(pod) == "Pending" for pod in newest.values()):
        native = "PENDING"
    roles = role_sizes(found)
    return DescribeAppResponse(
        app_id=app_id,
        state=AppState[native],
        num_restarts=_restarts(kind, found, pods),
        msg=_message(native, kind, found, newest) or NONE,
        roles_statuses=[_role_status(role, newest, native) for role in roles],
        roles=list(_roles(found)),
    )


def listed(app_id: str, kind: str, found: dict[str, Any]) -> ListAppResponse:
    """A job's line in `torchx list`."""
    response = ListAppResponse(app_id, AppState[state(kind, found)])
    if hasattr(response, "name"):  # not in TorchX 0.7.0
        response.name = _annotations(found).get(APP, "")
    return response


def state(kind: str, found: dict[str, Any]) -> str:
    """What has become of a job, as TorchX names it."""
    status = found.get("status") or {}
    true = {one["type"] for one in status.get("conditions") or () if one.get("status") == "True" and "type" in one}
    terminal = true | {status.get("terminalState")}
    if terminal & {"Complete", "Completed", "Succeeded"}:
        return "SUCCEEDED"
    phase = _PHASES.get((status.get("state") or {}).get("phase", ""))
    if kind == "volcano" and phase in ("SUCCEEDED", "FAILED", "CANCELLED"):
        return phase
    if "Failed" in terminal:
        return "FAILED"
    if CANCELLED in _annotations(found) or found["metadata"].get("deletionTimestamp"):
        return "CANCELLED"
    if kind == "volcano":
        return phase or "PENDING"
    active = status.get("active") or "Running" in true
    active = active or any(one.get("active") or one.get("ready") for one in status.get("replicatedJobsStatus") or ())
    return "RUNNING" if active and "Suspended" not in true else "PENDING"


def role_sizes(found: dict[str, Any]) -> dict[str, int]:
    """The roles of a job and how many replicas were asked for."""
    try:
        return {str(name): int(number) for name, number in json.loads(_annotations(found)[ROLES]).items()}
    except (KeyError, ValueError, AttributeError):
        return {}


def number(kind: str, pod: dict[str, Any]) -> int:
    """Which replica a pod runs."""
    meta, label = pod["metadata"], KINDS[kind].index_label
    text = (meta.get("labels") or {}).get(label) or (meta.get("annotations") or {}).get(label) or "0"
    return int(text) if text.isdigit() else 0


def exit_code(pod: dict[str, Any]) -> int | None:
    """How the program of a pod ended, if it has."""
    code = _container_state(pod).get("terminated", {}).get("exitCode")
    return None if code is None else int(code)


def finished(pod: dict[str, Any]) -> bool:
    """Whether a pod writes no more."""
    return _phase(pod) in ("Succeeded", "Failed")


def _newest(kind: str, pods: list[dict[str, Any]]) -> dict[tuple[str, int], dict[str, Any]]:
    """The last pod of each replica."""
    ordered = sorted(pods, key=lambda pod: pod["metadata"].get("creationTimestamp") or "")
    return {(_role_of(pod), number(kind, pod)): pod for pod in ordered}


def _role_of(pod: dict[str, Any]) -> str:
    return str((pod["metadata"].get("labels") or {}).get(ROLE, ""))


def _restarts(kind: str, found: dict[str, Any], pods: list[dict[str, Any]]) -> int:
    status = found.get("status") or {}
    if kind != "job":
        return int(status.get("restarts") or status.get("retryCount") or 0)
    numbers = [(_role_of(pod), number(kind, pod)) for pod in pods]
    return max((numbers.count(one) - 1 for one in numbers), default=0)


def _message(native: str, kind: str, found: dict[str, Any], newest: dict[tuple[str, int], dict[str, Any]]) -> str:
    """Why the job is where it is, in one line."""
    if native == "FAILED":
        failed = [(key, pod) for key, pod in newest.items() if exit_code(pod)]
        if failed:
            (role, index), pod = min(failed, key=lambda one: (exit_code(one[1]) not in _TELLING, _ended(one[1])))
            return f"{role}[{index}] exited with {exit_code(pod)}: {_words(pod)}".removesuffix(": ")
        return _condition(found)
    if native == "CANCELLED":
        return "cancelled" if CANCELLED in _annotations(found) else "being deleted"
    if native == "PENDING":
        waiting = [f"{role}[{i}] {why}" for (role, i), pod in sorted(newest.items()) if (why := _waits_for(pod))]
        if waiting:
            return waiting[0]
        if (found.get("spec") or {}).get("suspend"):
            return "suspended: its queue has not let it start yet"
        if not found.get("status") and kind != "job":
            return f"nothing has taken it up: is the controller for kind={kind} installed?"
    return ""


def _condition(found: dict[str, Any]) -> str:
    status = found.get("status") or {}
    failed = [one for one in status.get("conditions") or () if one.get("type") == "Failed"]
    one = failed[-1] if failed else status.get("state") or {}
    return ": ".join(str(one[key]) for key in ("reason", "message") if one.get(key))


def _waits_for(pod: dict[str, Any]) -> str:
    waiting = _container_state(pod).get("waiting") or {}
    if waiting.get("reason") and waiting["reason"] not in ("ContainerCreating", "PodInitializing"):
        return f"waits: {waiting['reason']}: {waiting.get('message', '')}".removesuffix(": ")
    for one in (pod.get("status") or {}).get("conditions") or ():
        if one.get("type") == "PodScheduled" and one.get("status") == "False":
            return f"waits: {one.get('reason', '')}: {one.get('message', '')}".removesuffix(": ")
    return ""


def _role_status(role: str, newest: dict[tuple[str, int], dict[str, Any]], native: str) -> RoleStatus:
    own = container_name(role)
    pods = sorted((index, pod) for (name, index), pod in newest.items() if name == own)
    return RoleStatus(role, [_replica_status(role, index, pod, native) for index, pod in pods])


def _replica_status(role: str, index: int, pod: dict[str, Any], native: str) -> ReplicaStatus:
    known = {"Running": "RUNNING", "Succeeded": "SUCCEEDED", "Failed": "FAILED"}.get(_phase(pod), "PENDING")
    if native == "CANCELLED" and known != "SUCCEEDED":
        known = "CANCELLED"
    code = exit_code(pod)
    error = error_json(_words(pod) or f"exited with {code}", code, _ended(pod)) if code else NONE
    node = (pod.get("spec") or {}).get("nodeName") or ""
    return ReplicaStatus(index, ReplicaState[known], role, node, error)


def _words(pod: dict[str, Any]) -> str:
    """The first line of the error that a program has left; its text may be torn at the end."""
    ended = _container_state(pod).get("terminated") or {}
    text = str(ended.get("message") or "")
    match = _MESSAGE.search(text)
    if match is not None:
        text = str(json.loads(f'"{match[1]}"'))
    elif text:
        text = text.strip().splitlines()[-1]
    reason = ended.get("reason", "")
    return (text.strip().splitlines() or [reason if reason != "Error" else ""])[0]


def _ended(pod: dict[str, Any]) -> float:
    text = (_container_state(pod).get("terminated") or {}).get("finishedAt")
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() if text else 0.0


def _container_state(pod: dict[str, Any]) -> dict[str, Any]:
    statuses = (pod.get("status") or {}).get("containerStatuses") or [{}]
    return dict(statuses[0].get("state") or {})


def _phase(pod: dict[str, Any]) -> str:
    return str((pod.get("status") or {}).get("phase") or "Pending")


def _annotations(found: dict[str, Any]) -> dict[str, str]:
    return dict(found["metadata"].get("annotations") or {})


def _roles(found: dict[str, Any]) -> Iterator[Role]:
    containers = dict(_containers(found.get("spec")))
    for name, size in role_sizes(found).items():
        container = containers.get(container_name(name), {})
        words = [word.replace("$$", "$") for word in (container.get("args") or ())]
        first = (container.get("command") or [""])[0].replace("$$", "$")
        yield Role(name, container.get("image", ""), entrypoint=first, args=words, num_replicas=size)


def _containers(spec: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The container of each role, wherever the kind of job has its pod templates."""
    if isinstance(spec, list):
        for one in spec:
            yield from _containers(one)
    elif isinstance(spec, dict):
        role = ((spec.get("metadata") or {}).get("labels") or {}).get(ROLE)
        if role is not None:
            yield role, spec["spec"]["containers"][0]
        for value in spec.values():
            yield from _containers(value) if isinstance(value, dict | list) else ()
