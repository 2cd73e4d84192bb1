"""GPUs are dealt out to replicas; here with devices in name only."""

from collections.abc import Callable
from typing import Any

import pytest
from torchx.specs import AppDef, Resource

from tzx_schedulers._local_devices import split, visible_devices

SHOW = "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES'))"


def gpus(number: int) -> Resource:
    return Resource(cpu=1, gpu=number, memMB=1)


def test_split_prefers_free_devices() -> None:
    assert split([2, 1], ["0", "1", "2", "3"], set()) == [["0", "1"], ["2"]]
    assert split([2], ["0", "1", "2", "3"], {"0", "2"}) == [["1", "3"]]
    assert split([3], ["0", "1", "2", "3"], {"0", "1"}) == [["2", "3", "0"]]
    assert split([2, 3], ["0", "1", "2", "3"], set()) is None


def test_each_replica_has_its_own(local: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    app_id = local.run(SHOW, replicas=2, resource=gpus(2))[0]
    assert [local.log(app_id, n) for n in (0, 1)] == [["4,5\n"], ["6,7\n"]]


def test_another_running_job_keeps_its_devices(
    local: Any, monkeypatch: pytest.MonkeyPatch, until: Callable[..., Any]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    first = local.start(f"{SHOW}; import time; time.sleep(600)", resource=gpus(1))
    assert local.log(local.run(SHOW, resource=gpus(2))[0]) == ["1,2\n"]
    local.scheduler.cancel(first)
    local.wait(first)
    assert local.log(local.run(SHOW, resource=gpus(2))[0]) == ["0,1\n"]


def test_too_few_devices_are_a_warning(
    local: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert local.log(local.run(SHOW, resource=gpus(2))[0]) == ["0\n"]
    assert "asks for 2 GPUs, this machine has 1" in caplog.text


def test_jobs_without_gpus_and_switched_off(local: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert local.log(local.run(SHOW)[0]) == ["0,1\n"]
    off = {"auto_set_cuda_visible_devices": False}
    assert local.log(local.run(SHOW, off, resource=gpus(1))[0]) == ["0,1\n"]


def test_devices_are_counted_by_nvidia_smi(local: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_devices() == []
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: x)'\necho 'GPU 1: A (UUID: y)'\n")
    tool.chmod(0o755)
    assert visible_devices() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_devices() == []


def test_roles_share_the_devices(local: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    one, two = local.app(SHOW, resource=gpus(2)), local.app(SHOW, resource=gpus(1), name="other")
    two.roles[0].name = "helper"
    app_id = local.submit(AppDef("both", [*one.roles, *two.roles]))
    local.wait(app_id)
    assert [local.log(app_id), local.log(app_id, role="helper")] == [["0,1\n"], ["2\n"]]
