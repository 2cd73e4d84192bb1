"""A private state directory, tiny Python jobs, and processes to look at them from outside."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from torchx.specs import AppDef, AppState, Resource, Role

from tzx_schedulers import _local_jobs as jobs
from tzx_schedulers.local import LocalScheduler

sys.path.insert(0, str(Path(__file__).parent))  # for the loopback servers

from backends import slurm_conf, yarn  # noqa: F401  (fixtures)

MARK = "TZX_TEST_MARK"


def marked(mark: str) -> list[int]:
    """Living processes that carry the mark in their environment, whatever their parent or session."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and entry.name != str(os.getpid()):
            try:
                environment = (entry / "environ").read_bytes()
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if f"{MARK}={mark}".encode() in environment and state not in "ZX":
                found.append(int(entry.name))
    return found


def until(condition: Callable[[], Any], seconds: float = 15.0) -> Any:
    """Waits for something to become true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {condition}")


class Local:
    """A scheduler on a private state directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.mark = root.name + str(os.getpid())
        self.scheduler = LocalScheduler("torchx")

    def app(self, script: str, replicas: int = 1, retries: int = 0, name: str = "job", **role: Any) -> AppDef:
        """An app whose replicas run a Python script without site-packages, for a quick start."""
        values = {"entrypoint": sys.executable, "args": ["-S", "-c", script], "name": "worker", **role}
        values["env"] = {MARK: self.mark, **values.get("env", {})}
        resource = values.pop("resource", Resource(cpu=1, gpu=0, memMB=64))
        return AppDef(name, [Role(image="", num_replicas=replicas, max_retries=retries, resource=resource, **values)])

    def submit(self, app: AppDef, **cfg: Any) -> str:
        """Starts the app and returns its id."""
        self.scheduler._validate(app, "local_cwd")
        return self.scheduler.schedule(self.scheduler.submit_dryrun(app, {"grace_seconds": 10, **cfg}))

    def start(self, script: str, cfg: dict[str, Any] | None = None, **app: Any) -> str:
        """Starts a Python script."""
        return self.submit(self.app(script, **app), **(cfg or {}))

    def run(self, script: str, cfg: dict[str, Any] | None = None, **app: Any) -> tuple[str, str]:
        """Starts a Python script and waits; returns id and final state."""
        app_id = self.start(script, cfg, **app)
        return app_id, self.wait(app_id)

    def wait(self, app_id: str, seconds: float = 20.0) -> str:
        """Waits for the end of a job and returns its state."""
        until(lambda: self.state(app_id) in jobs.FINISHED, seconds)
        return self.state(app_id)

    def state(self, app_id: str) -> str:
        """The state that TorchX would show."""
        described = self.scheduler.describe(app_id)
        assert described is not None
        return AppState(described.state).name

    def message(self, app_id: str) -> str:
        """The message that TorchX would show."""
        described = self.scheduler.describe(app_id)
        assert described is not None
        return described.msg

    def written(self, app_id: str) -> dict[str, Any]:
        """What the supervisor has written."""
        job = jobs.find(app_id)
        assert job is not None
        return jobs.read_json(job / "state.json")

    def log(self, app_id: str, replica: int = 0, role: str = "worker", **options: Any) -> list[str]:
        """Lines of a replica."""
        return list(self.scheduler.log_iter(app_id, role, replica, **options))

    def processes(self) -> list[int]:
        """What is alive of the jobs started here, without supervisors."""
        return marked(self.mark)

    def nothing_left(self) -> bool:
        """Whether every process of every job has ended."""
        keepers = [self.written(app_id) for app_id in jobs.app_ids()]
        mine = [state.get(name) for state in keepers for name in ("keeper", "supervisor")]
        return not self.processes() and not any(jobs.is_alive(process) for process in mine)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory and an empty home, so that no config or job of the user is seen."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(work)
    for name in ("TORCHXCONFIG", "CUDA_VISIBLE_DEVICES", "TORCHELASTIC_ERROR_FILE"):
        monkeypatch.delenv(name, raising=False)
    return work


