"""What local_cwd does with jobs: states, retries, stopping, and that nothing is ever left behind."""

import json
import os
import signal
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torchx.specs import AppDef, AppState, Resource, Role

from tzx_schedulers import _local_jobs as jobs
from tzx_schedulers._words import SchedulerError

SLEEP = "import time; print('up', flush=True); time.sleep(600)"
# Ends on SIGTERM after saving, as a trainer does.
SAVES = """
import signal, sys, time
def stop(*_):
    print('saved', flush=True)
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
print('up', flush=True)
time.sleep(600)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print('no', flush=True))
print('up', flush=True)
while True: time.sleep(1)
"""
# Leaves a grandchild in a session of its own, whose parent has ended.
DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
os.wait()
"""


def up(local: Any, app_id: str, replica: int = 0) -> bool:
    return any("up" in line for line in local.log(app_id, replica))


def test_success(local: Any) -> None:
    app_id, state = local.run("print('hello')")
    assert state == "SUCCEEDED"
    described = local.scheduler.describe(app_id)
    assert (described.num_restarts, described.msg) == (0, "<NONE>")
    assert [str(replica.state) for replica in described.roles_statuses[0].replicas] == ["SUCCEEDED"]
    assert described.roles[0].name == "worker" and described.roles[0].num_replicas == 1
    assert Path(described.ui_url.removeprefix("file://")).is_dir()


def test_failure_names_the_replica_its_code_and_its_error(local: Any) -> None:
    script = (
        "import json, os, sys; json.dump({'message': {'message': 'row 7 of a.csv\\nmore'}}, "
        "open(os.environ['TORCHELASTIC_ERROR_FILE'], 'w')); sys.exit(65)"
    )
    app_id, state = local.run(script)
    assert state == "FAILED"
    assert local.message(app_id) == "worker[0] exited with 65: row 7 of a.csv"
    error = json.loads(local.scheduler.describe(app_id).roles_statuses[0].replicas[0].structured_error_msg)["message"]
    assert (error["message"], error["errorCode"]) == ("row 7 of a.csv\nmore", 65)
    assert int(error["extraInfo"]["timestamp"]) <= time.time()


def test_death_by_signal_is_named(local: Any) -> None:
    app_id, state = local.run("import os; os.kill(os.getpid(), 11)")
    assert (state, local.message(app_id)) == ("FAILED", "worker[0] was killed by SIGSEGV")


def test_a_missing_program_fails_with_the_reason_and_no_retry(local: Any) -> None:
    app_id, state = local.run("", entrypoint="no-such-program", retries=3)
    assert state == "FAILED"
    assert local.message(app_id) == "worker[0] could not be started: no-such-program: No such file or directory"
    assert local.written(app_id)["restarts"] == 0
    assert local.log(app_id) == [] and local.log(app_id, should_tail=True) == []


def test_a_program_that_may_not_be_executed(local: Any, home: Path) -> None:
    (home / "plain.txt").write_text("text")
    app_id, state = local.run("", entrypoint=str(home / "plain.txt"))
    assert state == "FAILED" and local.message(app_id).endswith("plain.txt: Permission denied")


COUNTS = """
import os, sys
with open('attempts', 'a') as file: file.write(os.environ['TZX_RESTART_COUNT'] + ' ')
print('attempt', os.environ['TZX_RESTART_COUNT'])
"""


@pytest.mark.parametrize(
    ("ending", "retries", "state", "attempts"),
    [
        ("sys.exit(75 if os.environ['TZX_RESTART_COUNT'] == '0' else 0)", 3, "SUCCEEDED", "0 1 "),
        ("sys.exit(143 if os.environ['TZX_RESTART_COUNT'] == '0' else 0)", 1, "SUCCEEDED", "0 1 "),
        ("os.kill(os.getpid(), 9)", 1, "FAILED", "0 1 "),
        ("sys.exit(1)", 1, "FAILED", "0 1 "),
        ("sys.exit(1)", 0, "FAILED", "0 "),
        ("sys.exit(2)", 5, "FAILED", "0 "),
        ("sys.exit(65)", 5, "FAILED", "0 "),
    ],
)
def test_retries_depend_on_the_exit_code(
    local: Any, home: Path, ending: str, retries: int, state: str, attempts: str
) -> None:
    app_id, found = local.run(f"{COUNTS}\n{ending}", retries=retries)
    assert found == state
    assert (home / "attempts").read_text() == attempts
    assert local.scheduler.describe(app_id).num_restarts == len(attempts.split()) - 1
    lines = local.log(app_id)
    assert [line for line in lines if line.startswith("attempt")] == [f"attempt {n}\n" for n in attempts.split()]
    if " 1" in attempts:
        assert any(line.startswith("tzx: worker[0] ") and "; restart 1 of" in line for line in lines)


def test_cancel_lets_the_job_save_and_is_final(local: Any, until: Callable[..., Any]) -> None:
    app_id = local.start(SAVES, replicas=2, retries=5)
    until(lambda: up(local, app_id, 0) and up(local, app_id, 1))
    local.scheduler.cancel(app_id)
    assert local.wait(app_id) == "CANCELLED"
    assert local.message(app_id) == "cancelled"
    replicas = local.scheduler.describe(app_id).roles_statuses[0].replicas
    assert [str(replica.state) for replica in replicas] == ["CANCELLED", "CANCELLED"]
    assert json.loads(replicas[0].structured_error_msg)["message"]["errorCode"] == 143
    assert local.log(app_id, 0)[-1] == local.log(app_id, 1)[-1] == "saved\n"
    assert local.written(app_id)["restarts"] == 0
    local.scheduler.cancel(app_id)  # once more does no harm
    until(local.nothing_left)


def test_cancel_between_two_attempts(local: Any, until: Callable[..., Any]) -> None:
    app_id = local.start("import sys; sys.exit(1)", retries=9)
    until(lambda: local.written(app_id).get("restarts") == 2)
    local.scheduler.cancel(app_id)
    assert local.wait(app_id) == "CANCELLED"
    assert local.message(app_id) == "cancelled; before that worker[0] exited with 1"


def test_who_ignores_sigterm_is_killed_after_the_grace_period(local: Any, until: Callable[..., Any]) -> None:
    app_id = local.start(STUBBORN, {"grace_seconds": 1})
    until(lambda: up(local, app_id))
    begin = time.monotonic()
    local.scheduler.cancel(app_id)
    assert local.wait(app_id) == "CANCELLED"
    assert 0.9 < time.monotonic() - begin < 5
    assert "no\n" in local.log(app_id)


def test_a_second_cancel_does_not_wait(local: Any, until: Callable[..., Any]) -> None:
    app_id = local.start(STUBBORN, {"grace_seconds": 600})
    until(lambda: up(local, app_id))
    local.scheduler.cancel(app_id)
    until(lambda: "no\n" in local.log(app_id))
    local.scheduler.cancel(app_id)
    assert local.wait(app_id, 10) == "CANCELLED"


def test_the_children_of_a_replica_are_not_told_to_stop_before_it_is(local: Any, until: Callable[..., Any]) -> None:
    # A trainer needs its data workers to finish a checkpoint: SIGTERM must reach the leader only.
    script = """
