"""pai_dlc: the command of a node, run as Kubernetes below DLC would run it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from torchx.specs import AppDef

from tzx_schedulers.pai_dlc import DlcScheduler

from . import Backend, Outcome, leaves

NODE = {"MASTER_ADDR": "job-worker-0", "MASTER_PORT": "23456", "WORLD_SIZE": "2", "RANK": "1"}


def as_kubernetes_would(command: str, env: Mapping[str, str]) -> str:
    """What a container's command becomes: $(NAME) of a known variable is replaced, and $$ becomes $."""

    def expand(match: "re.Match[str]") -> str:
        return "$" if match[0] == "$$" else env.get(match[1], match[0])

    return re.sub(r"\$\$|\$\(([^)]*)\)", expand, command)


def node(command: str, work: Path, shell: str = "sh", **env: str) -> "subprocess.Popen[bytes]":
    """A pod of a job: the second of two."""
    own = {**NODE, **env}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    words = [shell, "-c", as_kubernetes_would(command, own)]
    return subprocess.Popen(
        words, cwd=work, env={**own, "PATH": path}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def make(request: pytest.FixtureRequest) -> Backend:
    """Without a service."""
    work: Path = request.getfixturevalue("home")
    scheduler = DlcScheduler("torchx")

    def run(app: AppDef, cfg: Mapping[str, Any]) -> Outcome:
        body = scheduler.submit_dryrun(app, dict(cfg)).request.body
        process = node(body["UserCommand"], work)
        log = process.communicate(timeout=120)[0].decode(errors="replace")
        return Outcome(log, json.dumps(body), "FAILED" if process.returncode else "SUCCEEDED")

    return Backend(
        scheduler,
        run,
        image="repo/tzx:1",
        options={"workspace": "12", "quota": "q1"},
        words=lambda made: leaves({**made.body, "UserCommand": ""}),
        refuses_secrets_in_arguments=True,
        secrets_from_files=True,
        longest=5_000,
        at_once=60,
    )
