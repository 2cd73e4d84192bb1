"""The emr scheduler with real Spark: a driver and two executors, started as YARN would start them."""

import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback_yarn import LoopbackYarn
from torchx.specs import AppDef, AppState, Resource, Role, is_terminal

from tzx_schedulers import _remote_jobs as remote
from tzx_schedulers.emr import EmrScheduler

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.backend, pytest.mark.slow]
Until = Callable[..., Any]


class Spark:
    """The scheduler, with the words of a test for it."""

    def __init__(self, yarn: LoopbackYarn, until: Until, mark: str) -> None:
        self.scheduler = EmrScheduler("torchx")
        self.yarn, self.until, self.mark = yarn, until, mark

    @property
    def cfg(self) -> dict[str, Any]:
        spark_submit = str(self.yarn.spark_submit)
        options = {"flavor": "yarn", "resourcemanager": self.yarn.address, "spark_submit": spark_submit}
        return {**options, "python": sys.executable, "grace_seconds": 10}

    def start(self, script: str, retries: int = 0) -> str:
        args = ["-S", "-u", "-c", textwrap.dedent(script)]
        env = {"TZX_TEST_MARK": self.mark}
        role = Role("worker", "", entrypoint=sys.executable, args=args, env=env, num_replicas=2, max_retries=retries)
        role.resource = Resource(cpu=1, gpu=0, memMB=1024)
        return self.scheduler.schedule(self.scheduler.submit_dryrun(AppDef("job", [role]), self.cfg))

    def describe(self, app_id: str) -> Any:
        found = self.scheduler.describe(app_id)
        assert found is not None
        return found

    def wait(self, app_id: str) -> str:
        self.until(lambda: is_terminal(self.describe(app_id).state), 240)
        return AppState(self.describe(app_id).state).name

    def log(self, app_id: str, replica: int = 0, **options: Any) -> list[str]:
        return list(self.scheduler.log_iter(app_id, "worker", replica, **options))

    def processes(self) -> list[int]:
        """What is alive of the jobs' programs and of Spark."""
        found = []
        for entry in Path("/proc").glob("[0-9]*/environ"):
            try:
                environment = entry.read_bytes()
                state = (entry.parent / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            ours = f"TZX_TEST_MARK={self.mark}".encode() in environment or str(self.yarn.folder).encode() in environment
            if ours and state not in "ZX":
                found.append(int(entry.parent.name))
        return found


@pytest.fixture
def spark(yarn: LoopbackYarn, home: Path, monkeypatch: pytest.MonkeyPatch, until: Until) -> Iterator[Spark]:
    monkeypatch.setattr(remote, "ASK_EVERY", 0.2)
    found = Spark(yarn, until, home.parent.name + str(os.getpid()))
    yield found
    until(lambda: not found.processes(), 30)


def test_two_nodes_retry_and_say_what_they_find(spark: Spark, home: Path) -> None:
    script = """
        import os, sys
        e = os.environ
        print("node", e["TORCHX_REPLICA_IDX"], e["TZX_MASTER_ADDR"], e["TZX_RESTART_COUNT"], e["TORCHX_JOB_ID"])
        sys.exit(75 if e["TORCHX_REPLICA_IDX"] + e["TZX_RESTART_COUNT"] == "10" else 0)
    """
    app_id = spark.start(script, retries=2)
    followed = spark.log(app_id, 1, should_tail=True)
    assert spark.wait(app_id) == "SUCCEEDED"
    described = spark.describe(app_id)
    assert described.num_restarts == 1 and [r.id for r in described.roles_statuses[0].replicas] == [0, 1]
    for replica in (0, 1):
        lines = spark.log(app_id, replica)
        nodes = [line.split() for line in lines if line.startswith("node")]
        assert [(n[1], n[2], n[3]) for n in nodes] == [(str(replica), "127.0.0.1", run) for run in "01"]
        assert nodes[0][4].startswith("emr://torchx/job-")
        assert any("replica 1 on 127.0.0.1 exited with 75; restart 1 of 2" in line for line in lines)
        assert lines[-1] == "tzx: all 2 replicas are done\n"
    assert followed == spark.log(app_id, 1)
    assert app_id in [found.app_id for found in spark.scheduler.list(spark.cfg)]


def test_a_failure_that_would_come_again_ends_the_job(spark: Spark) -> None:
    script = """
        import json, os, sys, time
        if os.environ["TORCHX_REPLICA_IDX"] == "0":
            time.sleep(600)  # a node that would wait for ever for its peer
        with open(os.environ["TORCHELASTIC_ERROR_FILE"], "w") as file:
            json.dump({"message": {"message": "no such file: x.parquet"}}, file)
        sys.exit(2)
    """
    app_id = spark.start(script, retries=3)
    assert spark.wait(app_id) == "FAILED"
    described = spark.describe(app_id)
    assert described.msg == "replica 1 on 127.0.0.1 exited with 2: no such file: x.parquet"
    assert described.num_restarts == 0
    errors = [status.structured_error_msg for status in described.roles_statuses[0].replicas]
    assert '"errorCode": 2' in errors[1] and '"errorCode": null' in errors[0]


def test_cancel_lets_programs_save_and_leaves_nothing(spark: Spark, home: Path) -> None:
    script = f"""
        import os, signal, subprocess, sys, time
        subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"], start_new_session=True)
        def save(*_):
            time.sleep(1)
            open("{home}/saved-" + os.environ["TORCHX_REPLICA_IDX"], "w").close()
            sys.exit(143)
        signal.signal(signal.SIGTERM, save)
        print("ready", flush=True)
        while True:
            time.sleep(1)
    """
    app_id = spark.start(script, retries=3)
    spark.until(lambda: all("ready\n" in spark.log(app_id, k) for k in (0, 1)), 240)
    assert AppState(spark.describe(app_id).state).name == "RUNNING"
    spark.scheduler._cancel_existing(app_id)
    assert spark.wait(app_id) == "CANCELLED"
    spark.until(lambda: not spark.processes(), 30)
    assert sorted(path.name for path in home.glob("saved-*")) == ["saved-0", "saved-1"]
