"""Our torchrun: how nodes find each other, and which exit code counts."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tzx.apps.torchrun import rendezvous, root_failure
from tzx.runtime.data.cores import cores_for_me


def test_a_single_node_takes_any_port() -> None:
    expected = ["--rdzv_endpoint", "localhost:0", "--local_addr", "127.0.0.1"]
    assert rendezvous(["--nnodes", "1", "-m", "x"], {"TZX_MASTER_ADDR": "a"})[4:] == expected
    assert rendezvous(["-m", "x"], {})[4:] == expected


def test_nodes_meet_where_the_scheduler_says() -> None:
    env = {"TZX_MASTER_ADDR": "head", "TZX_MASTER_PORT": "21000", "TORCHX_JOB_ID": "slurm://torchx/7"}
    expected = ["--rdzv_backend", "c10d", "--rdzv_id", "7-0", "--rdzv_endpoint", "head:21000"]
    assert rendezvous(["--nnodes", "2", "-m", "x"], env) == expected
    again = rendezvous(["--nnodes", "1:2"], {**env, "TZX_RESTART_COUNT": "3"})
    assert again[3] == "7-3"


def test_other_schedulers_name_the_variable_that_holds_the_address() -> None:
    env = {"TZX_RANK0_ENV": "VC_TRAINER_0_HOSTS", "VC_TRAINER_0_HOSTS": "pod-0"}
    assert rendezvous(["--nnodes", "2"], env)[-1] == "pod-0:29500"


def test_nodes_that_are_numbered_and_have_addresses_say_so() -> None:
    env = {"TZX_MASTER_ADDR": "j-0.j", "TZX_MASTER_PORT": "21000", "TZX_RUN_ID": "j", "TZX_LOCAL_ADDR": "10.0.0.7"}
    first = rendezvous(["--nnodes", "2"], {**env, "TORCHX_REPLICA_IDX": "0", "TZX_RESTART_COUNT": "2"})
    assert first[2:] == [
        *["--rdzv_id", "j", "--rdzv_endpoint", "j-0.j:21000", "--local_addr", "10.0.0.7"],
        *["--rdzv_conf", "is_host=true,read_timeout=900,join_timeout=900"],
    ]
    assert "is_host=false" in rendezvous(["--nnodes", "2"], {**env, "TORCHX_REPLICA_IDX": "1"})[-1]


def test_nodes_on_one_host_do_not_need_its_name() -> None:
    assert rendezvous(["--nnodes", "2"], {"TZX_MASTER_ADDR": "127.0.0.1"})[-2:] == ["--local_addr", "127.0.0.1"]
    assert rendezvous(["--nnodes", "2"], {})[-3:] == ["localhost:29500", "--local_addr", "127.0.0.1"]


@dataclass
class Failed:
    exitcode: int
    timestamp: int
    error_file: str = ""


def test_the_telling_failure_counts_even_if_another_rank_died_sooner() -> None:
    lost_peer, data_error, killed = Failed(1, 10), Failed(65, 11), Failed(-15, 9)
    assert root_failure([(0, lost_peer), (1, data_error), (2, killed)]) == (1, data_error)
    assert root_failure([(0, lost_peer), (2, killed)]) == (2, killed)
    out_of_memory, aborted = Failed(-9, 12), Failed(-6, 10)
    assert root_failure([(0, lost_peer), (1, aborted), (2, out_of_memory)]) == (2, out_of_memory)
    assert root_failure([(0, out_of_memory), (1, data_error)]) == (1, data_error)


WORKER = """
import os, signal, sys, time
from tzx.apps.command import run
from tzx.runtime.errors import DataError

def main(argv):
    rank = int(os.environ["RANK"])
    what = argv[0]
    if what == "error" and rank == 1:
        raise DataError("a.csv: row 7")
    if what == "error":
        time.sleep(1)
        sys.exit(1)
    if what == "kill" and rank == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "sleep":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        open(f"up{rank}", "w").close()
        time.sleep(60)
    if what == "threads":
        open(f"threads{rank}", "w").write(os.environ["OMP_NUM_THREADS"])

run(main)
"""


@pytest.fixture
def worker(tmp_path: Path) -> Path:
    path = tmp_path / "worker.py"
    path.write_text(WORKER)
    return path


def launch(worker: Path, what: str, **env: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tzx.apps.torchrun", "--nproc_per_node", "2", str(worker), what]
    clean = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    return subprocess.Popen(
        command, cwd=worker.parent, env={**clean, **env}, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.slow
def test_the_exit_code_and_the_message_of_the_rank_that_failed(worker: Path, tmp_path: Path) -> None:
    error_file = tmp_path / "error.json"
    env = {"TORCHELASTIC_ERROR_FILE": str(error_file), "TORCHX_JOB_ID": "local_cwd://torchx/a-1"}
    process = launch(worker, "error", PET_LOG_DIR=str(tmp_path / "logs"), **env)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 65
    assert "[rank 1] error: a.csv: row 7" in err and err.strip().endswith("error: rank 1 exited with 65")
    assert json.loads(error_file.read_text())["message"]["message"] == "a.csv: row 7"


@pytest.mark.slow
def test_a_killed_rank_ends_the_job_with_a_code_that_is_retried(worker: Path) -> None:
    process = launch(worker, "kill")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 137 and "error: rank 0 was killed by signal 9" in err


@pytest.mark.slow
def test_sigterm_reaches_the_ranks_and_ends_with_143(worker: Path, tmp_path: Path) -> None:
    process = launch(worker, "sleep")
    end = time.monotonic() + 120
    while not ((tmp_path / "up0").exists() and (tmp_path / "up1").exists()):
        assert time.monotonic() < end
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143


@pytest.mark.slow
def test_cores_are_shared_by_the_processes_unless_said_otherwise(worker: Path) -> None:
    def seen(**env: str) -> list[str]:
        assert launch(worker, "threads", **env).wait(120) == 0
        return [(worker.parent / f"threads{rank}").read_text() for rank in (0, 1)]

    expected = str(cores_for_me(2))
    assert seen() == [expected, expected]
    assert seen(OMP_NUM_THREADS="3") == ["3", "3"]
