"""What the kubernetes scheduler does when the API server, the network or the account is not as it should be."""

import re
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

pytest.importorskip("kubernetes")
from loopback_kube.cluster import Cluster, job_path, lines_of, set_status, write_config
from loopback_kube.server import Fault
from torchx.schedulers.api import Stream

from tzx_schedulers import _kubernetes_client as client
from tzx_schedulers._words import SchedulerError


def test_a_broken_connection_loses_and_doubles_no_line(bare: Cluster) -> None:
    assert bare.server is not None
    app_id = bare.start("")
    texts = [f"line {i}" for i in range(200)]
    path = lines_of(bare, app_id, *texts[:100])
    bare.server.break_log_after = [0, 1, 50, 99, 120]

    def more() -> None:
        for text in texts[100:]:
            assert bare.server is not None
            bare.server.write_log(path.rpartition("/")[2], text)
            time.sleep(0.002)
        set_status(bare, path, phase="Succeeded")
        set_status(bare, job_path(app_id), conditions=[{"type": "Complete", "status": "True"}])

    writer = threading.Thread(target=more)
    writer.start()
    seen = bare.log(app_id, should_tail=True)
    writer.join()
    assert seen == [f"{text}\n" for text in texts] and bare.server.break_log_after == []


def test_lines_of_the_same_moment_are_told_apart(bare: Cluster) -> None:
    assert bare.server is not None
    app_id = bare.start("")
    path = lines_of(bare, app_id, phase="Succeeded")
    bare.server.logs[path.rpartition("/")[2]] = [f"2026-01-01T00:00:00.5Z {i}" for i in range(5)]
    bare.server.break_log_after = [3]
    assert bare.log(app_id, should_tail=False) == [f"{i}\n" for i in range(5)]


def test_a_window_of_time(bare: Cluster) -> None:
    assert bare.server is not None
    app_id = bare.start("")
    path = lines_of(bare, app_id, phase="Succeeded")
    begin = datetime(2026, 1, 1, tzinfo=timezone.utc)
    moments = [(begin + timedelta(milliseconds=400 * i)).strftime("%Y-%m-%dT%H:%M:%S.%fZ") for i in range(10)]
    bare.server.logs[path.rpartition("/")[2]] = [f"{moment} {i}" for i, moment in enumerate(moments)]
    window = {"since": begin + timedelta(seconds=1), "until": begin + timedelta(seconds=2.9)}
    assert bare.log(app_id, **window) == [f"{i}\n" for i in range(3, 8)]
    assert bare.log(app_id, until=window["since"]) == ["0\n", "1\n", "2\n"]


def follow(bare: Cluster, app_id: str, found: list[str]) -> None:
    for line in bare.scheduler.log_iter(app_id, "worker", 0, should_tail=True):
        found.append(line)


def test_a_watch_whose_history_is_gone_is_begun_anew(bare: Cluster) -> None:
    assert bare.server is not None
    app_id = bare.start("")
    bare.server.forgotten = 10**9
    found: list[str] = []
    reader = threading.Thread(target=follow, args=(bare, app_id, found))
    reader.start()
    bare.until(lambda: any("watch=true" in path for _, path, _ in bare.server.requests))
    path = lines_of(bare, app_id, "at last", phase="Pending")
    set_status(bare, path, phase="Running")
    bare.until(lambda: found)
    set_status(bare, path, phase="Succeeded")
    set_status(bare, job_path(app_id), conditions=[{"type": "Complete", "status": "True"}])
    reader.join(20)
    assert found == ["at last\n"] and not reader.is_alive()


def test_the_log_of_a_job_that_is_deleted_meanwhile_ends(bare: Cluster) -> None:
    app_id = bare.start("")
    lines_of(bare, app_id, "one")
    found: list[str] = []
    reader = threading.Thread(target=follow, args=(bare, app_id, found))
    reader.start()
    bare.until(lambda: found)
    bare.scheduler.cancel(app_id)
    reader.join(20)
    assert found == ["one\n"] and not reader.is_alive()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_the_server_cannot_do_now_is_asked_again(bare: Cluster, status: int) -> None:
    assert bare.server is not None
    bare.server.faults = [
        Fault("POST", "/jobs", status, headers={"Retry_After": "0"}),
        Fault("POST", "/jobs", status, headers={"Retry_After": "0"}),
        Fault("GET", "/jobs", status),
    ]
    app_id = bare.start("")
    assert bare.state(app_id) == "PENDING" and bare.server.faults == []


