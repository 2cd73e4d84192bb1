"""What is taken from another checkpoint, by whom it was made, and what is said about it."""

import json

import pytest
import torch

from tzx.runtime.errors import UserError
from tzx.runtime.features import FeatureSet
from tzx.runtime.models import build_model
from tzx.runtime.training import checkpoint as ckpt
from tzx.runtime.training.fine_tuning import REPORT, find_source, translate
from tzx.runtime.training.jobs import TrainOptions, train
from tzx.runtime.training.tensor_files import load_unsharded, save_tensors


@pytest.fixture
def tuned(config, root):
    """A config whose training leaves parameters as they are."""
    config.eval_input_path = ""
    config.train_config.ClearField("num_epochs")
    config.train_config.num_steps = 1
    config.train_config.dense_optimizer.adam_optimizer.lr = 0.0
    config.train_config.sparse_optimizer.adagrad_optimizer.lr = 0.0
    config.model_dir = str(root / "tuned")
    return config


def parameters(config):
    return dict(
        build_model(config, FeatureSet.from_config(config.feature_configs, config.data_config)).named_parameters()
    )


def torcheasyrec_name(name):
    if ".collection." in name:
        return f"model.embedding_group.emb_impls.__BASE__.ebc.{name.partition('.collection.')[2]}"
    return f"model.{name}"


def test_torcheasyrecs_layout_and_names_are_read(tuned, root, caplog):
    source = root / "theirs" / "model.ckpt-7"
    saved = {torcheasyrec_name(name): torch.full_like(p, 0.25) for name, p in parameters(tuned).items()}
    source.mkdir(parents=True)
    save_tensors(source / "model", saved | {"model.gone": torch.ones(1)})
    tuned.train_config.fine_tune_checkpoint = str(root / "theirs")
    train(tuned, TrainOptions())
    model = build_model(tuned, FeatureSet.from_config(tuned.feature_configs, tuned.data_config))
    load_unsharded(root / "tuned" / "model.ckpt-1", model)
    assert {name for name, p in model.named_parameters() if not (p == 0.25).all()} == set()
    report = json.loads((root / "tuned" / REPORT).read_text())
    assert report["checkpoint"] == str(source) and report["left"] == {} and report["unused"] == ["model.gone"]
    assert set(report["taken"].values()) == set(saved)
    assert "was not made by tzx" in caplog.text
    assert find_source(str(source)) == source
    (source / "model" / ".metadata").unlink()
    with pytest.raises(UserError):
        find_source(str(root / "theirs"))


def test_what_does_not_fit_is_listed_with_the_reason(tuned, root):
    saved = {name: torch.zeros_like(p) for name, p in parameters(tuned).items()}
    table = next(name for name in saved if name.endswith("user_emb.weight"))
    gone = next(name for name in saved if name.endswith("bias"))
    saved[table] = torch.zeros(3, 8)
    del saved[gone]
    ckpt.commit(ckpt.Snapshot(root / "ours" / "model.ckpt-3", {"model": saved}, {}))
    tuned.train_config.fine_tune_checkpoint = str(root / "ours")
    train(tuned, TrainOptions())
    report = json.loads((root / "tuned" / REPORT).read_text())
    assert report["left"] == {
        table: "(shape (3, 8) in the checkpoint, (50, 8) in the model)",
        gone: "(not in the checkpoint)",
    }
    assert report["unused"] == [table]


def test_names_are_translated_only_where_there_is_no_doubt():
    saved = [
        "model.a.ebc.embedding_bags.t.weight",
        "model.a.ec.embeddings.s.weight",
        "model.b.embeddings.s.weight",
        "w",
    ]
    wanted = ["x.collection.embedding_bags.t.weight", "x.collection.embeddings.s.weight", "w", "mlp.0.weight"]
    assert translate(wanted, saved) == {wanted[0]: saved[0]}
