"""The emr scheduler without Spark: what it would submit, what it refuses, YARN's interface, and the driver's keeper."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hostile import corpus
from loopback_yarn import LoopbackYarn
from torchx.specs import AppDef, AppState, BindMount, Resource, Role, is_terminal

from tzx_schedulers import _emr_driver as driver
from tzx_schedulers import _emr_yarn as yarn_service
from tzx_schedulers import _remote_jobs as remote
from tzx_schedulers import emr
from tzx_schedulers._emr_options import declare
from tzx_schedulers._words import SchedulerError
from tzx_schedulers.emr import EmrScheduler

GOLDEN = Path(__file__).parent / "golden"
Until = Callable[..., Any]


def app(**role: Any) -> AppDef:
    values: dict[str, Any] = {
        "entrypoint": "python",
        "args": ["-m", "tzx.apps.train", "--config", "my config.config", "--set", "model_dir=$HOME/${app_id}"],
        "env": {"MY_TOKEN": "secret:///mnt/secrets/token", "WHO": "${replica_id} of ${app_id}", "PLAIN": "it's"},
        "num_replicas": 2,
        "resource": Resource(cpu=4, gpu=0, memMB=8192),
        **role,
    }
    return AppDef("train-deepfm", [Role("trainer", "", **values)])


def plan(found: AppDef, session: str = "torchx", **cfg: Any) -> Any:
    return EmrScheduler(session).submit_dryrun(found, cfg)


# ---- dry run

CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "serverless": (
        {"max_retries": 3},
        {
            "region": "cn-hangzhou",
            "workspace": "w-1",
            "queue": "root_queue",
            "release": "esr-4.3.0",
            "staging": "oss://bucket/tzx",
            "archives": "oss://bucket/env.tgz#env",
            "max_seconds": 3600,
        },
    ),
    "aws": (
        {},
        {
            "flavor": "aws",
            "application": "00f1abc",
            "role": "arn:aws:iam::123456789012:role/tzx",
            "staging": "s3://bucket/tzx",
            "archives": "s3://bucket/env.tgz#env",
        },
    ),
    "yarn": (
        {"resource": Resource(cpu=8, gpu=2, memMB=65536)},
        {"flavor": "yarn", "queue": "ads", "archives": "env.tgz#env", "files": "x.config,my config.config"},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_dry_run(name: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emr, "make_unique", lambda text: f"{text}-0")
    monkeypatch.setenv("PATH", "/nonexistent")  # there is no Spark here
    for module in ("alibabacloud_emr_serverless_spark20230808", "alibabacloud_credentials", "boto3"):
        monkeypatch.setitem(sys.modules, module, None)
    role, cfg = CASES[name]
    text = str(plan(app(**role), **cfg)).replace(str(Path(emr.__file__).parent), "SCHEDULERS") + "\n"
    text = re.sub(r"emr_driver-[0-9a-f]{12}", "emr_driver-HASH", text)
    file = GOLDEN / f"emr_{name}.txt"
    if not file.is_file():
        file.write_text(text)
        pytest.fail(f"{file.name} was not there and has been written; look at it and run again")
    assert text == file.read_text()
    assert not any(home.parent.rglob("*.json"))


def test_properties_of_the_user_win(home: Path) -> None:
    (home / "spark.conf").write_text("# mine\nspark.a.b  x y\n\nspark.executor.memory=3g\nspark.empty\n")
    found = plan(app(), conf_file="spark.conf").request.properties
    assert (found["spark.a.b"], found["spark.executor.memory"], found["spark.empty"]) == ("x y", "3g", "")


@pytest.mark.parametrize(
    "role, cfg, words",
    [
        ({}, {"queue": "a\nb"}, ["queue", "U+000A"]),
        ({}, {"flavor": "gcp"}, ["flavor='gcp'", "serverless, yarn"]),
        ({}, {"grace_seconds": 0}, ["grace_seconds=0", "1 to 3600"]),
        ({}, {"cwd": "here"}, ["cwd='here'", "absolute"]),
        ({}, {"conf_file": "nope"}, ["conf_file='nope'", "No such file"]),
        ({}, {"conf_file": "bad.conf"}, ["'bad.conf':2", "'rm'"]),
        ({"env": {"A B": "x"}}, {}, ["env", "'A B'"]),
        ({"env": {"MY_TOKEN": "hunter2"}}, {}, ["MY_TOKEN", "secret:///"]),
        ({"env": {"MY_TOKEN": "secret://relative"}}, {}, ["MY_TOKEN", "absolute"]),
        ({"env": {"URL": "oss://ak:hunter2@bucket/x"}}, {}, ["password"]),
        ({"args": ["--set", "train_input_path=s3://ak:hunter2@bucket/x"]}, {}, ["password"]),
        ({"args": ["a\0b"]}, {}, ["NUL"]),
        ({"args": [os.urandom(120_000).hex()]}, {}, ["100,000", "the largest, of 240,000"]),
        ({"num_replicas": 0}, {}, ["trainer", "0"]),
        ({"num_replicas": 4, "min_replicas": 1}, {}, ["1 to 4", "-j 4xN"]),
    ],
)
def test_refused(role: dict[str, Any], cfg: dict[str, Any], words: list[str], home: Path) -> None:
    (home / "bad.conf").write_text("spark.ok true\nrm -rf\n")
    with pytest.raises(SchedulerError) as error:
        plan(app(**role), **cfg)
    message = str(error.value)
    assert all(word in message for word in words) and len(message.splitlines()) == 1
    assert "hunter2" not in message


def test_a_job_has_one_role(home: Path) -> None:
    with pytest.raises(SchedulerError, match="trainer, second"):
        plan(AppDef("two", [*app().roles, Role("second", "", entrypoint="true")]))


def test_what_is_ignored_is_said(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    plan(app(mounts=[BindMount("/a", "/b")]))
    assert "emr ignores BindMount" in caplog.text


def test_gpus_are_found_by_the_script_that_travels(home: Path, tmp_path: Path) -> None:
    words = yarn_service.command(plan(app(resource=Resource(cpu=8, gpu=2, memMB=1)), flavor="yarn").request)
    assert f"--files={yarn_service.GPUS}" in words
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nprintf '0\\n1\\n'\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    shown = subprocess.run([str(yarn_service.GPUS)], env=env, capture_output=True, text=True, check=True).stdout
    assert json.loads(shown) == {"name": "gpu", "addresses": ["0", "1"]}


# ---- on a YARN of this machine


@pytest.fixture
def yarn(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackYarn]:
    monkeypatch.setattr(remote, "ASK_EVERY", 0.05)
    folder = tmp_path / "yarn"
    folder.mkdir()
    program = [sys.executable, str(Path(__file__).with_name("without_spark.py"))]
    found = LoopbackYarn(folder, program, {**os.environ})
    options = {"flavor": "yarn", "resourcemanager": found.address, "spark_submit": found.spark_submit}
    lines = [f"{name} = {value}" for name, value in {**options, "python": sys.executable}.items()]
    (home / ".torchxconfig").write_text("\n".join(["[emr]", *lines, ""]))
    monkeypatch.setenv("TORCHXCONFIG", str(home / ".torchxconfig"))
    yield found
    found.close()


def submit(found: AppDef, **cfg: Any) -> str:
    scheduler = EmrScheduler("torchx")
    options = remote.settings("emr", None, declare())
    return scheduler.schedule(scheduler.submit_dryrun(found, {**options, **cfg}))


def script(text: str, nodes: int = 1, **role: Any) -> AppDef:
    return app(entrypoint=sys.executable, args=["-S", "-u", "-c", text], num_replicas=nodes, **{"env": {}, **role})


def finished(app_id: str, until: Until) -> Any:
    until(lambda: is_terminal(EmrScheduler("torchx").describe(app_id).state), 60)  # type: ignore[union-attr]
    return EmrScheduler("torchx").describe(app_id)


def log(app_id: str, replica: int = 0, **options: Any) -> list[str]:
    return list(EmrScheduler("torchx").log_iter(app_id, "trainer", replica, **options))


def test_arguments_and_variables_arrive_as_they_are(yarn: LoopbackYarn, home: Path, until: Until) -> None:
    canary, out = home / "canary", home / "seen.json"
    words = [word for word in corpus(canary) if len(word) < 20_000]
    assert len(words) >= 200
    code = "import json,os,sys; json.dump([sys.argv[2:],dict(os.environ)],open(sys.argv[1],'w'))"
    env = {f"V{i}": word for i, word in enumerate(words)}
    found = app(entrypoint=sys.executable, args=["-S", "-c", code, str(out), *words], env=env, num_replicas=1)
    assert AppState(finished(submit(found), until).state).name == "SUCCEEDED"
    seen, environment = json.loads(out.read_text())
    assert seen == words
    assert {name: environment.get(name) for name in env} == env
    argv = next(iter(yarn.apps.values()))["argv"]
    assert not canary.exists() and not any(str(canary) in word for word in argv)


def test_options_arrive_as_they_are_or_are_refused(yarn: LoopbackYarn, home: Path) -> None:
    canary = home / "canary"
    names = ["queue", "archives", "files", "python"]
    refused = arrived = 0
    for word in corpus(canary):
        try:
            request = plan(app(), flavor="yarn", **dict.fromkeys(names, word)).request
        except SchedulerError:
            refused += 1
            continue
        argv = yarn_service.command(request)
        arrived += 1
        if word:
            assert f"--queue={word}" in argv and f"--archives={word}" in argv
            assert f"spark.pyspark.python={word}" in argv
        assert argv[:5] == ["spark-submit", "--master", "yarn", "--deploy-mode", "cluster"]
        assert not any(
            w.startswith("-") and w not in ("--master", "--deploy-mode", "--conf") and "=" not in w for w in argv
        )
    assert refused > 30 and arrived > 150 and not canary.exists()


def test_secrets_are_read_on_the_nodes(yarn: LoopbackYarn, home: Path, until: Until) -> None:
    (home / "token").write_text("hunter2\n")
    found = script("import os; print(len(os.environ['MY_TOKEN']))", env={"MY_TOKEN": f"secret://{home}/token"})
    app_id = submit(found)
    finished(app_id, until)
    assert "7\n" in log(app_id)
    assert "hunter2" not in str(plan(found, flavor="yarn")) + json.dumps(yarn.apps[app_id]["argv"])


@pytest.mark.parametrize("code", [0, 1, 2, 65, 74, 75, 126, 127, 130, 143])
def test_retries_by_exit_code(yarn: LoopbackYarn, code: int, until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"import os,sys; sys.exit({code} if os.environ['TZX_RESTART_COUNT'] == '0' else 0)"
    found = finished(submit(script(text, max_retries=1)), until)
    never = code in (2, 65, 126, 127, 130)
    assert AppState(found.state).name == ("FAILED" if never else "SUCCEEDED")
    assert found.num_restarts == (0 if never or code == 0 else 1)
    if never:
        assert found.msg == f"replica 0 on 127.0.0.1 exited with {code}"


def test_a_missing_program_and_a_signal(yarn: LoopbackYarn, until: Until) -> None:
    app_id = submit(app(entrypoint="no-such-program", args=[], num_replicas=1, max_retries=3, env={}))
    assert "exited with 127" in finished(app_id, until).msg and any("no-such-program" in line for line in log(app_id))
    app_id = submit(script("import os; os.kill(os.getpid(), 9)"))
    assert "exited with 137" in finished(app_id, until).msg


def test_when_one_node_fails_the_others_are_stopped(yarn: LoopbackYarn, until: Until) -> None:
    text = "import os,sys,time; me=os.environ['TORCHX_REPLICA_IDX']; print('at', me); time.sleep(0 if me=='1' else 600)"
    text += "; sys.exit(65)"
    app_id = submit(script(text, nodes=3))
    assert finished(app_id, until).msg == "replica 1 on 127.0.0.1 exited with 65"
    assert [log(app_id, k)[0] for k in range(3)] == ["at 0\n", "at 1\n", "at 2\n"]


def test_status_list_and_cancel_from_the_handle_alone(yarn: LoopbackYarn, home: Path, until: Until) -> None:
    app_id = submit(script("import time; print('up'); time.sleep(600)"))
    until(lambda: "up\n" in log(app_id))
    words = [sys.executable, "-m", "torchx.cli.main"]

    def torchx(*more: str) -> str:
        env = {**os.environ, "XDG_STATE_HOME": str(home / "another")}
        done = subprocess.run([*words, *more], cwd=home, env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    handle = f"emr://torchx/{app_id}"
    assert "RUNNING" in torchx("status", handle) and re.search(f"{handle} .*RUNNING", torchx("list", "-s", "emr"))
    assert "trainer/0 up" in torchx("log", handle)
    torchx("cancel", handle)
    assert "CANCELLED" in torchx("list", "-s", "emr")
    EmrScheduler("torchx")._cancel_existing(app_id)  # again: nothing to do


def test_following_gives_every_line_once(yarn: LoopbackYarn, until: Until) -> None:
    app_id = submit(script("import time\nfor i in range(40): print('line', i); time.sleep(0.02)"))
    lines = [line for line in log(app_id, should_tail=True) if line.startswith("line")]
    assert lines == [f"line {i}\n" for i in range(40)]
    assert log(app_id, regex="line 7") == ["line 7\n"]


def test_a_log_that_yarn_has_collected(
    yarn: LoopbackYarn, home: Path, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    app_id = submit(script("print('hello')"))
    finished(app_id, until)
    yarn.log_gone = True
    (home / "yarn").write_text(
        "#!/bin/sh\n"
        "printf 'Container: c on n1\\nLogType:stdout\\nLogContents:\\n[0] kept\\n\\nEnd of LogType:stdout\\n'\n"
    )
    (home / "yarn").chmod(0o755)
    monkeypatch.setenv("PATH", f"{home}:{os.environ['PATH']}")
    assert log(app_id) == ["kept\n"]


def test_what_yarn_refuses_is_said(yarn: LoopbackYarn, home: Path) -> None:
    yarn.refusal = "Exception in thread: unknown queue: nope\n  at a.b(C.java:1)"
    with pytest.raises(SchedulerError, match="unknown queue: nope"):
        submit(script("0"))
    with pytest.raises(SchedulerError, match="/nope/spark-submit: No such file"):
        submit(script("0"), spark_submit="/nope/spark-submit")
    scheduler = EmrScheduler("torchx")
    assert scheduler.describe("application_1_0001") is None
    with pytest.raises(SchedulerError, match="there is no job application_1_0001"):
        scheduler.log_iter("application_1_0001", "trainer")
    yarn.close()
    with pytest.raises(SchedulerError, match="YARN does not answer"):
        scheduler.describe("application_1_0001")


def test_an_application_is_found_by_its_tag(yarn: LoopbackYarn, until: Until) -> None:
    text = yarn.spark_submit.read_text().replace('print("26/11/26', 'print("" and "26/11/26')
    yarn.spark_submit.write_text(text)  # as with a log4j.properties that is silent
    app_id = submit(script("0"))
    assert app_id in yarn.apps


def test_reads_yarn_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def site(**values: str) -> list[str]:
        text = "".join(f"<property><name>yarn.{k}</name><value>{v}</value></property>" for k, v in values.items())
        (tmp_path / "yarn-site.xml").write_text(f"<configuration>{text}</configuration>")
        monkeypatch.setenv("YARN_CONF_DIR", str(tmp_path))
        return yarn_service._addresses({})

    rm = "resourcemanager"
    assert site(**{f"{rm}.hostname": "m1"}) == ["http://m1:8088"]
    assert site(**{f"{rm}.webapp.address": "${yarn.resourcemanager.hostname}:80", f"{rm}.hostname": "m"}) == [
        "http://m:80"
    ]
    two = {f"{rm}.ha.rm-ids": "a, b", f"{rm}.hostname.a": "m1", f"{rm}.webapp.address.b": "m2:1"}
    assert site(**two) == ["http://m1:8088", "http://m2:1"]
    assert site(**{"http.policy": "HTTPS_ONLY", f"{rm}.hostname": "m"}) == ["https://m:8090"]


# ---- the driver


def result(node: int, code: int, ended: float = 0.0, stopped: bool = False) -> dict[str, Any]:
    return {"node": node, "code": code, "ended": ended, "stopped": stopped}


@pytest.mark.parametrize(
    "results, node",
    [
        ([result(0, 0), result(1, 0)], None),
        ([result(0, 1, 1.0), result(1, 2, 2.0)], 1),  # a telling code before an earlier one that is not
        ([result(0, 1, 2.0), result(1, 134, 1.0)], 1),  # else what came first
        ([result(0, 143, 1.0, stopped=True), result(1, 1, 2.0)], 1),  # who was told to stop explains nothing
        ([result(0, 143, 1.0, stopped=True), result(1, 0)], 0),
    ],
)
def test_which_node_explains_a_failure(results: list[dict[str, Any]], node: int | None) -> None:
    found = driver.explain(results)
    assert (found and found["node"]) == node


def test_a_lost_executor_is_retried() -> None:
    class Context:
        def __getattr__(self, _: str) -> Callable[..., Any]:
            return lambda *_: self

        def collect(self) -> None:
            raise RuntimeError("Job aborted\n ExecutorLostFailure (executor 1 exited)")

    board = driver.Board("127.0.0.1", "127.0.0.1")
    code, message = driver.attempt(Context(), board, {"nodes": 2}, 0)
    assert code == 75 and "ExecutorLostFailure" in message


def test_a_node_that_comes_after_the_failure_of_another_is_stopped_and_one_of_the_next_attempt_is_not(
    monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr(driver, "_NOTICE", 0.05)
    board = driver.Board("127.0.0.1", "127.0.0.1")

    def come(node: int) -> Any:
        link = driver.socket.create_connection(board.place, timeout=10)
        link.sendall(json.dumps({"token": board.token, "node": node}).encode() + b"\n")
        until(lambda: board.heard_of(node))
        return link

    with come(1) as failed:
        failed.sendall(b'{"exit": 65}\n')
        until(lambda: board._failed == 1)
        with come(2) as late:
            assert late.recv(100) == b"stop\n"
    board.clear()
    with come(2) as again:
        again.settimeout(0.3)
        with pytest.raises(TimeoutError):
            again.recv(100)


def test_a_stranger_is_not_heard(capsys: pytest.CaptureFixture[str], until: Until) -> None:
    board = driver.Board("127.0.0.1", "127.0.0.1")
    with driver.socket.create_connection(board.place) as link:
        link.sendall(b'{"token": "guess", "node": 0}\n{"line": "I am node 0"}\n')
        assert link.recv(1) == b""
    assert capsys.readouterr().out == "" and not board.heard_of(0)


KEEPER = """
import sys
from tzx_schedulers import _emr_driver as driver
job = driver.decode(sys.argv[1])
me = {"node": 0, "host": "here", "token": sys.argv[3]}
driver.keep(job, ("127.0.0.1", int(sys.argv[2])), me, driver.environment(job, me, ["127.0.0.1", 1], 0))
"""


@pytest.mark.parametrize("stubborn", [False, True])
def test_nothing_outlives_the_worker(home: Path, until: Until, stubborn: bool) -> None:
    text = f"""
