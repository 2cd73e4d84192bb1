"""kubernetes: an API server on loopback, whose kubelet expands arguments as the real one does."""

import json
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from torchx.specs import AppDef

from . import Backend, Outcome, leaves


def make(request: pytest.FixtureRequest) -> Backend:
    """On a cluster of this process."""
    pytest.importorskip("kubernetes")
    cluster = request.getfixturevalue("loopback")

    def run(app: AppDef, cfg: Mapping[str, Any]) -> Outcome:
        app_id = cluster.scheduler.schedule(cluster.scheduler.submit_dryrun(app, dict(cfg)))
        cluster.until(lambda: cluster.state(app_id) in ("SUCCEEDED", "FAILED"))
        # A Secret is the one place where values belong.
        bodies = [body for method, path, body in cluster.server.requests if not path.endswith("/secrets")]
        sent = json.dumps(bodies) + repr(cluster.scheduler.describe(app_id))
        return Outcome("".join(cluster.log(app_id)), sent, cluster.state(app_id))

    assert sys.executable
    return Backend(
        cluster.scheduler,
        run,
        image="repo/tzx:1",
        options={"namespace": "ml"},
        words=lambda made: leaves(made.objects),
        refuses_secrets_in_arguments=True,
    )
