"""Jobs on a cluster, through the official client: one in this process, and the one KUBECONFIG names if it is set.

On a cluster of your own the pods run in TZX_TEST_IMAGE (python:3.12-slim), in the namespace
TZX_TEST_NAMESPACE (default).
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("kubernetes")
from loopback_kube.cluster import FINAL, Cluster
from loopback_kube.node import Node, wait_until_gone
from loopback_kube.server import Server
from torchx.specs import AppState

from tzx_schedulers import _kubernetes_client as client

REAL = os.environ.get("KUBECONFIG", "")


@pytest.fixture(params=["loopback", *(["real"] if REAL else [])])
def cluster(request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Each cluster there is."""
    if request.param == "loopback":
        yield request.getfixturevalue("loopback")
        return
    monkeypatch.setenv("KUBECONFIG", REAL)
    client.api.cache_clear()
    found = Cluster(None, 300)
    yield found
    for app_id in found.started:
        found.scheduler._delete_existing(app_id)
    client.api.cache_clear()


# ---- on every cluster


def test_a_job_runs_and_is_remembered(cluster: Cluster) -> None:
    app_id, state = cluster.run("import os; print('hello', os.environ['TORCHX_REPLICA_IDX'])")
    assert state == "SUCCEEDED" and app_id.startswith(f"{cluster.namespace}:job-")
    assert cluster.log(app_id) == ["hello 0\n"]
    listed = {one.app_id: one.state for one in cluster.scheduler.list()}
    assert listed[app_id] == AppState.SUCCEEDED
    described = cluster.scheduler.describe(app_id)
    assert described is not None and described.roles[0].num_replicas == 1
    assert described.roles_statuses[0].replicas[0].state.name == "SUCCEEDED"
    cluster.scheduler._delete_existing(app_id)
    cluster.until(lambda: cluster.state(app_id) in ("GONE", "SUCCEEDED"))


def test_the_contract_of_every_replica(cluster: Cluster) -> None:
    script = "import os,json; print(json.dumps({k: v for k, v in os.environ.items() if k[:4] in ('TZX_', 'TORC')}))"
    app_id, state = cluster.run(script, replicas=2)
    seen = [json.loads(cluster.log(app_id, k)[0]) for k in (0, 1)]
    assert state == "SUCCEEDED" and [one["TORCHX_REPLICA_IDX"] for one in seen] == ["0", "1"]
    for name in ("TZX_MASTER_ADDR", "TZX_MASTER_PORT", "TZX_RUN_ID", "TORCHX_JOB_ID"):
        assert seen[0][name] == seen[1][name] != ""
    assert seen[0]["TORCHX_JOB_ID"] == f"kubernetes://torchx/{app_id}"
    assert {one["TZX_RESTART_COUNT"] for one in seen} == {"0"} and all(one["TZX_LOCAL_ADDR"] for one in seen)


@pytest.mark.parametrize("code", [2, 65, 75, 143])
def test_retries_by_exit_code(cluster: Cluster, code: int) -> None:
    script = f"import os,sys; print('try', os.environ['TZX_RESTART_COUNT']); sys.exit({code})"
    app_id, state = cluster.run(script, retries=1)
    tries = [line for line in cluster.log(app_id) if line.startswith("try")]
    assert state == "FAILED" and len(tries) == (1 if code in (2, 65) else 2)
    assert f"worker[0] exited with {code}" in cluster.message(app_id)
    described = cluster.scheduler.describe(app_id)
    assert described is not None and described.num_restarts == len(tries) - 1
    error = json.loads(described.roles_statuses[0].replicas[0].structured_error_msg)
    assert error["message"]["errorCode"] == code


def test_a_retry_may_succeed(cluster: Cluster) -> None:
    _, state = cluster.run("import os,sys; sys.exit(75 if os.environ['TZX_RESTART_COUNT'] == '0' else 0)", retries=2)
    assert state == "SUCCEEDED"


def test_secrets_reach_the_program_and_nothing_else(cluster: Cluster) -> None:
    planned = cluster.plan("import os; print(len(os.environ['MY_TOKEN']))", env={"MY_TOKEN": "hunter2"})
    assert "hunter2" not in str(planned)
    app_id = cluster.scheduler.schedule(planned)
    cluster.started.append(app_id)
    cluster.until(lambda: cluster.state(app_id) in FINAL)
    assert cluster.log(app_id) == ["7\n"] and "hunter2" not in repr(cluster.scheduler.describe(app_id))


def test_cancel_deletes_the_job_and_what_it_owns(cluster: Cluster) -> None:
    app_id = cluster.start("import time; print('up', flush=True); time.sleep(600)", env={"MY_TOKEN": "x"})
    cluster.until(lambda: cluster.state(app_id) == "RUNNING")
    cluster.scheduler.cancel(app_id)
    cluster.until(lambda: cluster.state(app_id) == "GONE")
    namespace, _, name = app_id.partition(":")
    for folder, own in (("services", name), ("secrets", f"{name}-env")):
        cluster.until(lambda path=f"/api/v1/namespaces/{namespace}/{folder}/{own}": client.api().get(path) is None)


