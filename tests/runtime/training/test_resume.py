"""Resuming in places where state is easily forgotten, and what a second run over a finished one does."""

import json
import os
import signal

import pytest
import torch

from tzx.runtime.errors import Preempted
from tzx.runtime.features import FeatureSet
from tzx.runtime.models import build_model
from tzx.runtime.training import checkpoint as ckpt
from tzx.runtime.training import loop
from tzx.runtime.training.jobs import TrainOptions, train
from tzx.runtime.training.process import Process
from tzx.runtime.training.session import build_session
from tzx.runtime.training.settings import RunSettings
from tzx.runtime.training.tensor_files import load_tensors, load_unsharded, read_metadata


def train_to(config, steps, **options):
    config.train_config.ClearField("num_epochs")
    config.train_config.num_steps = steps
    train(config, TrainOptions(**options))


def weights(config, step):
    model = build_model(config, FeatureSet.from_config(config.feature_configs, config.data_config))
    load_unsharded(ckpt.resolve_checkpoint(f"{config.model_dir}/model.ckpt-{step}"), model)
    return model.state_dict()


def assert_resuming_is_exact(config, root, stop, end):
    config.eval_input_path = ""
    train_to(config, end)
    whole = weights(config, end)
    config.model_dir = str(root / "resumed")
    train_to(config, stop)
    train_to(config, end, continue_train=True)
    resumed = weights(config, end)
    assert [name for name in whole if not torch.equal(whole[name], resumed[name])] == []


def test_between_two_accumulated_updates(config, root):
    config.train_config.gradient_accumulation_steps = 3
    assert_resuming_is_exact(config, root, stop=10, end=15)


@pytest.mark.parametrize(
    "optimizer",
    [
        "adam_optimizer",
        "lars_sgd_optimizer",
        "lamb_optimizer",
        "partial_rowwise_lamb_optimizer",
        "partial_rowwise_adam_optimizer",
        "rowwise_adagrad_optimizer",
    ],
)
def test_with_every_table_optimizer(config, root, optimizer):
    getattr(config.train_config.sparse_optimizer, optimizer).lr = 0.05
    config.model_config.deepfm.wide_embedding_dim = 1
    assert_resuming_is_exact(config, root, stop=4, end=7)


def test_with_data_parallel_tables(config, root):
    config.train_config.sparse_optimizer.adam_optimizer.lr = 0.05
    config.feature_configs[0].id_feature.embedding_constraints.sharding_types.append("data_parallel")
    assert_resuming_is_exact(config, root, stop=4, end=7)


def test_evaluation_does_not_count_as_a_step_of_the_tables(config, root):
    config.train_config.sparse_optimizer.adam_optimizer.lr = 0.05
    config.train_config.save_checkpoints_steps = 2  # each is followed by an evaluation
    train_to(config, 6)
    often = weights(config, 6)
    config.model_dir, config.train_config.save_checkpoints_steps = str(root / "once"), 100
    train_to(config, 6)
    once = weights(config, 6)
    assert [name for name in once if not torch.equal(once[name], often[name])] == []


def test_with_dropout(config, root):
    config.model_config.deepfm.deep.dropout_ratio.append(0.3)
    assert_resuming_is_exact(config, root, stop=7, end=12)


def metric_state(config, step):
    folder = ckpt.resolve_checkpoint(f"{config.model_dir}/model.ckpt-{step}") / "train_metrics"
    entries = read_metadata(folder).state_dict_metadata
    state = {name: torch.zeros(tuple(e.size), dtype=e.properties.dtype) for name, e in entries.items()}
    assert load_tensors(folder, state) == []
    return state


def test_train_metrics_and_the_gradient_scaler_go_on_where_they_were(config, root):
    config.train_config.grad_scaler.init_scale = 64
    config.train_config.grad_scaler.growth_interval = 3
    assert_resuming_is_exact(config, root, stop=7, end=12)
    resumed, scaler = (
        metric_state(config, 12),
        ckpt.read_json(root / "resumed" / "model.ckpt-12" / "meta")["grad_scaler"],
    )
    config.model_dir = str(root / "run")
    whole = metric_state(config, 12)
    assert resumed.keys() == whole.keys() and len(whole) == 3
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    assert scaler == ckpt.read_json(root / "run" / "model.ckpt-12" / "meta")["grad_scaler"]
    assert scaler["scale"] == 64 * 2**4 and scaler["_growth_tracker"] == 0