@pytest.fixture
def local(home: Path) -> Iterator[Local]:
    """A scheduler whose jobs are ended after the test."""
    found = Local(home.parent)
    yield found
    for app_id in jobs.app_ids():
        for process in (found.written(app_id).get("keeper"), found.written(app_id).get("supervisor")):
            if process and jobs.is_alive(process):
                os.kill(process["pid"], 15)
                os.kill(process["pid"], 15)
    until(found.nothing_left)


COMPONENT = '''
import sys
import torchx.specs as specs

def job(script: str, replicas: int = 1, retries: int = 0, mark: str = "") -> specs.AppDef:
    """A Python script.

    Args:
        script: what to run
        replicas: how often
        retries: how often again
        mark: to find it
    """
    role = specs.Role("worker", "", entrypoint=sys.executable, args=["-S", "-c", script], env={"TZX_TEST_MARK": mark},
                      num_replicas=replicas, max_retries=retries, resource=specs.Resource(cpu=1, gpu=0, memMB=64))
    return specs.AppDef("job", [role])
'''


class Terminal:
    """A shell in the work directory, for `torchx` as a user types it."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.mark = work.parent.name + "cli"
        (work / "jobs.py").write_text(COMPONENT)

    def torchx(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs a torchx command to its end."""
        return subprocess.run(self._command(words), cwd=self.work, capture_output=True, text=True, timeout=60)

    def start(self, script: str, *words: str, cfg: str = "grace_seconds=10") -> subprocess.Popen[str]:
        """Starts `torchx run` of a Python script and returns at once."""
        run = ["run", "-s", "local_cwd", "--workspace", "", "-cfg", cfg, "jobs.py:job", "--script", script]
        command = self._command([*run, "--mark", self.mark, *words])
        # A shell lets what it starts with & ignore SIGINT, tests too.
        return subprocess.Popen(
            command, cwd=self.work, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip

    def handle(self) -> str:
        """The handle of the newest job, once there is one."""
        app_id = until(lambda: [found for found in jobs.app_ids() if (jobs.find(found) or Path()).is_dir()])[-1]
        return f"local_cwd://torchx/{app_id}"

    def processes(self) -> list[int]:
        """What is alive of the jobs started here, without supervisors."""
        return marked(self.mark)

    def _command(self, words: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", "torchx.cli.main", *words]


@pytest.fixture
def terminal(home: Path) -> Iterator[Terminal]:
    """A terminal whose jobs are ended after the test."""
    found = Terminal(home)
    yield found
    for pid in found.processes():
        os.kill(pid, 9)


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., Any]:
    """Waits for something to become true."""
    return until


# ---- Slurm


@pytest.fixture
def stubs(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Programs named like Slurm's, first on PATH."""
    from safety.slurm import PROGRAMS, Stubs

    folder = tmp_path / "stubs"
    folder.mkdir()
    for name, text in PROGRAMS.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("STUBS", str(folder))
    return Stubs(folder)


# ---- Kubernetes


@pytest.fixture
def server(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An API server without anything behind it."""
    from loopback_kube.cluster import write_config
    from loopback_kube.server import Server

    from tzx_schedulers import _kubernetes_client as client
    from tzx_schedulers import _kubernetes_logs as kubernetes_logs

    found = Server()
    write_config(home / "kubeconfig", found.url)
    monkeypatch.setenv("KUBECONFIG", str(home / "kubeconfig"))
    monkeypatch.setattr(kubernetes_logs, "_PAUSE", 0.05)
    client.api.cache_clear()
    yield found
    client.api.cache_clear()
    found.close()


@pytest.fixture
def bare(server: Any) -> Any:
    """A scheduler on an API server whose jobs never run."""
    from loopback_kube.cluster import Cluster

    return Cluster(server, 20)


@pytest.fixture
def loopback(server: Any, tmp_path: Path) -> Iterator[Any]:
    """A scheduler on the cluster in this process."""
    from loopback_kube.cluster import Cluster
    from loopback_kube.node import Node

    node = Node(server, tmp_path)
    yield Cluster(server, 30)
    node.close()
