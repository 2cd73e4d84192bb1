"""A scheduler on a cluster, for tests: submits Python scripts, waits, and looks at what became of them."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from torchx.specs import AppDef, AppState, Resource, Role

from tzx_schedulers.kubernetes import KubernetesScheduler

from .server import TOKEN, Server

IMAGE = os.environ.get("TZX_TEST_IMAGE", "python:3.12-slim")
FINAL = ("SUCCEEDED", "FAILED", "CANCELLED")


class Cluster:
    """A scheduler on a cluster; what is started is deleted after the test."""

    def __init__(self, server: Server | None, seconds: float) -> None:
        self.server, self.seconds = server, seconds
        self.namespace = "ml" if server else os.environ.get("TZX_TEST_NAMESPACE", "default")
        self.scheduler = KubernetesScheduler("torchx")
        self.started: list[str] = []

    def plan(
        self, script: str, replicas: int = 1, retries: int = 0, cfg: dict[str, Any] | None = None, **role: Any
    ) -> Any:
        """What would be submitted to run a Python script."""
        python = "python" if self.server is None else sys.executable
        values = {"entrypoint": python, "args": ["-S", "-c", script], "resource": Resource(1, 0, 64), **role}
        app = AppDef("job", [Role("worker", IMAGE, num_replicas=replicas, max_retries=retries, **values)])
        return self.scheduler.submit_dryrun(app, {"namespace": self.namespace, "grace_seconds": 5, **(cfg or {})})

    def start(self, script: str, **values: Any) -> str:
        """Submits a Python script."""
        app_id = self.scheduler.schedule(self.plan(script, **values))
        self.started.append(app_id)
        return app_id

    def run(self, script: str, **values: Any) -> tuple[str, str]:
        """Submits and waits; returns id and final state."""
        app_id = self.start(script, **values)
        self.until(lambda: self.state(app_id) in FINAL)
        return app_id, self.state(app_id)

    def state(self, app_id: str) -> str:
        """The state that TorchX would show."""
        found = self.scheduler.describe(app_id)
        return AppState(found.state).name if found else "GONE"

    def message(self, app_id: str) -> str:
        """The message that TorchX would show."""
        found = self.scheduler.describe(app_id)
        assert found is not None
        return found.msg

    def log(self, app_id: str, k: int = 0, **options: Any) -> list[str]:
        """Lines of a replica."""
        return list(self.scheduler.log_iter(app_id, "worker", k, **options))

    def until(self, condition: Callable[[], Any]) -> Any:
        """Waits for something to become true."""
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            if value := condition():
                return value
            time.sleep(0.05)
        raise AssertionError(f"not within {self.seconds} s: {condition}")


def write_config(path: Path, url: str, token: str = TOKEN) -> None:
    context = {"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "ml"}}
    text = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [context],
        "clusters": [{"name": "test", "cluster": {"server": url}}],
        "users": [{"name": "test", "user": {"token": token}}],
    }
    path.write_text(yaml.safe_dump(text))


def lines_of(bare: Cluster, app_id: str, *texts: str, phase: str = "Running", index: int = 0) -> str:
    """A pod of the job with these lines in its log."""
    assert bare.server is not None
    namespace, _, name = app_id.partition(":")
    job = bare.server.objects[f"/apis/batch/v1/namespaces/{namespace}/jobs/{name}"]
    mark = {"batch.kubernetes.io/job-completion-index": str(index)}
    labels = {**job["spec"]["template"]["metadata"]["labels"], **mark}
    pod = f"{name}-{index}-{len(bare.server.find('pods'))}"
    owner = [{"kind": "Job", "uid": job["metadata"]["uid"]}]
    meta = {"name": pod, "namespace": namespace, "labels": labels, "annotations": mark, "ownerReferences": owner}
    folder = f"/api/v1/namespaces/{namespace}/pods"
    bare.server.create(folder, {"kind": "Pod", "metadata": meta, "spec": {}, "status": {"phase": phase}})
    for text in texts:
        bare.server.write_log(pod, text)
    return f"{folder}/{pod}"


def set_status(bare: Cluster, path: str, **status: Any) -> None:
    assert bare.server is not None
    bare.server.put(path, {**bare.server.objects[path], "status": status})


def job_path(app_id: str) -> str:
    namespace, _, name = app_id.partition(":")
    return f"/apis/batch/v1/namespaces/{namespace}/jobs/{name}"