def test_with_learned_weights_of_losses(config, root):
    config.model_config.use_uncertainty_loss_weight = True
    assert_resuming_is_exact(config, root, stop=7, end=12)
    assert weights(config, 12)["loss_weighting.log_variance"].abs().min() > 1e-3


def events(monkeypatch, run):
    """Steps at which `run` writes and removes checkpoints."""
    written, removed = [], []
    commit, remove = ckpt.commit, ckpt.remove
    monkeypatch.setattr(ckpt, "commit", lambda what, ranks: (written.append(what.path.name), commit(what, ranks)))
    monkeypatch.setattr(ckpt, "remove", lambda path: (removed.append(path), remove(path)))
    run()
    return written, removed


def test_continuing_a_finished_run_leaves_its_checkpoint_alone(config, root, monkeypatch, caplog):
    train_to(config, 4)
    assert "nothing is left to train" not in caplog.text
    results = root / "run" / "train_eval_result_v2.txt"
    before = results.read_text()
    assert events(monkeypatch, lambda: train_to(config, 4, continue_train=True)) == ([], [])
    assert results.read_text() == 2 * before  # it may have been killed before it could evaluate
    assert "nothing is left to train: train_config.num_steps is 4; raise it to go on" in caplog.text


def test_the_last_step_of_an_epoch_is_saved_once(config, root, monkeypatch):
    config.train_config.save_checkpoints_steps = 25  # an epoch has as many
    written, removed = events(monkeypatch, lambda: train(config, TrainOptions()))
    assert (written, removed) == (["model.ckpt-25", "model.ckpt-50"], [])
    lines = (root / "run" / "train_eval_result_v2.txt").read_text().splitlines()
    assert [json.loads(line)["global_step"] for line in lines] == [25, 50]
    assert events(monkeypatch, lambda: train(config, TrainOptions(continue_train=True))) == ([], [])


def sigterm_when(monkeypatch, name, condition):
    """Send this process SIGTERM in the middle of the loop's method `name`."""
    method = getattr(loop.TrainingLoop, name)

    def signalled(self, *args):
        if condition(self._session.step):
            os.kill(os.getpid(), signal.SIGTERM)
        return method(self, *args)

    monkeypatch.setattr(loop.TrainingLoop, name, signalled)


def test_sigterm_during_an_evaluation_does_not_wait_for_its_end(config, root, monkeypatch):
    sigterm_when(monkeypatch, "_checkpoint", lambda step: step == 15)
    with pytest.raises(Preempted, match=r"while evaluating .*model\.ckpt-15; go on with --continue_train"):
        train(config, TrainOptions())
    assert [p.name for p in ckpt.committed_checkpoints(root / "run")] == ["model.ckpt-15"]
    assert not (root / "run" / "train_eval_result_v2.txt").exists()


def test_sigterm_before_the_first_step_and_between_epochs_is_not_lost(config, root, monkeypatch):
    for step in (0, 25):
        with monkeypatch.context() as patch, pytest.raises(Preempted, match=f"at step {step};"):
            sigterm_when(patch, "_run_epoch", lambda reached, step=step: reached == step)
            train(config, TrainOptions(continue_train=step > 0))


def test_averages_count_only_after_their_first_update(config):
    config.train_config.dense_optimizer.ema.decay = 0.5
    process = Process()
    process.join_group()
    try:
        session = build_session(config, process, RunSettings(), training=True)
        name, parameter = next(iter(session.ema._parameters.items()))
        with torch.no_grad():
            parameter.add_(1.0)
        with session.averaged(True):
            assert not torch.equal(parameter, session.ema.tensors[name])
        session.ema.update()
        with torch.no_grad():
            parameter.add_(1.0)
        with session.averaged(True):
            assert torch.equal(parameter, session.ema.tensors[name])
    finally:
        process.leave_group()
