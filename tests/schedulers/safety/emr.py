"""emr: a YARN on loopback that runs the driver without Spark."""

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from loopback_yarn import LoopbackYarn
from torchx.specs import AppDef, AppState, is_terminal

from tzx_schedulers import _emr_yarn, _remote_jobs
from tzx_schedulers.emr import EmrScheduler

from . import Backend, Outcome


def make(request: pytest.FixtureRequest) -> Backend:
    """On a YARN of this process."""
    folder: Path = request.getfixturevalue("tmp_path") / "yarn"
    folder.mkdir()
    program = [sys.executable, str(Path(__file__).parents[1] / "without_spark.py")]
    yarn = LoopbackYarn(folder, program, {**os.environ})
    request.addfinalizer(yarn.close)
    scheduler = EmrScheduler("torchx")

    def run(app: AppDef, cfg: Mapping[str, Any]) -> Outcome:
        app_id = scheduler.schedule(scheduler.submit_dryrun(app, dict(cfg)))
        while not is_terminal((found := scheduler.describe(app_id)).state):  # type: ignore[union-attr]
            time.sleep(0.05)
        log = (yarn.apps[app_id]["work"] / "stdout").read_text(errors="replace")
        kept = "".join(path.read_text() for path in _remote_jobs.state_home("emr").rglob("*.json"))
        sent = json.dumps(yarn.apps[app_id]["argv"]) + kept + repr(found)
        return Outcome(log, sent, AppState(found.state).name)  # type: ignore[union-attr]

    options = {"flavor": "yarn", "resourcemanager": yarn.address, "spark_submit": str(yarn.spark_submit)}
    return Backend(
        scheduler,
        run,
        options={**options, "python": sys.executable},
        words=lambda made: set(_emr_yarn.command(made)),
        refuses_secrets_in_arguments=True,
        secrets_from_files=True,
    )
