"""From the directory of a Slurm job to what TorchX shows."""

from pathlib import Path
from typing import Any

from torchx.schedulers.api import DescribeAppResponse, ListAppResponse
from torchx.specs import NONE, AppState, ReplicaState, ReplicaStatus, Resource, Role, RoleStatus

from ._local_jobs import FINISHED, SPEC, read_json
from ._slurm_jobs import Outcome
from ._status import error_json


def describe(number: str, job: Path | None, outcome: Outcome) -> DescribeAppResponse:
    """State, restarts, message and replicas of a job; a job that tzx has not started has a state only."""
    spec = read_json(job / SPEC) if job else {}
    return DescribeAppResponse(
        app_id=number,
        state=AppState[outcome.state],
        num_restarts=outcome.restarts,
        msg=outcome.message or NONE,
        ui_url=job.as_uri() if job else None,
        roles_statuses=[_role_status(spec["role"]["name"], job, outcome)] if job and spec else [],
        roles=[_role(spec["role"])] if spec else [],
    )


def listed(number: str, state: str, job: Path) -> ListAppResponse:
    """A job's line in `torchx list`."""
    response = ListAppResponse(number, AppState[state])
    if hasattr(response, "name"):  # not in TorchX 0.7.0
        response.name = read_json(job / SPEC).get("app", "")
    return response


def replicas(job: Path) -> int:
    """How many there are: known when it has started; before that, how many were asked for."""
    try:
        return len((job / "nodes").read_text().split())
    except OSError:
        return int(read_json(job / SPEC)["role"]["num_replicas"])


def _role(spec: dict[str, Any]) -> Role:
    plain = {key: value for key, value in spec.items() if key != "resource"}
    return Role(**plain, resource=Resource(**spec["resource"]))


def _role_status(role: str, job: Path, outcome: Outcome) -> RoleStatus:
    try:
        nodes = (job / "nodes").read_text().split()
    except OSError:
        nodes = []
    return RoleStatus(role, [_replica_status(role, i, node, job, outcome) for i, node in enumerate(nodes)])


def _replica_status(role: str, index: int, node: str, job: Path, outcome: Outcome) -> ReplicaStatus:
    folder = job / "replicas" / str(index)
    try:
        code: int | None = int((folder / "exit").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        code = None
    state = _replica_state(code, folder, outcome)
    error = _error(folder, code, outcome) if state in ("FAILED", "CANCELLED") else NONE
    return ReplicaStatus(index, ReplicaState[state], role, node, error)


def _replica_state(code: int | None, folder: Path, outcome: Outcome) -> str:
    if code == 0:
        return "SUCCEEDED"
    if outcome.state in FINISHED:
        return "CANCELLED" if outcome.state == "CANCELLED" else "FAILED"
    if code is not None:
        return "FAILED"
    return "RUNNING" if outcome.state == "RUNNING" and folder.is_dir() else "PENDING"


def _error(folder: Path, code: int | None, outcome: Outcome) -> str:
    """The replica's error in the form that `torchx status` prints."""
    left = read_json(folder / "error.json").get("message")
    text = left.get("message") if isinstance(left, dict) else left
    reason = f"exited with {code}" if code is not None else "was ended with the others"
    return error_json(str(text or reason), code, outcome.ended or 0)
