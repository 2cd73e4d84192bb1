"""The aws flavor through boto3, against services on this machine that check signatures and run the driver."""

import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("boto3")
from aws_model import breaches
from loopback_aws import ROLE, SECRET, LoopbackAws, sign_with
from torchx.specs import AppDef, AppState, Resource, Role

from tzx_schedulers import _emr_aws as aws
from tzx_schedulers import _remote_jobs as remote
from tzx_schedulers._emr_request import DRIVER
from tzx_schedulers._words import SchedulerError
from tzx_schedulers.emr import EmrScheduler

Until = Callable[..., Any]
CFG = {"flavor": "aws", "application": "00app", "role": ROLE, "staging": "s3://bucket/tzx", "python": sys.executable}


@pytest.fixture
def service(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackAws]:
    monkeypatch.setattr(remote, "ASK_EVERY", 0.05)
    monkeypatch.setattr(aws, "_LATE", 0.5)
    found = LoopbackAws(tmp_path / "aws")
    sign_with(SECRET, found.endpoint, monkeypatch)
    yield found
    found.close()


def app(script: str = "print('hello')", **role: Any) -> AppDef:
    values = {"entrypoint": sys.executable, "args": ["-S", "-u", "-c", script], "num_replicas": 2, **role}
    return AppDef("job", [Role("trainer", "", **{"resource": Resource(1, 0, 1024), **values})])


def submit(found: AppDef, **more: Any) -> str:
    scheduler = EmrScheduler("torchx")
    return scheduler.schedule(scheduler.submit_dryrun(found, {**CFG, **more}))


def state(app_id: str) -> str:
    described = EmrScheduler("torchx").describe(app_id)
    assert described is not None
    return AppState(described.state).name


def test_what_the_service_gets(service: LoopbackAws) -> None:
    app_id = submit(app(), max_seconds=90, archives="s3://bucket/env.tgz#env", files="s3://bucket/x.config")
    run = service.runs[app_id]
    spark = run["jobDriver"]["sparkSubmit"]
    assert service.objects[spark["entryPoint"].removeprefix("s3://")] == DRIVER.read_bytes()
    words = shlex.split(spark["sparkSubmitParameters"])
    assert set(words[::2]) == {"--conf"}
    properties = dict(word.split("=", 1) for word in words[1::2])
    assert properties["spark.executor.instances"] == "2" and properties["spark.archives"] == "s3://bucket/env.tgz#env"
    assert properties["spark.emr-serverless.driverEnv.PYSPARK_PYTHON"] == sys.executable
    assert (run["executionTimeoutMinutes"], run["executionRoleArn"], run["tags"]["tzx-nodes"]) == (2, ROLE, "2")
    logged = run["configurationOverrides"]["monitoringConfiguration"]["cloudWatchLoggingConfiguration"]
    assert (logged["enabled"], logged["logTypes"]) == (True, {"SPARK_DRIVER": ["STDOUT"]})


def test_two_nodes_run_and_are_followed_to_the_last_line(service: LoopbackAws) -> None:
    script = "import os\nfor i in range(150): print('node', os.environ['TORCHX_REPLICA_IDX'], 'line', i)"
    app_id = submit(app(script))
    lines = list(EmrScheduler("torchx").log_iter(app_id, "trainer", 1, should_tail=True))
    assert [line for line in lines if line.startswith("node")] == [f"node 1 line {i}\n" for i in range(150)]
    assert lines[-1] == "tzx: all 2 replicas are done\n" and state(app_id) == "SUCCEEDED"


def test_a_failure_says_which_node_and_why(service: LoopbackAws, until: Until) -> None:
    app_id = submit(app("import os, sys; sys.exit(2 * int(os.environ['TORCHX_REPLICA_IDX']))"))
    until(lambda: state(app_id) == "FAILED")
    found = EmrScheduler("torchx").describe(app_id)
    assert found is not None and found.msg == "replica 1 on 127.0.0.1 exited with 2"
    assert [replica.id for replica in found.roles_statuses[0].replicas] == [0, 1]


