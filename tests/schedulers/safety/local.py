"""local_cwd: processes of this machine."""

from collections.abc import Mapping
from typing import Any

import pytest
from torchx.specs import AppDef

from tzx_schedulers import _local_jobs as jobs

from . import Backend, Outcome, leaves


def make(request: pytest.FixtureRequest) -> Backend:
    """On a private state directory."""
    local = request.getfixturevalue("local")

    def run(app: AppDef, cfg: Mapping[str, Any]) -> Outcome:
        app_id = local.scheduler.schedule(local.scheduler.submit_dryrun(app, dict(cfg)))
        state = local.wait(app_id, 60)
        job = jobs.find(app_id)
        assert job is not None
        kept = "".join(path.read_text(errors="replace") for path in job.rglob("*") if path.is_file())
        return Outcome("".join(local.log(app_id)), kept + repr(local.scheduler.describe(app_id)), state)

    return Backend(local.scheduler, run, words=lambda made: leaves(made.spec))
