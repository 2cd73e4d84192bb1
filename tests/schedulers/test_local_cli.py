"""local_cwd as a user has it: `torchx` in several terminals."""

import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

SAVES = """
import signal, sys, time
def stop(*_):
    print('saved', flush=True)
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
print('up', flush=True)
time.sleep(600)
"""


def test_run_then_look_at_it_from_elsewhere(terminal: Any) -> None:
    script = "import sys; print('hello'); print('oops', file=sys.stderr)"
    out, err = terminal.start(script).communicate(timeout=30)
    handle = out.strip()
    assert handle == terminal.handle()
    assert "worker/0 hello\n" in err and "worker/0 oops\n" in err and "ob finished: SUCCEEDED" in err
    status = terminal.torchx("status", handle)
    assert status.returncode == 0 and "State: SUCCEEDED" in status.stdout and "*worker[0]:SUCCEEDED" in status.stdout
    assert sorted(terminal.torchx("log", handle).stdout.splitlines()) == ["worker/0 hello", "worker/0 oops"]
    assert terminal.torchx("log", f"{handle}/worker/0").stdout.count("\n") == 2
    assert terminal.torchx("log", "--streams", "stderr", handle).stdout == "worker/0 oops\n"
    listed = terminal.torchx("list", "-s", "local_cwd").stdout
    assert handle in listed and "SUCCEEDED" in listed
    assert "worker" in terminal.torchx("describe", handle).stdout


def test_follow_and_cancel_from_other_terminals(terminal: Any, until: Callable[..., Any]) -> None:
    running = terminal.start(SAVES, "--replicas", "2")
    handle = terminal.handle()
    until(lambda: terminal.torchx("log", handle).stdout.count("up") == 2)
    assert "State: RUNNING" in terminal.torchx("status", handle).stdout
    assert "RUNNING" in terminal.torchx("list").stdout  # local_cwd is the default scheduler
    command = [sys.executable, "-m", "torchx.cli.main", "log", "--tail", f"{handle}/worker/1"]
    follower = subprocess.Popen(command, cwd=terminal.work, stdout=subprocess.PIPE, text=True)
    assert follower.stdout is not None and follower.stdout.readline() == "worker/1 up\n"
    assert terminal.torchx("cancel", handle).returncode == 0
    assert follower.communicate(timeout=20)[0] == "worker/1 saved\n" and follower.returncode == 0
    _, err = running.communicate(timeout=20)
    assert running.returncode == 1 and "ob finished: CANCELLED" in err and "worker/0 saved" in err
    assert "State: CANCELLED" in terminal.torchx("status", handle).stdout
    until(lambda: not terminal.processes())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ending_an_attached_run_cancels_the_job(terminal: Any, until: Callable[..., Any], number: int) -> None:
    running = terminal.start(SAVES)
    handle = terminal.handle()
    until(lambda: "up" in terminal.torchx("log", handle).stdout)
    running.send_signal(number)
    _, err = running.communicate(timeout=20)
    assert running.returncode in (-number, 128 + number, 1)
    assert "cancelling job-" in err and "worker/0 saved" in err
    assert "State: CANCELLED" in terminal.torchx("status", handle).stdout
    until(lambda: not terminal.processes())


def test_a_detached_job_outlives_its_terminal(terminal: Any, until: Callable[..., Any]) -> None:
    running = terminal.start(SAVES, cfg="detach=True")
    handle = terminal.handle()
    until(lambda: "up" in terminal.torchx("log", handle).stdout)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=20)
    assert "State: RUNNING" in terminal.torchx("status", handle).stdout
    terminal.torchx("cancel", handle)
    until(lambda: not terminal.processes())
    until(lambda: "State: CANCELLED" in terminal.torchx("status", handle).stdout)


def test_a_killed_terminal_leaves_a_job_that_can_be_cancelled(terminal: Any, until: Callable[..., Any]) -> None:
    running = terminal.start(SAVES)
    handle = terminal.handle()
    until(lambda: "up" in terminal.torchx("log", handle).stdout)
    running.kill()
    running.communicate()
    assert "State: RUNNING" in terminal.torchx("status", handle).stdout
    terminal.torchx("cancel", handle)
    until(lambda: not terminal.processes())


def test_a_failed_job_says_why(terminal: Any) -> None:
    running = terminal.start("import sys; sys.exit(65)", "--retries", "3")
    _, err = running.communicate(timeout=30)
    assert running.returncode == 1 and "worker[0] exited with 65" in err
    status = terminal.torchx("status", terminal.handle()).stdout
    assert "State: FAILED" in status and "Msg: worker[0] exited with 65" in status and "(exitcode: 65)" in status
    assert "Num Restarts: 0" in status


def test_handles_that_mean_nothing(terminal: Any) -> None:
    status = terminal.torchx("status", "local_cwd://torchx/job-none")
    assert status.returncode == 1 and "does not exist" in status.stderr
    assert terminal.torchx("cancel", "local_cwd://torchx/job-none").returncode == 0
    terminal.start("print(1)").communicate(timeout=30)
    wrong = terminal.torchx("log", f"{terminal.handle()}/trainer/0")
    assert wrong.returncode != 0 and "has no role 'trainer'; its roles: worker" in wrong.stderr


def test_options_are_documented(terminal: Any) -> None:
    shown = terminal.torchx("runopts", "local_cwd").stdout
    for name in ("log_dir", "detach", "grace_seconds", "prepend_cwd", "auto_set_cuda_visible_devices", "keep"):
        assert name in shown
