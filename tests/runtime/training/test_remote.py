"""A whole life of a model directory on an object store, here one in memory: train, resume, evaluate, prune, damage."""

import uuid

import fsspec
import pytest

from tzx.runtime.errors import UserError
from tzx.runtime.training import checkpoint as ckpt
from tzx.runtime.training.best import RESULTS
from tzx.runtime.training.jobs import TrainOptions, evaluate_checkpoint, train
from tzx.runtime.training.lock import NAME
from tzx.runtime.training.storage import location


@pytest.fixture
def bucket():
    url = f"memory://{uuid.uuid4().hex}"
    yield url
    fsspec.filesystem("memory").rm(url, recursive=True)


def test_training_into_a_bucket_and_going_on_from_it(config, bucket, caplog):
    config.model_dir = f"{bucket}/run"
    options = config.train_config
    options.ClearField("num_epochs")
    options.keep_checkpoint_max, options.num_steps, options.use_tensorboard = 2, 40, False
    train(config, TrainOptions())
    model_dir = location(config.model_dir)
    assert [p.name for p in ckpt.committed_checkpoints(config.model_dir)] == ["model.ckpt-30", "model.ckpt-40"]
    assert len((model_dir / RESULTS).read_text().splitlines()) == 3
    assert not (model_dir / NAME).exists()
    with pytest.raises(UserError, match="already holds a checkpoint"):
        train(config, TrainOptions())
    broken = model_dir / "model.ckpt-40" / "meta"
    broken.write_text(broken.read_text() + " ")
    options.num_steps = 45
    train(config, TrainOptions(continue_train=True))
    assert f"going back to the one before it: {broken} has" in caplog.text
    assert ckpt.resolve_checkpoint(config.model_dir).name == "model.ckpt-45"
    assert evaluate_checkpoint(config, None, "result.txt")["auc"] > 0.8
    assert (model_dir / "result.txt").is_file()


def test_what_is_no_store_says_so():
    with pytest.raises(UserError, match="nosuch://x: Protocol not known: nosuch"):
        location("nosuch://x")


def test_paths_behave_like_paths(bucket):
    path = location(f"{bucket}/a/b")
    assert (path.name, str(path.parent), str(path / "c")) == ("b", f"{bucket}/a", f"{bucket}/a/b/c")
    assert path == location(f"{bucket}/a/b/") and len({path, location(str(path))}) == 1
    (path / "c").write_text("é")
    assert (path / "c").read_text() == "é" and path.is_dir() and not path.is_file()
    assert [p.name for p in path.iterdir()] == ["c"]
    (path / "c").rename(path / "d")
    (path / "c").unlink(missing_ok=True)
    assert [p.name for p in path.iterdir()] == ["d"]
