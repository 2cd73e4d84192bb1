"""A job goes on with what it has begun, whatever its counts of restarts say; another job does not."""

from pathlib import Path

import pytest

from tzx.runtime.errors import UserError
from tzx.runtime.training.jobs import TrainOptions, train
from tzx.runtime.training.ownership import begun_by_this_job, note_job

JOB = {"TORCHX_JOB_ID": "kubernetes://torchx/ml:train-x"}


def test_a_directory_knows_its_job(tmp_path: Path) -> None:
    assert not begun_by_this_job(tmp_path, JOB)
    note_job(tmp_path, JOB)
    assert begun_by_this_job(tmp_path, JOB)
    assert not begun_by_this_job(tmp_path, {"TORCHX_JOB_ID": "kubernetes://torchx/ml:train-y"})
    assert not begun_by_this_job(tmp_path, {})
    note_job(tmp_path, {})
    assert begun_by_this_job(tmp_path, JOB)


def test_a_replaced_pod_goes_on_with_its_checkpoint(config, root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHX_JOB_ID", JOB["TORCHX_JOB_ID"])
    monkeypatch.setenv("TZX_RESTART_COUNT", "0")  # the cluster does not count a pod it has taken away
    train(config, TrainOptions())
    before = sorted(path.name for path in (root / "run").glob("model.ckpt-*"))
    train(config, TrainOptions())
    assert sorted(path.name for path in (root / "run").glob("model.ckpt-*")) == before
    monkeypatch.setenv("TORCHX_JOB_ID", "kubernetes://torchx/ml:another")
    with pytest.raises(UserError, match="already holds a checkpoint"):
        train(config, TrainOptions())
