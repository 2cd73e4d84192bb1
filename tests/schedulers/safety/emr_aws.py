"""emr in its aws flavor: services on loopback that run the driver without Spark."""

import json
import shlex
import sys
import time
from collections.abc import Mapping
from typing import Any

import pytest
from loopback_aws import ROLE, SECRET, LoopbackAws, sign_with
from torchx.specs import AppDef, AppState, is_terminal

from tzx_schedulers import _emr_aws, _remote_jobs
from tzx_schedulers._words import SchedulerError
from tzx_schedulers.emr import EmrScheduler

from . import Backend, Outcome, leaves


def make(request: pytest.FixtureRequest) -> Backend:
    """On services of this process."""
    pytest.importorskip("boto3")
    monkeypatch = request.getfixturevalue("monkeypatch")
    service = LoopbackAws(request.getfixturevalue("tmp_path") / "aws")
    request.addfinalizer(service.close)
    sign_with(SECRET, service.endpoint, monkeypatch)
    monkeypatch.setattr(_emr_aws, "_LATE", 0.0)
    scheduler = EmrScheduler("torchx")

    def run(app: AppDef, cfg: Mapping[str, Any]) -> Outcome:
        app_id = scheduler.schedule(scheduler.submit_dryrun(app, dict(cfg)))
        while not is_terminal((found := scheduler.describe(app_id)).state):  # type: ignore[union-attr]
            time.sleep(0.05)
        kept = "".join(path.read_text() for path in _remote_jobs.state_home("emr").rglob("*.json"))
        sent = json.dumps(service.runs[app_id]) + kept + repr(found)
        return Outcome(service.log(app_id), sent, AppState(found.state).name)  # type: ignore[union-attr]

    def words(made: Any) -> set[str]:
        try:
            body = _emr_aws.body(made)
        except SchedulerError:  # what is no address in S3
            return set()
        spark = body["jobDriver"].pop("sparkSubmit")
        return leaves([body, shlex.split(spark.pop("sparkSubmitParameters")), spark])

    return Backend(
        scheduler,
        run,
        options={
            "flavor": "aws",
            "application": "00app",
            "role": ROLE,
            "staging": "s3://bucket/tzx",
            "python": sys.executable,
        },
        words=words,
        refuses_secrets_in_arguments=True,
        secrets_from_files=True,
    )
