"""From the spec and state of a local job to what TorchX shows."""

from pathlib import Path
from typing import Any

from torchx.schedulers.api import DescribeAppResponse, ListAppResponse
from torchx.specs import NONE, AppState, ReplicaState, ReplicaStatus, Resource, Role, RoleStatus

from . import _local_jobs as jobs
from ._status import error_json


def describe(app_id: str, job: Path) -> DescribeAppResponse:
    """State, restarts, message and replicas of a job."""
    spec, state = jobs.read_json(job / jobs.SPEC), jobs.current_state(job)
    return DescribeAppResponse(
        app_id=app_id,
        state=AppState[state["state"]],
        num_restarts=state.get("restarts", 0),
        msg=state.get("message") or NONE,
        ui_url=job.as_uri(),
        roles_statuses=[_role_status(role, state, job, spec["hostname"]) for role in spec["roles"]],
        roles=[_role(role) for role in spec["roles"]],
    )


def listed(app_id: str, job: Path) -> ListAppResponse:
    """A job's line in `torchx list`."""
    response = ListAppResponse(app_id, AppState[jobs.current_state(job)["state"]])
    if hasattr(response, "name"):  # not in TorchX 0.7.0
        response.name = jobs.read_json(job / jobs.SPEC).get("name", "")
    return response


def _role(spec: dict[str, Any]) -> Role:
    return Role(
        name=spec["name"],
        image=spec["image"],
        entrypoint=spec["entrypoint"],
        args=spec["args"],
        env=spec["replicas"][0]["env"],
        num_replicas=len(spec["replicas"]),
        min_replicas=spec["min_replicas"],
        max_retries=spec["max_retries"],
        resource=Resource(**spec["resource"]),
    )


def _role_status(role: dict[str, Any], state: dict[str, Any], job: Path, hostname: str) -> RoleStatus:
    replicas = []
    for index, replica in enumerate(state.get("replicas", {}).get(role["name"], ())):
        known = replica["state"]
        if known != "SUCCEEDED" and state["state"] in jobs.FINISHED:
            known = "CANCELLED" if state["state"] == "CANCELLED" else "FAILED"
        told = known == "FAILED" or (known == "CANCELLED" and replica["exit_code"] is not None)
        error = _error_json(replica, job / role["folder"] / str(index), state) if told else NONE
        replicas.append(ReplicaStatus(index, ReplicaState[known], role["name"], hostname, error))
    return RoleStatus(role["name"], replicas)


def _error_json(replica: dict[str, Any], folder: Path, state: dict[str, Any]) -> str:
    """The replica's error in the form that `torchx status` prints."""
    left = jobs.read_json(folder / "error.json").get("message")
    text = left.get("message") if isinstance(left, dict) else left
    message = str(text or replica["reason"] or state.get("message") or "unknown")
    return error_json(message, replica["exit_code"], state.get("updated", 0))