def test_cancel_keeps_the_record_on_request(cluster: Cluster) -> None:
    app_id = cluster.start("import time; print('up', flush=True); time.sleep(600)", cfg={"on_cancel": "suspend"})
    cluster.until(lambda: cluster.state(app_id) == "RUNNING")
    cluster.scheduler.cancel(app_id)
    cluster.until(lambda: cluster.state(app_id) == "CANCELLED")
    assert cluster.message(app_id) == "cancelled"
    assert app_id in [one.app_id for one in cluster.scheduler.list()]


def test_a_log_is_followed_to_its_end(cluster: Cluster) -> None:
    app_id = cluster.start("import time\nfor i in range(5): print('line', i, flush=True); time.sleep(0.2)")
    assert cluster.log(app_id, should_tail=True) == [f"line {i}\n" for i in range(5)]
    assert cluster.log(app_id, regex="[24]$") == ["line 2\n", "line 4\n"]


# ---- on the cluster in this process only: what cannot be asked of a real one


def test_nothing_is_left_in_the_cluster(loopback: Cluster) -> None:
    app_id = loopback.start("import time; time.sleep(600)", replicas=2)
    loopback.until(lambda: loopback.state(app_id) == "RUNNING")
    loopback.scheduler.cancel(app_id)
    assert loopback.server is not None and loopback.server.objects == {}
    assert loopback.state(app_id) == "GONE"


def test_one_failure_ends_all_replicas(loopback: Cluster) -> None:
    script = "import os,sys,time; sys.exit(2) if os.environ['TORCHX_REPLICA_IDX'] == '1' else time.sleep(600)"
    app_id, state = loopback.run(script, replicas=3, retries=5)
    assert state == "FAILED" and loopback.message(app_id).startswith("worker[1] exited with 2")


def test_the_error_of_an_app_is_shown(loopback: Cluster) -> None:
    script = (
        "import json,os,sys; text = json.dumps({'message': {'message': 'no \"such\" file', 'extra': 'x' * 9000}});"
        "open(os.environ['TORCHELASTIC_ERROR_FILE'], 'w').write(text); sys.exit(65)"
    )
    app_id, _ = loopback.run(script)
    assert loopback.message(app_id) == 'worker[0] exited with 65: no "such" file'


@pytest.mark.slow
def test_from_a_terminal(loopback: Cluster, terminal: Any) -> None:
    """As a user types it; each command is a process of its own."""
    run = ["run", "-s", "kubernetes", "--workspace", "", "-cfg", "namespace=ml,image=repo/tzx:1", "jobs.py:job"]
    handle = terminal.torchx(*run, "--script", "print('hello')").stdout.strip().splitlines()[-1]
    assert handle.startswith("kubernetes://torchx/ml:job-")
    app_id = handle.rpartition("/")[2]
    loopback.until(lambda: loopback.state(app_id) == "SUCCEEDED")
    assert "SUCCEEDED" in terminal.torchx("status", handle).stdout
    assert "worker/0 hello" in terminal.torchx("log", handle).stdout
    assert handle in terminal.torchx("list", "-s", "kubernetes").stdout
    failed = (
        terminal.torchx(*run, "--script", "import sys; sys.exit(2)", "--retries", "3").stdout.strip().splitlines()[-1]
    )
    loopback.until(lambda: loopback.state(failed.rpartition("/")[2]) == "FAILED")
    shown = terminal.torchx("status", failed)
    assert "worker[0] exited with 2" in shown.stdout and "Num Restarts: 0" in shown.stdout
    endless = terminal.torchx(*run, "--script", "import time; time.sleep(600)").stdout.strip().splitlines()[-1]
    assert terminal.torchx("cancel", endless).returncode == 0
    assert loopback.state(endless.rpartition("/")[2]) == "GONE"
    refused = terminal.torchx(
        "run", "-s", "kubernetes", "--workspace", "", "-cfg", "kind=pod", "jobs.py:job", "--script", ""
    )
    assert refused.returncode != 0 and "kind=" in refused.stderr and "Traceback" not in refused.stderr


@pytest.mark.slow
def test_two_ranks_train_together(loopback: Cluster, tmp_path: Path) -> None:
    script = tmp_path / "ranks.py"
    script.write_text(
        "import torch, torch.distributed as dist\n"
        "dist.init_process_group('gloo')\nt = torch.ones(1) * (dist.get_rank() + 1)\ndist.all_reduce(t)\n"
        "print('sum', t.item(), 'of', dist.get_world_size())\ndist.destroy_process_group()\n"
    )
    launcher = ["-m", "tzx.apps.torchrun", "--nnodes", "2", "--nproc_per_node", "1", str(script)]
    app_id, state = loopback.run("", replicas=2, args=launcher, env={"OMP_NUM_THREADS": "1"})
    assert state == "SUCCEEDED", (loopback.log(app_id, 0), loopback.log(app_id, 1))
    assert all("sum 3.0 of 2\n" in loopback.log(app_id, k) for k in (0, 1))


def test_close_leaves_no_process(server: Server, tmp_path: Path) -> None:
    node = Node(server, tmp_path)
    found = Cluster(server, 20)
    app_id = found.start("import time; time.sleep(600)")
    found.until(lambda: node.processes)
    found.scheduler.cancel(app_id)
    wait_until_gone(node)
    node.close()
