"""States of jobs whose controllers are not here: what these would write is written by the test."""

from typing import Any

import pytest

pytest.importorskip("kubernetes")
from loopback_kube.cluster import Cluster, job_path, lines_of, set_status

CONDITIONS: dict[str, list[tuple[dict[str, Any], str]]] = {
    "jobset": [
        ({}, "PENDING"),
        ({"replicatedJobsStatus": [{"name": "worker", "active": 1}]}, "RUNNING"),
        ({"conditions": [{"type": "Suspended", "status": "True"}]}, "PENDING"),
        ({"conditions": [{"type": "Completed", "status": "True"}], "terminalState": "Completed"}, "SUCCEEDED"),
        ({"terminalState": "Failed", "restarts": 3}, "FAILED"),
    ],
    "volcano": [
        ({}, "PENDING"),
        ({"state": {"phase": "Inqueue"}}, "PENDING"),
        ({"state": {"phase": "Running"}}, "RUNNING"),
        ({"state": {"phase": "Restarting"}, "retryCount": 1}, "PENDING"),
        ({"state": {"phase": "Completed"}}, "SUCCEEDED"),
        ({"state": {"phase": "Terminated"}}, "FAILED"),
        ({"state": {"phase": "Aborted"}}, "CANCELLED"),
    ],
    "pytorchjob": [
        ({"conditions": [{"type": "Created", "status": "True"}]}, "PENDING"),
        ({"conditions": [{"type": "Running", "status": "True"}]}, "RUNNING"),
        (
            {"conditions": [{"type": "Running", "status": "False"}, {"type": "Succeeded", "status": "True"}]},
            "SUCCEEDED",
        ),
        ({"conditions": [{"type": "Failed", "status": "True", "reason": "PyTorchJobFailed"}]}, "FAILED"),
    ],
}


@pytest.mark.parametrize("kind", CONDITIONS)
def test_other_kinds(bare: Cluster, kind: str) -> None:
    assert bare.server is not None
    app_id = bare.start("", replicas=2, cfg={"kind": kind})
    (path,) = [path for path, made in bare.server.objects.items() if made["kind"] not in ("Service", "Secret")]
    assert f"is the controller for kind={kind} installed?" in bare.message(app_id)
    for status, state in CONDITIONS[kind]:
        set_status(bare, path, **status)
        assert bare.state(app_id) == state, status
        assert [one.state.name for one in bare.scheduler.list()] == [state]
    bare.scheduler._delete_existing(app_id)
    assert bare.server.objects == {}


@pytest.mark.parametrize("kind", CONDITIONS)
def test_other_kinds_are_suspended(bare: Cluster, kind: str) -> None:
    assert bare.server is not None
    app_id = bare.start("", cfg={"kind": kind, "on_cancel": "suspend"})
    bare.scheduler.cancel(app_id)
    if kind == "volcano":
        (command,) = bare.server.find("commands")
        assert command["action"] == "AbortJob" and command["target"]["name"] == app_id.partition(":")[2]
    (main,) = [made for made in bare.server.objects.values() if "tzx/roles" in made["metadata"].get("annotations", {})]
    where = main["spec"]["runPolicy"] if kind == "pytorchjob" else main["spec"]
    assert kind == "volcano" or where["suspend"] is True
    assert bare.state(app_id) == "CANCELLED"


def test_why_a_job_waits(bare: Cluster) -> None:
    app_id = bare.start("")
    path = lines_of(bare, app_id, phase="Pending")
    set_status(bare, job_path(app_id), active=1)
    taint = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes: no GPU"}
    set_status(bare, path, phase="Pending", conditions=[taint])
    assert (bare.state(app_id), bare.message(app_id)) == (
        "PENDING",
        "worker[0] waits: Unschedulable: 0/3 nodes: no GPU",
    )
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    set_status(bare, path, phase="Pending", containerStatuses=[{"state": waiting}])
    assert bare.message(app_id) == "worker[0] waits: ImagePullBackOff: no such image"
    queued = bare.start("", cfg={"queue": "team"})
    assert (bare.state(queued), bare.message(queued).split(":")[0]) == ("PENDING", "suspended")
