"""One training per model directory; the dead do not hold it."""

import json
import os
import subprocess
import sys
import time

import pytest

from tzx.runtime.errors import UserError
from tzx.runtime.training import lock as module
from tzx.runtime.training.jobs import TrainOptions, train
from tzx.runtime.training.lock import NAME, Owner, locked


def test_it_is_there_while_held_and_says_whose_it_is(tmp_path):
    with locked(tmp_path / "run"):
        content = json.loads((tmp_path / "run" / NAME).read_text())
        assert content["pid"] == os.getpid() and content["host"] and content["start"]
        assert os.listdir(tmp_path / "run") == [NAME]
    assert os.listdir(tmp_path / "run") == []


def test_a_second_training_is_refused_and_the_first_one_named(config, root):
    config.train_config.ClearField("num_epochs")
    config.train_config.num_steps = 1
    with locked(root / "run"):
        with pytest.raises(UserError, match=rf"run is in use by process {os.getpid()} on .*; wait for it"):
            train(config, TrainOptions())
        assert not (root / "run" / "model.ckpt-1").exists()
    train(config, TrainOptions())
    assert not (root / "run" / NAME).exists()


def written(path, **changes):
    here = Owner.here({})
    fields = {"host": here.host, "pid": here.pid, "ticks": here.ticks, "job": "", "start": "noon"}
    (path / NAME).write_text(json.dumps(fields | changes))


def test_the_lock_of_an_ended_process_is_taken_over_with_a_note(tmp_path, caplog):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    written(tmp_path, pid=ended.pid, job="j7")
    with locked(tmp_path):
        assert f"taking over from process {ended.pid} on" in caplog.text and "job j7" in caplog.text


def test_a_number_that_another_process_has_now_is_not_its_owner(tmp_path):
    written(tmp_path, ticks=5)
    with locked(tmp_path):
        assert Owner.here({}).ticks == json.loads((tmp_path / NAME).read_text())["ticks"]


def test_a_silent_owner_elsewhere_is_given_up_and_a_live_one_is_not(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(module, "_STALE_SECONDS", 1.0)
    written(tmp_path, host="elsewhere", pid=1)
    with locked(tmp_path):
        assert "process 1 on elsewhere, started noon, silent for 1 s" in caplog.text
    written(tmp_path, host="elsewhere")
    refreshed = iter(range(1000))
    monkeypatch.setattr(module, "_version", lambda path: next(refreshed))
    with pytest.raises(UserError, match="on elsewhere"), locked(tmp_path):
        pass


def test_a_restarted_job_takes_its_own_lock_back_from_another_host(tmp_path, monkeypatch):
    written(tmp_path, host="elsewhere", job="j7")
    monkeypatch.setenv("TORCHX_JOB_ID", "j7")
    monkeypatch.setenv("TZX_RESTART_COUNT", "1")
    began = time.monotonic()
    with locked(tmp_path):
        assert time.monotonic() - began < module._STALE_SECONDS / 2


def test_a_lock_that_was_lost_is_noticed_and_left_alone(tmp_path):
    with locked(tmp_path) as lock:
        written(tmp_path, pid=1)
        with pytest.raises(UserError, match="has been taken over by process 1"):
            lock.check()
    assert json.loads((tmp_path / NAME).read_text())["pid"] == 1


def test_an_unreadable_lock_is_no_crash(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_STALE_SECONDS", 0.5)
    (tmp_path / NAME).write_text("{")
    with locked(tmp_path) as lock:
        lock.check()


def test_refreshing_changes_what_others_look_at(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_REFRESH_SECONDS", 0.02)
    with locked(tmp_path):
        os.utime(tmp_path / NAME, (1, 1))
        assert module._is_refreshed(tmp_path / NAME)
