"""The slurm scheduler on a real Slurm with two nodes, started here and ended at the end."""

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from movielens_job import data
from torchx.specs import AppDef, AppState, Resource, Role, is_terminal

from tzx_schedulers import _slurm_jobs as jobs
from tzx_schedulers.slurm import SlurmScheduler

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.backend, pytest.mark.slow]
Until = Callable[..., Any]


class Cluster:
    """The scheduler, with the words of a test for it."""

    def __init__(self, until: Until) -> None:
        self.scheduler = SlurmScheduler("torchx")
        self.until = until

    def start(self, script: str, replicas: int = 1, retries: int = 0, **cfg: Any) -> str:
        args = ["-S", "-u", "-c", textwrap.dedent(script)]
        return self.submit(args, replicas, retries, **cfg)

    def submit(self, args: list[str], replicas: int = 1, retries: int = 0, **cfg: Any) -> str:
        resource = Resource(cpu=1, gpu=0, memMB=cfg.pop("mem", 256))
        least = cfg.pop("least", None)
        role = Role("worker", "", entrypoint=sys.executable, args=args, num_replicas=replicas, max_retries=retries)
        role.resource, role.min_replicas = resource, least
        info = self.scheduler.submit_dryrun(AppDef("job", [role]), {"grace_seconds": 10, **cfg})
        return self.scheduler.schedule(info)

    def describe(self, number: str) -> Any:
        found = self.scheduler.describe(number)
        assert found is not None
        return found

    def state(self, number: str) -> str:
        return AppState(self.describe(number).state).name

    def wait(self, number: str, seconds: float = 60) -> str:
        self.until(lambda: is_terminal(self.describe(number).state), seconds)
        return self.state(number)

    def log(self, number: str, replica: int = 0, **options: Any) -> str:
        return "".join(self.scheduler.log_iter(number, "worker", replica, **options))

    def logged(self, number: str, text: str, replica: int = 0) -> None:
        self.until(lambda: text in self.log(number, replica), 30)


@pytest.fixture
def cluster(slurm_conf: Path, home: Path, monkeypatch: pytest.MonkeyPatch, until: Until) -> Iterator[Cluster]:
    monkeypatch.setenv("SLURM_CONF", str(slurm_conf))
    yield Cluster(until)
    subprocess.run(["scancel", "--user=root"], capture_output=True)
    until(lambda: not subprocess.run(["squeue", "-h"], capture_output=True).stdout, 60)


def test_run_status_log_list(cluster: Cluster) -> None:
    script = """
        import os, sys
        print("replica", os.environ["TORCHX_REPLICA_IDX"], os.environ["TZX_MASTER_ADDR"], os.environ["TORCHX_JOB_ID"])
        print("warned", file=sys.stderr)
    """
    number = cluster.start(script, replicas=2)
    assert cluster.wait(number) == "SUCCEEDED"
    statuses = cluster.describe(number).roles_statuses[0].replicas
    assert [(s.id, AppState(int(s.state)).name, s.hostname) for s in statuses] == [
        (0, "SUCCEEDED", "tzx0"),
        (1, "SUCCEEDED", "tzx1"),
    ]
    for replica in (0, 1):
        lines = cluster.log(number, replica).splitlines()
        assert sorted(lines) == [f"replica {replica} tzx0 slurm://torchx/{number}", "warned"]
    assert [(a.app_id, AppState(a.state).name) for a in cluster.scheduler.list()] == [(number, "SUCCEEDED")]


def test_the_commands_work_from_any_terminal(cluster: Cluster, home: Path) -> None:
    number = cluster.start("import time\nfor i in range(3): print('line', i); time.sleep(1)\nraise SystemExit(65)")

    def torchx(*words: str) -> str:
        command = [sys.executable, "-m", "torchx.cli.main", *words]
        done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=120)
        return done.stdout + done.stderr

    handle = f"slurm://torchx/{number}"
    followed = torchx("log", "--tail", handle)
    assert [f"worker/0 line {i}" in followed for i in range(3)] == [True] * 3
    assert cluster.wait(number) == "FAILED"
    status = torchx("status", handle)
    assert "FAILED" in status and "exitcode: 65" in status
    assert handle in torchx("list", "-s", "slurm")


def test_failure_ends_the_other_replica_and_tells_the_code(cluster: Cluster) -> None:
    script = "import os, sys, time\nif os.environ['TORCHX_REPLICA_IDX'] == '1': sys.exit(2)\ntime.sleep(60)"
    number = cluster.start(script, replicas=2, retries=3)
    assert cluster.wait(number, 30) == "FAILED"
    described = cluster.describe(number)
    assert described.msg == "replica 1 exited with 2" and described.num_restarts == 0


def test_retries(cluster: Cluster) -> None:
    script = "import os, sys\nn = int(os.environ['TZX_RESTART_COUNT'])\nprint('try', n)\nsys.exit(75 if n < 2 else 0)"
    number = cluster.start(script, replicas=2, retries=2)
    assert cluster.wait(number) == "SUCCEEDED"
    assert cluster.describe(number).num_restarts == 2
    log = cluster.log(number, 0)
    assert [f"try {n}\n" in log for n in range(3)] == [True] * 3 and "restart 2 of 2" in log


POLITE = """
    import signal, sys, time
    told = 0
    def stop(*_):
        global told
        told += 1
    signal.signal(signal.SIGTERM, stop)
    print("ready")
    while not told: time.sleep(0.1)
    time.sleep(1)
    print("saved, told", told)
    sys.exit(143)
"""