def test_a_lost_answer_makes_no_second_job(bare: Cluster) -> None:
    assert bare.server is not None
    bare.server.faults = [Fault("POST", "/services", 500, after=True), Fault("POST", "/jobs", 0, after=True)]
    bare.start("", env={"MY_TOKEN": "x"})
    assert bare.server.faults == [] and len(bare.server.find("jobs")) == 1 and len(bare.server.find("services")) == 1
    posts = [path for method, path, _ in bare.server.requests if method == "POST"]
    assert len(posts) == 5


def test_a_slow_server_is_waited_for(bare: Cluster) -> None:
    assert bare.server is not None
    bare.server.faults = [Fault("GET", "/jobs/", delay=1.0)]
    app_id = bare.start("")
    began = time.monotonic()
    assert bare.state(app_id) == "PENDING" and time.monotonic() - began > 0.9


def test_a_refused_job_leaves_nothing(bare: Cluster) -> None:
    assert bare.server is not None
    bare.server.forbidden = {"/jobs$"}
    with pytest.raises(SchedulerError, match=r"refuses \(403\).*administrator"):
        bare.start("", env={"MY_TOKEN": "x"})
    assert bare.server.objects == {}


def test_a_name_that_is_taken_by_others(bare: Cluster) -> None:
    assert bare.server is not None
    planned = bare.plan("")
    name = planned.request.name
    bare.server.create("/api/v1/namespaces/ml/services", {"kind": "Service", "metadata": {"name": name}})
    with pytest.raises(SchedulerError, match=r"\(409\).*already exists"):
        bare.scheduler.schedule(planned)
    assert [made["metadata"]["name"] for made in bare.server.objects.values()] == [name]


def test_an_old_server_is_told_from_what_it_drops(bare: Cluster) -> None:
    assert bare.server is not None
    bare.server.dropped_fields = {"completionMode", "podFailurePolicy", "backoffLimitPerIndex", "maxFailedIndexes"}
    with pytest.raises(SchedulerError, match=r"1\.24 or newer"):
        bare.start("", replicas=2)
    assert bare.server.objects == {}
    assert bare.state(bare.start("")) == "PENDING"


def test_wrong_credentials_and_no_cluster(bare: Cluster, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bare.server is not None
    write_config(home / "kubeconfig", bare.server.url, token="wrong")
    client.api.cache_clear()
    with pytest.raises(SchedulerError, match=r"\(401\).*kubectl auth whoami"):
        bare.state("ml:x")
    write_config(home / "kubeconfig", "http://127.0.0.1:9")
    client.api.cache_clear()
    monkeypatch.setattr("urllib3.Retry.sleep", lambda *_, **__: None)
    with pytest.raises(SchedulerError, match=r"http://127.0.0.1:9 cannot be reached"):
        bare.state("ml:x")
    monkeypatch.setenv("KUBECONFIG", str(home / "none"))
    client.api.cache_clear()
    with pytest.raises(SchedulerError, match="no Kubernetes cluster is configured"):
        bare.state("ml:x")


def test_strangers_are_unknown(bare: Cluster) -> None:
    assert bare.server is not None
    folder = "/apis/batch/v1/namespaces/ml/jobs"
    bare.server.create(folder, {"kind": "Job", "metadata": {"name": "other", "namespace": "ml"}, "spec": {}})
    assert bare.state("ml:other") == "GONE" and bare.state("ml:none") == "GONE" and bare.scheduler.list() == []
    bare.scheduler._cancel_existing("ml:other")
    assert f"{folder}/other" in bare.server.objects
    for wrong in ("x", "../x:y", "a:b:c", ":", "ml:A b"):
        with pytest.raises(SchedulerError, match="is no job"):
            bare.state(wrong)


def test_logs_of_what_is_not_there(bare: Cluster) -> None:
    app_id = bare.start("", replicas=2)
    for arguments, words in [
        ((app_id, "nobody", 0), "no role 'nobody'; its roles: worker"),
        ((app_id, "worker", 2), "replicas 0 to 1, not 2"),
        (("ml:none", "worker", 0), "no job"),
    ]:
        with pytest.raises(SchedulerError, match=re.escape(words)):
            bare.scheduler.log_iter(*arguments)
    with pytest.raises(SchedulerError, match="--streams"):
        bare.scheduler.log_iter(app_id, "worker", 0, streams=Stream.STDERR)
    assert bare.log(app_id) == []


def test_an_account_that_sees_one_namespace_only(bare: Cluster) -> None:
    assert bare.server is not None
    app_id = bare.start("")
    bare.server.forbidden = {"^/apis/[^/]+/[^/]+/[a-z]+$", "volcano", "jobset", "kubeflow"}
    assert [one.app_id for one in bare.scheduler.list()] == [app_id]
    assert bare.state(app_id) == "PENDING" and bare.state("ml:none") == "GONE"
    bare.server.forbidden = {"/jobs"}
    with pytest.raises(SchedulerError, match="403"):
        bare.scheduler.list()
