"""Saving beside the training: same results, one at a time, and a failure that does not stay unnoticed."""

import threading

import pytest
import torch
import torch.distributed as dist

from tzx.runtime.errors import StorageError
from tzx.runtime.features import FeatureSet
from tzx.runtime.models import build_model
from tzx.runtime.training import checkpoint as ckpt
from tzx.runtime.training import saving
from tzx.runtime.training.jobs import TrainOptions, train
from tzx.runtime.training.staging import Staging
from tzx.runtime.training.tensor_files import load_unsharded


@pytest.fixture
def short(config):
    config.eval_input_path = ""
    config.train_config.ClearField("num_epochs")
    config.train_config.num_steps = 12
    config.train_config.save_checkpoints_steps = 3
    return config


def weights(config, step):
    model = build_model(config, FeatureSet.from_config(config.feature_configs, config.data_config))
    load_unsharded(ckpt.resolve_checkpoint(f"{config.model_dir}/model.ckpt-{step}"), model)
    return model.state_dict()


def test_every_checkpoint_saved_beside_equals_the_one_saved_in_the_way(short, root, monkeypatch):
    train(short, TrainOptions())
    in_the_way = {step: weights(short, step) for step in (3, 6, 9, 12)}
    commit = ckpt.commit

    def late(snapshot, ranks):  # not before the training has gone on, which must not show in what is written
        if threading.current_thread().name == "tzx-save":
            stepped.wait(10)
        commit(snapshot, ranks)

    stepped = threading.Event()
    monkeypatch.setattr(ckpt, "commit", late)
    step = torch.optim.Adam.step
    monkeypatch.setattr(torch.optim.Adam, "step", lambda *a, **k: (step(*a, **k), stepped.set()))
    short.model_dir = str(root / "beside")
    short.train_config.save_checkpoints_async = True
    train(short, TrainOptions())
    for number, expected in in_the_way.items():
        found = weights(short, number)
        assert [name for name in expected if not torch.equal(found[name], expected[name])] == []


def test_a_failed_save_ends_the_training_at_the_next_one_and_keeps_the_last_good(short, root, monkeypatch):
    commit = ckpt.commit

    def full(snapshot, ranks):
        if ckpt.step_of(snapshot.path) == 6:
            raise StorageError("cannot write it: No space left on device")
        commit(snapshot, ranks)

    monkeypatch.setattr(ckpt, "commit", full)
    short.train_config.save_checkpoints_async = True
    with pytest.raises(StorageError, match="No space left on device") as caught:
        train(short, TrainOptions())
    assert caught.value.exit_code == 74
    assert [p.name for p in ckpt.committed_checkpoints(root / "run")] == ["model.ckpt-3"]
    assert not [t for t in threading.enumerate() if t.name == "tzx-save"]


def test_only_one_save_is_under_way(short, monkeypatch):
    running, most, commit = [0], [0], ckpt.commit

    def counted(snapshot, ranks):
        running[0] += 1
        most[0] = max(most[0], running[0])
        commit(snapshot, ranks)
        running[0] -= 1

    monkeypatch.setattr(saving.ckpt, "commit", counted)
    short.train_config.save_checkpoints_async = True
    short.train_config.save_checkpoints_steps = 1
    train(short, TrainOptions())
    assert most == [1]


def test_copies_do_not_follow_the_originals_and_memory_is_kept(tmp_path):
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        from torch.distributed._shard.sharded_tensor import Shard, ShardedTensor

        part = torch.arange(6.0).view(3, 2)
        shard = Shard.from_tensor_and_offsets(part, [0, 0], 0)
        sharded = ShardedTensor._init_from_local_shards([shard], 3, 2)
        tensors = {"plain": torch.ones(2), "sharded": sharded}
        staging = Staging()
        snapshot = ckpt.Snapshot(tmp_path / "model.ckpt-1", {"model": tensors}, {})
        copied = staging.copy(snapshot).folders["model"]
        where = copied["plain"].data_ptr(), copied["sharded"].local_shards()[0].tensor.data_ptr()
        part += 1
        tensors["plain"].zero_()
        assert copied["plain"].tolist() == [1, 1]
        assert copied["sharded"].local_shards()[0].tensor.tolist() == (part - 1).tolist()
        again = staging.copy(snapshot).folders["model"]
        assert (again["plain"].data_ptr(), again["sharded"].local_shards()[0].tensor.data_ptr()) == where
        ckpt.commit(ckpt.Snapshot(tmp_path / "model.ckpt-1", {"model": again}, {}))
        loaded = {"plain": torch.ones(2), "sharded": torch.zeros(3, 2)}
        from tzx.runtime.training.tensor_files import load_tensors

        assert load_tensors(tmp_path / "model.ckpt-1" / "model", loaded) == []
        assert loaded["sharded"].tolist() == part.tolist() and loaded["plain"].tolist() == [0, 0]
    finally:
        dist.destroy_process_group()
