"""The pai_dlc scheduler through the official SDK, against a gateway on this machine that checks signatures."""

import json
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from loopback_aliyun import SECRET, LoopbackAliyun, sign_with
from torchx.specs import AppDef, AppState, Resource, Role, VolumeMount

from tzx_schedulers import _remote_jobs as remote
from tzx_schedulers._words import SchedulerError
from tzx_schedulers.pai_dlc import DlcScheduler

NOT_THERE = 404, {"Code": "JobNotFound", "Message": "job is not found"}


class Service:
    """A workspace with its jobs; a test says how they go on."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.logs: dict[str, list[tuple[str, str]]] = {}
        self.tensorboards: list[dict[str, Any]] = []
        self.gateway = LoopbackAliyun(self.answer)

    def answer(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        words = path.strip("/").split("/")[2:]
        if words == ["tensorboards"]:
            self.tensorboards.append(body)
            return 200, {"TensorboardId": "tb-1"}
        if words == ["jobs"] and method == "POST":
            return self.create(body)
        if words == ["jobs"]:
            wanted = json.loads(query["Tags"])
            found = [job for job in self.jobs.values() if wanted.items() <= job["Settings"]["Tags"].items()]
            first = (int(query["PageNumber"]) - 1) * int(query["PageSize"])
            return 200, {"Jobs": found[::-1][first : first + int(query["PageSize"])], "TotalCount": len(found)}
        job = self.jobs.get(words[1])
        if job is None:
            return NOT_THERE
        if words[2:] == ["stop"]:
            job["Status"] = "Stopping"
        if words[2:3] == ["pods"]:
            if words[3] not in self.logs:
                return 404, {"Code": "PodNotFound", "Message": "pod has not been started"}
            lines = [text for time, text in self.logs[words[3]] if query["StartTime"] <= time <= query["EndTime"]]
            return 200, {"Logs": lines[-int(query["MaxLines"]) :]}
        return 200, job

    def create(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if body["WorkspaceId"] != "12":
            return 400, {"Code": "InvalidParameter", "Message": "workspace does not exist\nsecond line"}
        number = f"dlc{len(self.jobs)}"
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.jobs[number] = {**body, "JobId": number, "Status": "Creating", "GmtCreateTime": now, "Pods": []}
        return 200, {"JobId": number}

    def start(self, job: str, status: str = "Running") -> None:
        self.jobs[job]["Status"] = status
        count = self.jobs[job]["JobSpecs"][0]["PodCount"]
        pods = [
            {"PodId": f"{job}-worker-{i}", "Type": "worker", "Status": status, "NodeName": f"n{i}"}
            for i in range(count)
        ]
        aimaster = {"PodId": f"{job}-aimaster-0", "Type": "aimaster", "Status": status}
        self.jobs[job]["Pods"] = [aimaster, *reversed(pods)]

    def write(self, pod: str, *lines: str) -> None:
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.logs.setdefault(pod, []).extend((now, line) for line in lines)


@pytest.fixture
def service(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    sign_with(SECRET, monkeypatch)
    monkeypatch.setattr(remote, "ASK_EVERY", 0.02)
    found = Service()
    options = {"region": "cn-hangzhou", "workspace": 12, "quota": "q1", "image": "x:1"}
    lines = [f"{name} = {value}" for name, value in {**options, "endpoint": found.gateway.endpoint}.items()]
    (home / ".torchxconfig").write_text("\n".join(["[pai_dlc]", *lines, ""]))
    monkeypatch.setenv("TORCHXCONFIG", str(home / ".torchxconfig"))
    yield found
    found.gateway.close()


def submit(nodes: int = 2, mounts: Any = (), **cfg: Any) -> str:
    scheduler = DlcScheduler("torchx")
    role = Role("trainer", "", entrypoint="python", args=["-m", "x"], num_replicas=nodes, mounts=list(mounts))
    role.resource = Resource(cpu=4, gpu=0, memMB=8192)
    options = {**remote.settings("pai_dlc", None, scheduler.run_opts()), **cfg}
    return scheduler.schedule(scheduler.submit_dryrun(AppDef("job", [role]), options))


def said(value: Any) -> Any:
    """What a request says, without the empty lists that the SDK adds."""
    if isinstance(value, dict):
        return {key: said(inner) for key, inner in value.items() if inner != []}
    return [said(inner) for inner in value] if isinstance(value, list) else value


def state(job: str) -> str:
    found = DlcScheduler("torchx").describe(job)
    assert found is not None
    return AppState(found.state).name


def test_what_the_service_gets(service: Service) -> None:
    mounts = [VolumeMount("oss://b.oss-cn-hangzhou.aliyuncs.com/m/", "/models")]
    job = submit(mounts=mounts, vpc="vpc-1", tags={"team": "ads"}, fault_tolerance=True, tensorboard="/models/run")
    sent = service.jobs[job]
    method, path, query, raw = service.gateway.requests[0]
    assert (method, path, query) == ("POST", "/api/v1/jobs", {}) and len(raw) < 65_536
    assert (sent["JobType"], sent["ResourceId"], sent["UserVpc"]) == ("PyTorchJob", "q1", {"VpcId": "vpc-1"})
    assert said(sent["JobSpecs"]) == [
        {
            "Type": "Worker",
            "PodCount": 2,
            "Image": "x:1",
            "ResourceConfig": {"CPU": "4", "Memory": "8Gi", "SharedMemory": "4Gi"},
        }
    ]
    assert sent["DataSources"] == [{"Uri": mounts[0].src, "MountPath": "/models", "MountAccess": "RW"}]
    assert sent["Settings"]["EnableErrorMonitoringInAIMaster"] and sent["Settings"]["Tags"]["team"] == "ads"
    assert "program() { exec python -m x; }" in sent["UserCommand"]
    board = {"JobId": job, "SummaryRelativePath": "run", "Uri": mounts[0].src, "DataSourceType": "OSS"}
    assert board.items() <= service.tensorboards[0].items()


def test_every_field_of_the_request_is_one_of_the_sdk(service: Service) -> None:
    """What the SDK does not know it drops silently."""
    job = submit(
        mounts=[VolumeMount("d-1", "/in", True)], code_source="c", code_branch="b", code_commit="f", vpc="v",
        vswitch="w", security_group="s", priority=3, max_minutes=5, fault_tolerance=True, fault_tolerance_args="--a=b",
    )  # fmt: skip
    scheduler = DlcScheduler("torchx")
    role = Role("trainer", "i", entrypoint="x", num_replicas=4, min_replicas=2, resource=Resource(1, 1, 1))
    elastic = scheduler.submit_dryrun(AppDef("e", [role]), {"workspace": "12", "quota": "q"}).request.body
    from alibabacloud_pai_dlc20201203.models import CreateJobRequest

    known = CreateJobRequest().from_map(elastic).to_map()
    assert said(known) == said(elastic)
    sent = service.jobs[job]
    assert sent["CodeSource"] == {"CodeSourceId": "c", "MountPath": "/mnt/code", "Branch": "b", "Commit": "f"}
    assert sent["UserVpc"] == {"VpcId": "v", "SwitchId": "w", "SecurityGroupId": "s"}
    assert (sent["Priority"], sent["JobMaxRunningTimeMinutes"]) == (3, 5)
    assert sent["DataSources"] == [{"DataSourceId": "d-1", "MountPath": "/in", "MountAccess": "RO"}]


STATES = {
    "PENDING": ["Creating", "Queuing", "Bidding", "EnvPreparing", "SanityChecking"],
    "RUNNING": ["Running", "Restarting", "Stopping"],
    "SUCCEEDED": ["Succeeded", "SucceededReserving"],
    "FAILED": ["Failed", "FailedReserving"],
    "CANCELLED": ["Stopped"],
    "UNKNOWN": ["SomethingNew"],
}


def test_states(service: Service) -> None:
    job = submit()
    for wanted, natives in STATES.items():
        for native in natives:
            service.start(job, native)
            assert state(job) == wanted, native
    service.start(job, "Failed")
    service.jobs[job].update(
        {"ReasonCode": "JobFailed", "ReasonMessage": "worker-1\nexited with 2", "RestartTimes": "1"}
    )
    service.jobs[job]["Pods"][2]["Status"] = "Running"
    found = DlcScheduler("torchx").describe(job)
    assert found is not None and found.msg == "JobFailed worker-1 exited with 2" and found.num_restarts == 1
    replicas = found.roles_statuses[0].replicas
    assert [(r.id, r.hostname) for r in replicas] == [(0, "n0"), (1, "n1")]
    assert "FAILED" in str(replicas[0].state) and "dlc0-worker-1 Failed" in replicas[1].structured_error_msg


def test_list_and_cancel(service: Service, home: Path) -> None:
    jobs = [submit(1)]
    for number in range(1, 103):  # more than a page
        jobs.append(f"dlc{number}")
        service.jobs[jobs[-1]] = {**service.jobs["dlc0"], "JobId": jobs[-1]}
    service.jobs["dlc-of-another"] = {**service.jobs["dlc0"], "JobId": "dlc-of-another", "Settings": {"Tags": {}}}
    scheduler = DlcScheduler("torchx")
    assert [job.app_id for job in scheduler.list()] == jobs
    service.start(jobs[0])
    scheduler._cancel_existing(jobs[0])
    assert service.jobs[jobs[0]]["Status"] == "Stopping"
    service.jobs[jobs[0]]["Status"] = "Stopped"
    seen = len(service.gateway.requests)
    scheduler._cancel_existing(jobs[0])
    assert [request[0] for request in service.gateway.requests[seen:]] == ["GET"]
    assert scheduler.describe("dlc-nope") is None
    with pytest.raises(SchedulerError, match="there is no job dlc-nope"):
        scheduler.log_iter("dlc-nope", "trainer")


def test_a_log_is_followed_to_its_end(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    job = submit()
    scheduler = DlcScheduler("torchx")
    assert list(scheduler.log_iter(job, "trainer", 1)) == []  # it has no pods yet
    pod = f"{job}-worker-1"
    steps = iter(
        [
            lambda: service.start(job),
            lambda: service.write(pod, "start", "st"),
            lambda: (service.logs[pod].pop(), service.write(pod, "step", "step", "step")),
            lambda: service.write(pod, "step", "loss 0.5\n"),
            lambda: (service.write(pod, "end"), service.start(job, "Succeeded")),
        ]
    )
    monkeypatch.setattr(remote.time, "sleep", lambda _: next(steps)())
    lines = list(scheduler.log_iter(job, "trainer", 1, should_tail=True))
    assert lines == ["start\n", *["step\n"] * 4, "loss 0.5\n", "end\n"]
    assert list(scheduler.log_iter(job, "trainer", 1, regex="loss")) == ["loss 0.5\n"]
    assert list(scheduler.log_iter(job, "trainer", 0)) == []
    for wrong, match in ((("nobody", 0), "no role 'nobody'"), (("trainer", 2), "replicas 0 to 1, not 2")):
        with pytest.raises(SchedulerError, match=match):
            scheduler.log_iter(job, *wrong)


def test_refusals_are_one_line(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(SchedulerError, match=r"InvalidParameter.*does not exist") as error:
        submit(workspace="13")
    assert len(str(error.value).splitlines()) == 1
    monkeypatch.setattr(service, "tensorboards", None)
    job = submit(mounts=[VolumeMount("d-1", "/m")], tensorboard="/m")
    assert "the job runs, but there is no TensorBoard" in caplog.text and job in service.jobs
    sign_with("wrong", monkeypatch)
    jobs = dict(service.jobs)
    with pytest.raises(SchedulerError, match="SignatureDoesNotMatch"):
        submit()
    assert service.jobs == jobs
    monkeypatch.setitem(sys.modules, "alibabacloud_pai_dlc20201203.models", None)
    with pytest.raises(SchedulerError, match=r"pip install 'tzx\[dlc\]'"):
        submit()


def test_no_secret_is_sent_or_kept(service: Service, home: Path) -> None:
    submit()
    kept = "".join(path.read_text() for path in home.parent.rglob("*.json"))
    sent = b"".join(request[3] for request in service.gateway.requests)
    assert SECRET not in kept and SECRET.encode() not in sent and '"workspace": "12"' in kept
