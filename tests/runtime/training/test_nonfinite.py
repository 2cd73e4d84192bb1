"""A loss that is no number stops the training before it reaches a parameter, or costs a batch; both say where from."""

import logging
import re

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from comparing import pieces
from rank_runner import Job, into, train_on

from tzx.runtime.config import parse_text
from tzx.runtime.errors import DataError
from tzx.runtime.features import FeatureSet
from tzx.runtime.models import build_model
from tzx.runtime.protos import train_pb2
from tzx.runtime.training import checkpoint as ckpt
from tzx.runtime.training.jobs import TrainOptions, train
from tzx.runtime.training.loop import TrainingLoop
from tzx.runtime.training.tensor_files import load_unsharded


@pytest.fixture
def poisoned(config, root):
    """Row 613 of train1.parquet has an infinite price; rows come in the order of the files."""
    path = root / "train1.parquet"
    table = pq.read_table(path)
    price = table["price"].to_numpy().copy()
    price[613] = np.inf
    pq.write_table(table.set_column(2, "price", [price]), path, row_group_size=400)
    config.eval_input_path = ""
    config.data_config.shuffle = False
    config.train_config.ClearField("num_epochs")
    config.train_config.num_steps = 25
    return config


def finite_weights(config, step):
    model = build_model(config, FeatureSet.from_config(config.feature_configs, config.data_config))
    load_unsharded(ckpt.resolve_checkpoint(f"{config.model_dir}/model.ckpt-{step}"), model)
    return all(p.isfinite().all() for p in model.parameters())


def test_it_stops_and_names_step_loss_feature_file_and_row(poisoned, root):
    expected = (
        r"step 22: binary_cross_entropy is .*, because of feature price in .*train1\.parquet.*row 613; .*NAN_LOSS_SKIP"
    )
    with pytest.raises(DataError, match=expected) as caught:
        train(poisoned, TrainOptions())
    assert caught.value.exit_code == 65
    assert [p.name for p in ckpt.committed_checkpoints(root / "run")] == ["model.ckpt-15"]


def test_it_can_be_left_out(poisoned, caplog):
    poisoned.train_config.nan_loss_policy = train_pb2.NAN_LOSS_SKIP
    train(poisoned, TrainOptions())
    assert caplog.text.count("the batch is left out") == 1 and "because of feature price in" in caplog.text
    assert finite_weights(poisoned, 25)


def steps_that_move_nothing(job: Job) -> None:
    """Steps after which neither a table, nor its state, nor a dense parameter has changed, all of them on one line."""
    step, still = TrainingLoop._step, []

    def watched(loop, batch):
        def now():
            return [*pieces(loop._session).values(), *(p.detach().clone() for p in loop._session.model.parameters())]

        before = now()
        losses = step(loop, batch)
        if all(map(torch.equal, before, now())):
            still.append(loop._session.step)
        return losses

    TrainingLoop._step = watched
    train_on(job)
    logging.warning("still: %s", still)


@pytest.mark.slow
def test_a_batch_that_one_of_two_ranks_cannot_use_is_left_out_by_both(runner, config_text, poisoned, tmp_path):
    text = config_text.replace("num_epochs: 2", "num_epochs: 1 nan_loss_policy: NAN_LOSS_SKIP")
    text = text.replace("shuffle: true", "shuffle: false").replace(f"{tmp_path}/eval.parquet", "")
    assert runner.run(into(text, tmp_path / "skip"), 2, action=steps_that_move_nothing) == [0, 0], runner.log()
    assert runner.log().count("because of feature price in") == runner.log().count("is left out") == 1
    (one,) = set(re.findall(r"still: \[(\d+)\]", runner.log()))
    assert runner.log().count(f"still: [{one}]") == 2 and f"step {one}: binary_cross_entropy" in runner.log()
    assert finite_weights(parse_text(into(text, tmp_path / "skip"), "skip.config"), 13)
    stop = into(text.replace("NAN_LOSS_SKIP", "NAN_LOSS_STOP"), tmp_path / "stop")
    assert 65 in runner.run(stop, 2), runner.log()


def test_it_can_be_ignored(poisoned):
    poisoned.train_config.nan_loss_policy = train_pb2.NAN_LOSS_IGNORE
    train(poisoned, TrainOptions())
    assert not finite_weights(poisoned, 25)


def test_a_model_that_diverges_is_not_blamed_on_the_data(config):
    config.eval_input_path = ""
    config.train_config.dense_optimizer.adam_optimizer.lr = 1e30
    config.train_config.sparse_optimizer.adagrad_optimizer.lr = 1e30
    with pytest.raises(DataError, match=r"step \d+: .*though all features and labels are finite; is a learning rate"):
        train(config, TrainOptions())


def test_where_looking_costs_a_wait_it_is_done_at_the_cadence_of_logs(poisoned, monkeypatch):
    from tzx.runtime.training import nonfinite

    make = nonfinite.LossGuard.__init__
    monkeypatch.setattr(
        nonfinite.LossGuard, "__init__", lambda self, *a: (make(self, *a), setattr(self, "_at_once", False))[0]
    )
    with pytest.raises(DataError, match=r"a loss was not finite in a step up to step 25; .* log_step_count_steps: 1"):
        train(poisoned, TrainOptions())
    assert ckpt.latest_checkpoint(poisoned.model_dir).name == "model.ckpt-15"


def test_every_kind_of_input_is_looked_at():
    from types import SimpleNamespace

    from tzx.runtime.training.nonfinite import nonfinite_inputs

    nan = float("nan")
    layout = SimpleNamespace(dense=("d",), weighted_ids=("w", "v"))
    batch = SimpleNamespace(
        layout=layout,
        size=3,
        dense_of=lambda name: torch.tensor([[0.0, 1.0], [nan, 0.0], [nan, 0.0]]),
        weighted_ids=SimpleNamespace(
            weights=torch.tensor([1.0, 1.0, 1.0, nan]), lengths=torch.tensor([0, 1, 1, 0, 1, 1], dtype=torch.int32)
        ),
        sequences={
            "s": SimpleNamespace(values=torch.tensor([[1.0], [nan]]), seq_lengths=torch.tensor([1, 0, 1])),
            "ids": SimpleNamespace(values=torch.tensor([1])),
        },
        labels={"y": torch.tensor([0, 1, 1]), "z": torch.tensor([nan, 0.0, 0.0])},
        sample_weights={"p": torch.tensor([1.0, 1.0, float("inf")])},
    )
    assert list(nonfinite_inputs(batch)) == [
        ("feature d", 1),
        ("weights of feature v", 2),
        ("feature s", 2),
        ("label z", 0),
        ("sample weight p", 2),
    ]