import os, signal, sys, time
child = os.fork()
if child == 0:
    time.sleep(600)
def stop(*_):
    time.sleep(0.5)
    print('child', os.waitpid(child, os.WNOHANG)[0] == 0, flush=True)
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
print('up', flush=True)
time.sleep(600)
"""
    app_id = local.start(script)
    until(lambda: up(local, app_id))
    local.scheduler.cancel(app_id)
    assert local.wait(app_id) == "CANCELLED"
    assert local.log(app_id)[-1] == "child True\n"
    until(local.nothing_left)


def test_a_failing_replica_ends_the_others(local: Any, until: Callable[..., Any]) -> None:
    script = f"""
import os, sys, time
if os.environ['TORCHX_REPLICA_IDX'] == '1':
    time.sleep(0.5)
    sys.exit(7)
{SAVES}"""
    app_id, state = local.run(script, replicas=3)
    assert (state, local.message(app_id)) == ("FAILED", "worker[1] exited with 7")
    assert local.log(app_id, 0)[-1] == local.log(app_id, 2)[-1] == "saved\n"
    until(local.nothing_left)


def test_an_elastic_role_goes_on_without_a_replica(local: Any) -> None:
    script = "import os, sys, time; time.sleep(0.4); sys.exit(int(os.environ['TORCHX_REPLICA_IDX']) == 1)"
    assert local.run(script, replicas=3, min_replicas=2)[1] == "SUCCEEDED"
    assert local.run(script, replicas=3, min_replicas=3)[1] == "FAILED"


def test_a_daemon_does_not_outlive_the_job(local: Any, until: Callable[..., Any]) -> None:
    assert local.run(DAEMON)[1] == "SUCCEEDED"
    until(local.nothing_left)


@pytest.mark.parametrize("victims", [("supervisor",), ("keeper",), ("keeper", "supervisor")])
def test_killing_the_guards_leaves_no_process(local: Any, until: Callable[..., Any], victims: tuple[str, ...]) -> None:
    # With both killed in one blow nobody is left to look for daemons, so only the replicas themselves are promised.
    body = SLEEP if len(victims) == 2 else f"{DAEMON}\n{SLEEP}"
    app_id = local.start(body, replicas=2)
    until(lambda: up(local, app_id, 0) and up(local, app_id, 1))
    guards = [local.written(app_id)[name]["pid"] for name in victims]
    for pid in guards:
        os.kill(pid, signal.SIGKILL)
    until(local.nothing_left)
    state = local.wait(app_id)
    if victims == ("keeper",):
        assert (state, local.message(app_id)) == ("CANCELLED", "its keeper process was killed")
    else:
        assert state == "FAILED" and "its supervisor" in local.message(app_id)


def test_a_job_of_before_the_reboot_has_failed(local: Any) -> None:
    app_id = local.run("pass")[0]
    job = jobs.find(app_id)
    assert job is not None
    ended = {"pid": os.getpid(), "start": 1, "boot": "another boot"}
    jobs.write_json(job / "state.json", {"state": "RUNNING", "keeper": ended, "supervisor": ended, "replicas": {}})
    assert local.state(app_id) == "FAILED"
    assert "the machine was restarted" in local.message(app_id)
    local.scheduler.cancel(app_id)  # must not touch the process that has the pid now


def test_names_of_any_kind(local: Any) -> None:
    names = ["a/b", "..", "with space", "naïve", "100%", "x" * 80]
    roles = [Role(name, "", entrypoint="echo", args=[name], resource=Resource(cpu=1, gpu=0, memMB=1)) for name in names]
    app_id = local.submit(AppDef("../Weird name: %s/..", roles))
    assert local.wait(app_id) == "SUCCEEDED"
    assert app_id.startswith("Weird-name-s-")
    for name in names:
        assert local.log(app_id, role=name) == [f"{name}\n"]
    job = jobs.find(app_id)
    assert job is not None and job.parent == jobs.default_root()


def test_duplicate_role_names_are_refused(local: Any) -> None:
    app = local.app("pass")
    with pytest.raises(SchedulerError, match="different names"):
        local.submit(AppDef("x", [*app.roles, *app.roles]))


@pytest.mark.parametrize("app_id", ["nope", "..", "../x", "a/b", ""])
def test_unknown_jobs(local: Any, app_id: str) -> None:
    assert local.scheduler.describe(app_id) is None
    assert not local.scheduler.exists(app_id)
    local.scheduler.cancel(app_id)
    with pytest.raises(SchedulerError, match="no local job"):
        local.log(app_id)


def test_several_jobs_at_once(local: Any, until: Callable[..., Any]) -> None:
    script = "import os, time; print(os.environ['TZX_MASTER_PORT'], flush=True); time.sleep(600)"
    running = [local.start(script) for _ in range(3)]
    until(lambda: all(local.log(app_id) for app_id in running))
    assert len({local.log(app_id)[0] for app_id in running}) == 3
    listed = {app.app_id: AppState(app.state).name for app in local.scheduler.list()}
    assert listed == dict.fromkeys(running, "RUNNING")
    local.scheduler.cancel(running[1])
    assert local.wait(running[1]) == "CANCELLED"
    assert [local.state(running[n]) for n in (0, 2)] == ["RUNNING", "RUNNING"]


def test_what_a_replica_is_told(local: Any, home: Path) -> None:
    app = local.app(
        "import json, os, sys; print(json.dumps(dict(os.environ))); print(os.getcwd(), sys.argv[1:])",
        replicas=2,
        env={"ID": "${app_id}", "RANK0": "${rank0_env}"},
    )
    app.roles[0].args += ["${replica_id}", "${img_root}"]
    app_id = local.submit(app)
    local.wait(app_id)
    for index in range(2):
        env, where = local.log(app_id, index)
        told = json.loads(env)
        assert told["TORCHX_REPLICA_IDX"] == str(index)
        assert told["TZX_MASTER_ADDR"] == "127.0.0.1" and told["TORCHX_RANK0_HOST"] == "localhost"
        assert 20000 <= int(told["TZX_MASTER_PORT"]) < 40100
        assert (told["ID"], told["RANK0"], told["TZX_RESTART_COUNT"]) == (app_id, "TZX_MASTER_ADDR", "0")
        assert told["TORCHELASTIC_ERROR_FILE"].endswith(f"{app_id}/worker/{index}/error.json")
        assert where.split() == [str(home), f"['{index}',", f"'{home}']"]


def test_python_of_the_environment_comes_first(local: Any) -> None:
    app_id = local.run("", entrypoint="python", args=["-c", "import sys; print(sys.prefix)"])[0]
    import sys

    assert local.log(app_id) == [f"{sys.prefix}\n"]


def test_a_taken_port_is_stepped_over(local: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr("tzx_schedulers._local_spec.derive_port", lambda _: port)
        app_id = local.run("import os; print(os.environ['TZX_MASTER_PORT'])")[0]
        assert int(local.log(app_id)[0]) > port


def test_signals_have_their_usual_meaning_in_a_replica(local: Any) -> None:
    script = "import signal; print([signal.getsignal(n) for n in (1, 2, 15)] == [0, signal.default_int_handler, 0])"
    assert local.log(local.run(script)[0]) == ["True\n"]


def test_log_dir_holds_the_logs_and_the_index_finds_them(local: Any, tmp_path: Path) -> None:
    app_id, _ = local.run("print('here')", {"log_dir": str(tmp_path / "logs")})
    text = (tmp_path / "logs" / "torchx" / app_id / "worker" / "0" / "combined.log").read_text()
    assert text == "here\n" and local.log(app_id) == ["here\n"]
    import shutil

    shutil.rmtree(tmp_path / "logs")
    assert local.scheduler.describe(app_id) is None
    assert local.scheduler.list() == []


def test_a_home_that_cannot_be_written_to(local: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert jobs.default_root() == tmp_path / f"tzx-{os.getuid()}" / "tzx" / "local_cwd"


def test_secrets_are_neither_shown_nor_stored(local: Any, tmp_path: Path) -> None:
    app = local.app(
        "import os; print(os.environ['MY_TOKEN'] == 'hunter' + '2')", env={"MY_TOKEN": "hunter2", "PLAIN": "seen"}
    )
    shown = repr(local.scheduler.submit_dryrun(app, {}))
    assert "hunter2" not in shown and "MY_TOKEN=***" in shown and "PLAIN=seen" in shown
    app_id = local.submit(app)
    local.wait(app_id)
    assert local.log(app_id) == ["True\n"]
    job = jobs.find(app_id)
    assert job is not None
    for file in job.rglob("*"):
        assert not file.is_file() or b"hunter2" not in file.read_bytes()
    assert stat.S_IMODE(job.stat().st_mode) == 0o700
    assert stat.S_IMODE((job / "spec.json").stat().st_mode) == 0o600


def test_a_dry_run_starts_and_writes_nothing(local: Any, home: Path) -> None:
    local.scheduler.submit_dryrun(local.app("print(1)"), {"log_dir": str(home / "logs")})
    assert local.scheduler.list() == [] and not (home / "logs").exists()


def test_old_finished_jobs_are_forgotten(local: Any, until: Callable[..., Any]) -> None:
    running = local.start(SLEEP)
    done = [local.run("pass")[0] for _ in range(3)]
    last = local.run("pass", {"keep": 2})[0]
    assert [app.app_id for app in local.scheduler.list()] == [running, done[2], last]


def test_delete_ends_and_forgets_a_job(local: Any, until: Callable[..., Any]) -> None:
    app_id = local.start(SLEEP)
    until(lambda: up(local, app_id))
    local.scheduler._delete_existing(app_id)
    assert local.scheduler.describe(app_id) is None and not local.processes()


def test_closing_the_scheduler_ends_attached_jobs_only(local: Any, until: Callable[..., Any]) -> None:
    attached, detached = local.start(SAVES), local.start(SAVES, {"detach": True})
    until(lambda: up(local, attached) and up(local, detached))
    local.scheduler.close()
    assert [local.state(attached), local.state(detached)] == ["CANCELLED", "RUNNING"]


def test_bad_roles_are_refused(local: Any) -> None:
    with pytest.raises(SchedulerError, match="num_replicas is 0"):
        local.submit(local.app("pass", replicas=0))


def test_mounts_are_ignored_with_a_warning(local: Any, caplog: pytest.LogCaptureFixture) -> None:
    from torchx.specs import BindMount

    local.run("pass", mounts=[BindMount("/a", "/b")])
    assert "local_cwd has no containers and ignores BindMount" in caplog.text