def test_cancel_lets_the_replicas_save(cluster: Cluster) -> None:
    number = cluster.start(POLITE, replicas=2, retries=3)
    for replica in (0, 1):
        cluster.logged(number, "ready", replica)
    cluster.scheduler.cancel(number)
    assert cluster.wait(number, 30) == "CANCELLED"
    for replica in (0, 1):
        assert "saved, told 1\n" in cluster.log(number, replica)


def test_cancel_twice_does_not_wait(cluster: Cluster) -> None:
    script = """
        import signal, time
        signal.signal(signal.SIGTERM, lambda *_: print("no"))
        print("ready")
        while True: time.sleep(1)
    """
    number = cluster.start(script, grace_seconds=600)
    cluster.logged(number, "ready")
    cluster.scheduler.cancel(number)
    cluster.logged(number, "no")
    cluster.scheduler.cancel(number)
    assert cluster.wait(number, 30) == "CANCELLED"


def test_cancel_while_it_waits(cluster: Cluster) -> None:
    blocker = cluster.start("import time; time.sleep(60)", replicas=2, mem=8000)
    number = cluster.start("print(1)", replicas=2, mem=8000)
    assert cluster.state(number) == "PENDING"
    cluster.scheduler.cancel(number)
    assert cluster.wait(number, 20) == "CANCELLED"
    assert jobs.read_json((jobs.find(number) or Path()) / "exit.json")["message"] == "cancelled while it waited"
    cluster.scheduler.cancel(blocker)
    assert cluster.wait(blocker, 30) == "CANCELLED"


def test_notice_before_the_end_of_time_requeues(cluster: Cluster) -> None:
    script = "import os\nif os.environ['TZX_RESTART_COUNT'] != '0': print('second time'); raise SystemExit(0)\n"
    number = cluster.start(script + textwrap.dedent(POLITE), replicas=2, retries=1)
    cluster.logged(number, "ready", 0)
    cluster.logged(number, "ready", 1)
    # What Slurm does grace_seconds before the time limit.
    subprocess.run(["scancel", "--batch", "--signal=USR1", number], check=True)
    cluster.until(lambda: cluster.state(number) == "PENDING" and "saved, told 1" in cluster.log(number), 60)

    # Slurm holds a requeued job back for two minutes, as a node refuses it in the second in which it has ended.
    time.sleep(3)
    subprocess.run(["scontrol", "update", f"JobId={number}", "StartTime=now"], check=True)
    cluster.wait(number, 60)
    assert cluster.state(number) == "SUCCEEDED" and "second time" in cluster.log(number, 0)
    assert cluster.describe(number).num_restarts == 2  # Slurm's restart and the job's own attempt


def test_a_refusal_is_one_line(cluster: Cluster, home: Path) -> None:
    words = ["run", "-s", "slurm", "-cfg", "partition=nope", "--workspace", "", "utils.echo", "--msg", "x"]
    done = subprocess.run(
        [sys.executable, "-m", "torchx.cli.main", *words], cwd=home, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1 and "invalid partition specified: nope" in done.stderr
    assert "Traceback" not in done.stderr


WORKER = """
import torch, torch.distributed as dist
dist.init_process_group("gloo")
total = torch.tensor([float(dist.get_rank() + 1)])
dist.all_reduce(total)
print("sum", total.item(), "of", dist.get_world_size(), flush=True)
dist.destroy_process_group()
"""


@pytest.mark.parametrize("nnodes", ["2", "1:2"])
def test_two_nodes_reduce(cluster: Cluster, home: Path, nnodes: str) -> None:
    (home / "worker.py").write_text(WORKER)
    args = ["-m", "tzx.apps.torchrun", "--nnodes", nnodes, "--nproc_per_node", "1", "worker.py"]
    least = 1 if ":" in nnodes else None
    number = cluster.submit(args, replicas=2, mem=2000, least=least)
    assert cluster.wait(number, 180) == "SUCCEEDED", [cluster.log(number, i) for i in (0, 1)]
    for replica in (0, 1):
        assert "sum 3.0 of 2\n" in cluster.log(number, replica)


def test_training_goes_on_from_its_checkpoint(cluster: Cluster, home: Path) -> None:
    (home / "data").symlink_to(data())
    model = home / "model"
    config = str(ROOT / "examples" / "deepfm_movielens.config")
    launcher = ["-m", "tzx.apps.torchrun", "--nnodes", "2", "--nproc_per_node", "1", "-m", "tzx.apps.train"]
    flags = ["--config", config, "--model_dir", str(model), "--set", "train_config.num_epochs=6"]
    number = cluster.submit([*launcher, *flags], replicas=2, retries=1, mem=2000)
    cluster.until(lambda: list(model.glob("model.ckpt-*/COMMITTED")), 90)
    victim = cluster.until(lambda: trainers(model), 10)[0]
    os.kill(victim, 9)
    assert cluster.wait(number, 400) == "SUCCEEDED", cluster.log(number)[-3000:]
    assert cluster.describe(number).num_restarts == 1
    logs = cluster.log(number, 0) + cluster.log(number, 1)  # rank 0 may be on either node
    assert "going on from" in logs and "restart 1 of 1" in logs


def trainers(model: Path) -> list[int]:
    """The processes that train, without torchrun."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().decode().split("\0")
        except OSError:
            continue
        if "tzx.apps.train" in words and "tzx.apps.torchrun" not in words and str(model) in words:
            found.append(int(entry.parent.name))
    return found
