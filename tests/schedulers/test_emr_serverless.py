"""The serverless flavor through the official SDK, against a gateway on this machine that checks signatures."""

import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hostile import corpus
from loopback_aliyun import SECRET, LoopbackAliyun, sign_with
from torchx.specs import AppDef, AppState, Resource, Role

from tzx_schedulers import _emr_driver as driver
from tzx_schedulers import _remote_jobs as remote
from tzx_schedulers._emr_request import DRIVER
from tzx_schedulers._words import SchedulerError
from tzx_schedulers.emr import EmrScheduler

Until = Callable[..., Any]


class Service:
    """A workspace with its job runs; lines of their logs come as a test says."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.logs: dict[str, list[str]] = {}
        self.gateway = LoopbackAliyun(self.answer)

    def answer(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        words = path.strip("/").split("/")
        if words[:4] != ["api", "v1", "workspaces", "w-1"]:
            return 403, {"code": "Forbidden.Workspace", "message": f"no access to {path}\nsecond line"}
        if words[4:] == ["jobRuns"] and method == "POST":
            return self.start(body)
        if words[4:] == ["jobRuns"]:
            runs = sorted(self.runs.values(), key=lambda run: -run["submitTime"])
            first = int(query.get("nextToken", 0))
            page = {"jobRuns": runs[first : first + 2]}
            return 200, {**page, "nextToken": str(first + 2)} if first + 2 < len(runs) else page
        if words[4:] == ["action", "listLogContents"]:
            lines = self.logs.get(query["fileName"])
            if lines is None:
                return 404, {"code": "Log.NotFound", "message": "no such file"}
            first = int(query["offset"])
            found = [{"LineContent": line} for line in lines[first : first + int(query["length"])]]
            return 200, {"listLogContent": {"totalLength": len(lines), "contents": found}}
        run = self.runs.get(words[5])
        if run is None:
            return 404, {"code": "JobRun.NotFound", "message": "no such job run"}
        if method == "DELETE":
            run["state"] = "Cancelled"
        return 200, {"jobRun": run, "jobRunId": words[5]}

    def start(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        same = [run for run in self.runs.values() if run["clientToken"] == body["clientToken"]]
        if not same:
            number = f"jr-{len(self.runs) + 1}"
            log = {"driverStdOut": f"oss://logs/{number}/stdout"}
            run = {**body, "jobRunId": number, "state": "Running", "log": log, "submitTime": len(self.runs)}
            self.runs[number] = run
            same = [run]
        return 200, {"jobRunId": same[0]["jobRunId"]}


@pytest.fixture
def service(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    sign_with(SECRET, monkeypatch)
    monkeypatch.setattr(remote, "ASK_EVERY", 0.02)
    found = Service()
    yield found
    found.gateway.close()


def cfg(service: Service, tmp_path: Path, **more: Any) -> dict[str, Any]:
    (tmp_path / "staging").mkdir(exist_ok=True)
    return {
        "region": "cn-hangzhou",
        "workspace": "w-1",
        "queue": "root_queue",
        "release": "esr-4.3.0 (Spark 3.5.2, Scala 2.12)",
        "staging": f"file://{tmp_path}/staging",
        "endpoint": service.gateway.endpoint,
        "max_seconds": 60,
        **more,
    }


def app(**role: Any) -> AppDef:
    values = {"entrypoint": "python", "args": ["-m", "x"], "num_replicas": 2, "resource": Resource(1, 0, 1024), **role}
    return AppDef("job", [Role("trainer", "", **values)])


def submit(options: dict[str, Any], found: AppDef | None = None) -> str:
    scheduler = EmrScheduler("torchx")
    return scheduler.schedule(scheduler.submit_dryrun(found or app(), options))


def test_what_the_service_gets(service: Service, tmp_path: Path) -> None:
    submit(cfg(service, tmp_path))
    run = service.runs["jr-1"]
    spark = run["jobDriver"]["sparkSubmit"]
    assert Path(spark["entryPoint"].removeprefix("file://")).read_bytes() == DRIVER.read_bytes()
    assert driver.decode(spark["entryPointArguments"][0])["argv"] == ["python", "-m", "x"]
    assert "spark.executor.instances=2" in shlex.split(spark["sparkSubmitParameters"])
    assert (run["codeType"], run["resourceQueueId"], run["executionTimeoutSeconds"]) == ("PYTHON", "root_queue", 60)
    method, path, query, _ = service.gateway.requests[0]
    assert (method, path, query) == ("POST", "/api/v1/workspaces/w-1/jobRuns", {"regionId": "cn-hangzhou"})


def test_the_same_request_twice_is_one_job(service: Service, tmp_path: Path) -> None:
    scheduler = EmrScheduler("torchx")
    info = scheduler.submit_dryrun(app(), cfg(service, tmp_path))
    assert scheduler.schedule(info) == scheduler.schedule(info) == "jr-1"


@pytest.mark.parametrize(
    "native, state",
    [
        ("Pending", "PENDING"),
        ("RUNNING", "RUNNING"),
        ("Cancelling", "RUNNING"),
        ("Success", "SUCCEEDED"),
        ("Failed", "FAILED"),
        ("Cancelled", "CANCELLED"),
        ("SomethingNew", "UNKNOWN"),
    ],
)
def test_states(service: Service, tmp_path: Path, native: str, state: str) -> None:
    app_id = submit(cfg(service, tmp_path))
    service.runs[app_id]["state"] = native
    service.runs[app_id]["stateChangeReason"] = {"code": "x", "message": "out of\nmemory"}
    found = EmrScheduler("torchx").describe(app_id)
    assert found is not None and AppState(found.state).name == state
    assert (found.msg == "out of memory") == (state in ("FAILED", "PENDING"))
    assert [replica.id for replica in found.roles_statuses[0].replicas] == [0, 1]


def test_list_and_cancel(service: Service, tmp_path: Path) -> None:
    options = cfg(service, tmp_path)
    numbers = [submit(options) for _ in range(3)]
    scheduler = EmrScheduler("torchx")
    scheduler._cancel_existing(numbers[1])
    found = [(job.app_id, AppState(job.state).name) for job in scheduler.list(options)]
    assert found == [("jr-1", "RUNNING"), ("jr-2", "CANCELLED"), ("jr-3", "RUNNING")]
    sent = len(service.gateway.requests)
    scheduler._cancel_existing(numbers[1])  # it is over: nothing but a look
    assert [request[0] for request in service.gateway.requests[sent:]] == ["GET"]
    remote.remember("emr", "jr-9", options)
    assert scheduler.describe("jr-9") is None


def test_a_log_that_grows_is_followed_line_by_line(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app_id = submit(cfg(service, tmp_path))
    scheduler = EmrScheduler("torchx")
    assert list(scheduler.log_iter(app_id, "trainer")) == []  # nothing is there yet
    written = [f"[{i % 2}] line {i}" for i in range(2500)]
    steps = iter(
        [written[:1], [*written[:1200], "[0] line 12"], written[:2001], [*written[:2500], "tzx: all are done"]]
    )

    def grow(_: float) -> None:
        found = next(steps, None)
        if found is None:
            service.runs[app_id]["state"] = "Success"
        else:
            service.logs[f"oss://logs/{app_id}/stdout"] = found

    monkeypatch.setattr(remote.time, "sleep", grow)
    lines = list(scheduler.log_iter(app_id, "trainer", 0, should_tail=True))
    assert lines == [f"line {i}\n" for i in range(0, 2500, 2)] + ["tzx: all are done\n"]


def test_the_driver_says_why_it_failed(service: Service, tmp_path: Path) -> None:
    app_id = submit(cfg(service, tmp_path))
    service.runs[app_id]["state"] = "Failed"
    service.logs[f"oss://logs/{app_id}/stdout"] = [
        "tzx: replica 1 on 10.0.0.7 exited with 143; restart 1 of 2",
        "tzx: replica 0 on 10.0.0.6 exited with 2: no such file: x",
    ]
    found = EmrScheduler("torchx").describe(app_id)
    assert found is not None and found.msg == "replica 0 on 10.0.0.6 exited with 2: no such file: x"
    assert found.num_restarts == 1 and found.roles_statuses[0].replicas[0].hostname == "10.0.0.6"


def test_refusals_are_one_line(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SchedulerError, match=r"Forbidden.Workspace.*no access") as error:
        submit(cfg(service, tmp_path, workspace="w-2"))
    assert len(str(error.value).splitlines()) == 1
    with pytest.raises(SchedulerError, match="needs queue, staging"):
        submit(cfg(service, tmp_path, queue=None, staging=None))
    with pytest.raises(SchedulerError, match="which region"):
        submit(cfg(service, tmp_path, region=None))
    with pytest.raises(SchedulerError, match="staging=nope://x"):
        submit(cfg(service, tmp_path, staging="nope://x"))
    sign_with("wrong", monkeypatch)
    with pytest.raises(SchedulerError, match="SignatureDoesNotMatch"):
        submit(cfg(service, tmp_path))
    assert service.runs == {}
    monkeypatch.setitem(sys.modules, "alibabacloud_emr_serverless_spark20230808.models", None)
    with pytest.raises(SchedulerError, match=r"pip install 'tzx\[emr\]'"):
        submit(cfg(service, tmp_path))


def test_no_string_leaves_its_word(service: Service, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    scheduler = EmrScheduler("torchx")
    arrived = refused = 0
    for word in corpus(canary):
        if len(word) > 20_000 or not word:
            continue
        try:
            info = scheduler.submit_dryrun(app(args=[word]), cfg(service, tmp_path, archives=word, files=f"a,{word}"))
        except SchedulerError:
            refused += 1
            continue
        from tzx_schedulers._emr_serverless import body

        spark = body(info.request)["jobDriver"]["sparkSubmit"]
        words = shlex.split(spark["sparkSubmitParameters"])
        assert (
            f"--archives={word}" in words and words[-1] == f"--files={','.join(filter(None, f'a,{word}'.split(',')))}"
        )
        assert driver.decode(spark["entryPointArguments"][0])["argv"] == ["python", word]
        arrived += 1
    assert arrived > 150 and refused > 20 and not canary.exists()
