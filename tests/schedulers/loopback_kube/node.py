"""What makes jobs of the API server on loopback run: the Job controller in small, and a kubelet that starts processes.

Variables and arguments are expanded as Kubernetes does it, `$(NAME)` and `$$`, so that what a program is given is
what it would be given in a pod.
"""

import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from .server import Server, now

COMPLETION = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"


def expand(text: str, values: dict[str, str]) -> str:
    """Kubernetes' expansion: $(NAME) of known names, $$ for a dollar sign, everything else as it is."""

    def one(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return values.get(match[1], match[0])

    return re.sub(r"\$\$|\$\(([^()]*)\)", one, text)


class Node:
    """Carries jobs of batch/v1 out until it is closed."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.readers: dict[str, threading.Thread] = {}
        self.stopped = threading.Event()
        self.count = 0
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def close(self) -> None:
        """Ends it and everything it has started."""
        self.stopped.set()
        self.thread.join(10)
        for process in self.processes.values():
            process.kill()
            process.wait()

    def _run(self) -> None:
        while not self.stopped.is_set():
            with self.server.changed:
                jobs = [(path, made) for path, made in self.server.objects.items() if made.get("kind") == "Job"]
            for path, job in jobs:
                if job["apiVersion"] == "batch/v1":
                    self._control(path, job)
            self._reap()
            self.stopped.wait(0.02)

    # ---- the controller

    def _control(self, path: str, job: dict[str, Any]) -> None:
        status = dict(job.get("status") or {})
        if any(one["type"] in ("Complete", "Failed") for one in status.get("conditions") or ()):
            return
        pods = self._pods(job)
        if job["spec"].get("suspend"):
            for pod in pods:
                self.server.remove(self._pod_path(pod))
            self._set(path, job, {"active": 0, "conditions": [{"type": "Suspended", "status": "True"}]})
            return
        verdict = self._verdict(job, pods)
        if verdict is None:
            for index in range(job["spec"]["completions"]):
                self._start_missing(job, index, [pod for pod in pods if self._index(pod) == index])
        active = [pod for pod in self._pods(job) if pod["status"]["phase"] in ("Pending", "Running")]
        if verdict is not None:
            for pod in active:
                self.server.remove(self._pod_path(pod))
        conditions = [] if verdict is None else [{"type": verdict[0], "status": "True", "reason": verdict[1]}]
        self._set(path, job, {"active": 0 if verdict else len(active), "conditions": conditions})

    def _verdict(self, job: dict[str, Any], pods: list[dict[str, Any]]) -> tuple[str, str] | None:
        spec = job["spec"]
        done = {self._index(pod) for pod in pods if pod["status"]["phase"] == "Succeeded"}
        if len(done) == spec["completions"]:
            return "Complete", "CompletionsReached"
        failed = [pod for pod in pods if pod["status"]["phase"] == "Failed"]
        final = next((r["onExitCodes"]["values"] for r in spec["podFailurePolicy"]["rules"] if "onExitCodes" in r), [])
        if any(self._code(pod) in final for pod in failed):
            return "Failed", "PodFailurePolicy"
        indexes = [self._index(pod) for pod in failed]
        if any(indexes.count(index) > spec["backoffLimitPerIndex"] for index in indexes):
            return "Failed", "FailedIndexes"
        return None

    def _start_missing(self, job: dict[str, Any], index: int, mine: list[dict[str, Any]]) -> None:
        if any(pod["status"]["phase"] != "Failed" for pod in mine):
            return
        self.count += 1
        name = job["metadata"]["name"]
        marks = {COMPLETION: str(index), FAILURES: str(len(mine))}
        template = job["spec"]["template"]
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"{name}-{index}-{self.count:05d}",
                "namespace": job["metadata"]["namespace"],
                "labels": {**template["metadata"]["labels"], COMPLETION: str(index)},
                "annotations": marks,
                "ownerReferences": [{"kind": "Job", "uid": job["metadata"]["uid"]}],
            },
            "spec": {**template["spec"], "nodeName": "node-0"},
            "status": {"phase": "Pending"},
        }
        folder = f"/api/v1/namespaces/{job['metadata']['namespace']}/pods"
        self._start(self.server.create(folder, pod))

    # ---- the kubelet

    def _start(self, pod: dict[str, Any]) -> None:
        container = pod["spec"]["containers"][0]
        env = self._environment(pod, container)
        argv = [expand(word, env) for word in [*container["command"], *container["args"]]]
        name = pod["metadata"]["name"]
        env["TORCHELASTIC_ERROR_FILE"] = str(self.folder / f"{name}.message")
        if env.get("TZX_MASTER_ADDR"):  # there is no name service here
            env["TZX_MASTER_ADDR"] = "127.0.0.2"
        process = subprocess.Popen(
            argv,
            env={"PATH": os.environ["PATH"], **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.processes[name] = process
        reader = threading.Thread(target=self._read, args=(name, process), daemon=True)
        reader.start()
        self.readers[name] = reader
        self.server.put(self._pod_path(pod), {**pod, "status": {"phase": "Running"}})

    def _environment(self, pod: dict[str, Any], container: dict[str, Any]) -> dict[str, str]:
        values: dict[str, str] = {}
        for one in container["env"]:
            source = one.get("valueFrom") or {}
            if "fieldRef" in source:
                value = self._field(pod, source["fieldRef"]["fieldPath"])
            elif "secretKeyRef" in source:
                reference = source["secretKeyRef"]
                path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/secrets/{reference['name']}"
                value = self.server.objects[path]["stringData"][reference["key"]]
            else:
                value = expand(one["value"], values)
            values[one["name"]] = value
        return values

    def _field(self, pod: dict[str, Any], path: str) -> str:
        match = re.fullmatch(r"metadata\.(labels|annotations)\['([^']+)'\]", path)
        if match is not None:
            return str((pod["metadata"].get(match[1]) or {}).get(match[2], ""))
        assert path == "status.podIP"
        return "127.0.0.1"

    def _read(self, name: str, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.server.write_log(name, line.decode(errors="replace").rstrip("\n"))

    def _reap(self) -> None:
        for name, process in list(self.processes.items()):
            path = next((path for path in self.server.objects if path.endswith(f"/pods/{name}")), None)
            if path is None:  # deleted
                process.send_signal(signal.SIGTERM)
                process.wait(20)
                del self.processes[name]
                continue
            code = process.poll()
            if code is None or self.readers[name].is_alive():
                continue
            del self.processes[name]
            self._ended(path, name, 128 - code if code < 0 else code)

    def _ended(self, path: str, name: str, code: int) -> None:
        message = self.folder / f"{name}.message"
        lines = "\n".join(line.partition(" ")[2] for line in self.server.logs.get(name, [])[-80:])
        text = message.read_text()[:4096] if message.is_file() else (lines if code else "")
        ended = {"exitCode": code, "reason": "Error" if code else "Completed", "finishedAt": now(), "message": text}
        pod = self.server.objects.get(path)
        if pod is not None:
            status = {
                "phase": "Failed" if code else "Succeeded",
                "containerStatuses": [{"state": {"terminated": ended}}],
            }
            self.server.put(path, {**pod, "status": status})

    # ---- small things

    def _pods(self, job: dict[str, Any]) -> list[dict[str, Any]]:
        uid = job["metadata"]["uid"]
        with self.server.changed:
            pods = [made for made in self.server.objects.values() if made.get("kind") == "Pod"]
        return [pod for pod in pods if pod["metadata"]["ownerReferences"][0]["uid"] == uid]

    def _set(self, path: str, job: dict[str, Any], status: dict[str, Any]) -> None:
        with self.server.changed:
            current = self.server.objects.get(path)
            if current is not None and current.get("status") != status:
                self.server.put(path, {**current, "status": status})

    @staticmethod
    def _pod_path(pod: dict[str, Any]) -> str:
        return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"

    @staticmethod
    def _index(pod: dict[str, Any]) -> int:
        return int(pod["metadata"]["annotations"][COMPLETION])

    @staticmethod
    def _code(pod: dict[str, Any]) -> int:
        return int(pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"])


def wait_until_gone(node: Node, seconds: float = 20.0) -> None:
    """Returns when no process runs any more."""
    end = time.monotonic() + seconds
    while node.processes and time.monotonic() < end:
        time.sleep(0.02)
    assert not node.processes