def test_list_and_cancel_from_anywhere(service: LoopbackAws, until: Until) -> None:
    app_ids = [submit(app("import time; print('up'); time.sleep(60)")) for _ in range(3)]
    service.runs[app_ids[2]]["name"] = "of somebody else"
    until(lambda: "up" in service.log(app_ids[1]))
    EmrScheduler("torchx")._cancel_existing(app_ids[1])
    found = [(job.app_id, AppState(job.state).name) for job in EmrScheduler("torchx").list(CFG)]
    assert found == [(app_ids[0], "RUNNING"), (app_ids[1], "CANCELLED")]
    remote.remember("emr", "00f9", CFG)
    assert EmrScheduler("torchx").describe("00f9") is None


@pytest.mark.parametrize(
    ("native", "shown"),
    [("SUBMITTED", "PENDING"), ("QUEUED", "PENDING"), ("CANCELLING", "RUNNING"), ("NEW", "UNKNOWN")],
)
def test_states(service: LoopbackAws, native: str, shown: str) -> None:
    app_id = submit(app())
    service.runs[app_id]["state"] = native
    assert state(app_id) == shown


@pytest.mark.parametrize(
    ("params", "rule"),
    [
        ({}, "StartJobRun.executionRoleArn: missing"),
        ({"retries": 1}, "StartJobRun.retries: unknown"),
        ({"executionTimeoutMinutes": 2_000_000}, "2000000 is not from 0 to 1000000"),
        ({"mode": "QUICK"}, "'QUICK' is none of"),
        ({"clientToken": "a b"}, "'a b' does not match"),
        ({"tags": {"a*": "b"}}, r"'a\*' does not match"),
    ],
)
def test_the_service_checks_more_than_the_sdk(params: dict[str, Any], rule: str) -> None:
    assert re.search(rule, "\n".join(breaches("emr-serverless", "StartJobRun", params)))


def test_a_refused_request_says_why(service: LoopbackAws) -> None:
    with pytest.raises(SchedulerError, match=r"AWS refuses: ValidationException: .*logGroupName: 'a b' does not match"):
        submit(app(), log_group="a b")


def test_times_that_the_service_takes(service: LoopbackAws, until: Until) -> None:
    app_id = submit(app("import time; print('up'); time.sleep(60)"), grace_seconds=5)
    assert service.runs[app_id]["executionTimeoutMinutes"] == 7 * 24 * 60
    until(lambda: "up" in service.log(app_id))
    EmrScheduler("torchx")._cancel_existing(app_id)
    assert service.graces == [15]


def test_the_same_request_twice_is_one_job(service: LoopbackAws) -> None:
    scheduler = EmrScheduler("torchx")
    info = scheduler.submit_dryrun(app(), CFG)
    assert scheduler.schedule(info) == scheduler.schedule(info)


def test_refusals_are_one_line(service: LoopbackAws, monkeypatch: pytest.MonkeyPatch) -> None:
    for cfg, message in (
        ({"application": "00none"}, r"AWS refuses: AccessDeniedException: no access to .* second line"),
        ({"application": None, "role": None}, "flavor=aws needs application, role: "),
        ({"staging": "oss://bucket/x"}, "needs a directory in S3"),
        ({"role": "nobody"}, "AWS refuses: Parameter validation failed"),
        ({"region": "no such region"}, "AWS refuses: .*no such region"),
    ):
        with pytest.raises(SchedulerError, match=message) as error:
            submit(app(), **cfg)
        assert len(str(error.value).splitlines()) == 1
    with pytest.raises(SchedulerError, match="has no GPUs"):
        submit(app(resource=Resource(8, 1, 1024)))
    sign_with("wrong", service.endpoint, monkeypatch)
    with pytest.raises(SchedulerError, match="AWS refuses: "):
        submit(app())
    assert service.runs == {}
    monkeypatch.setitem(sys.modules, "boto3.session", None)
    aws.client.cache_clear()
    with pytest.raises(SchedulerError, match=r"pip install 'tzx\[aws\]'"):
        submit(app())