import os, signal, subprocess, sys, time
subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"], start_new_session=True)
def save(*_):
    open("saved", "w").close()
    {"pass" if stubborn else "sys.exit(143)"}
signal.signal(signal.SIGTERM, save)
open("ready", "w").close()
while True: time.sleep(1)
"""
    mark = f"{home.parent.name}{os.getpid()}"
    request = plan(script(text, env={"TZX_TEST_MARK": mark}), cwd=str(home), grace_seconds=1).request
    board = driver.Board("127.0.0.1", "127.0.0.1")
    words = [sys.executable, "-c", KEEPER, request.argument, str(board.place[1]), board.token]
    worker = subprocess.Popen(words, env={**os.environ, "TZX_TEST_MARK": mark})
    until((home / "ready").exists, 60)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()

    def alive() -> list[str]:
        found = []
        for entry in Path("/proc").glob("[0-9]*/environ"):
            try:
                if mark.encode() in entry.read_bytes() and entry.parent.name != str(os.getpid()):
                    found.append((entry.parent / "cmdline").read_text())
            except OSError:
                continue
        return found

    until(lambda: not alive(), 60)
    assert (home / "saved").exists()


def test_the_time_of_the_last_question_is_before_the_last_lines() -> None:
    # What a job writes just before its end must not be missed by a follower.
    written, over = ["a"], [False]

    def ask() -> bool:
        answer = over[0]
        if not answer:
            written.append("b")
            over[0] = True
        return answer

    def fetch(_: bool) -> list[str]:
        found = list(written)
        written.clear()
        return found

    remote_every, remote.ASK_EVERY = remote.ASK_EVERY, 0.0
    try:
        assert list(remote.follow(fetch, ask, tail=True)) == ["a\n", "b\n"]
    finally:
        remote.ASK_EVERY = remote_every
