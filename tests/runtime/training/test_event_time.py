"""Checkpoints by the time of events, on one process and on two, and after a kill."""

import signal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from comparing import assert_same
from rank_runner import into

from tzx.runtime.config import parse_text
from tzx.runtime.errors import DataError
from tzx.runtime.protos.train_pb2 import TrainConfig
from tzx.runtime.training import checkpoint as ckpt
from tzx.runtime.training.event_time import is_save_due, time_of_step
from tzx.runtime.training.jobs import TrainOptions, train

DAY = 86_400
START = 19_000 * DAY  # a midnight


@pytest.mark.parametrize(
    ("times", "quorum", "expected"),
    [
        ([7], 0.5, 7),
        ([5, 9], 0.5, 9),  # one of two has reached 9
        ([5, 9], 1.0, 5),
        ([1, 2, 3, 4], 0.5, 3),
        ([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 0.6000000238, 5),  # 0.6 as a float has it
        ([5, 0, 9], 1.0, 5),  # the one without rows does not count
        ([0, 0], 0.5, 0),
        ([5, 9], 0.0, 9),
    ],
)
def test_time_of_step(times, quorum, expected):
    assert time_of_step(times, quorum) == expected


def test_when_a_save_is_due():
    every = TrainConfig(save_checkpoints_timestamp_interval=10)
    assert [now for now in range(1, 50) if is_save_due(every, now - 1, now)] == [10, 20, 30, 40]
    assert is_save_due(every, 8, 35) and not is_save_due(every, 11, 19)
    assert not is_save_due(every, 0, 35)  # the first time is only where to count from
    at = TrainConfig(save_checkpoints_timestamps=[15, 30])
    assert [now for now in range(2, 50) if is_save_due(at, now - 1, now)] == [15, 30]
    assert not is_save_due(TrainConfig(), 8, 35)


@pytest.fixture
def text(root, config_text):
    """Ten days of a thousand rows, a hundred each, in their order; saves by event time alone."""
    table = pq.read_table(root / "train0.parquet").slice(0, 1000)
    times = START + np.arange(1000) * (DAY // 100)
    pq.write_table(table.append_column("at", pa.array(times * 1000)), root / "timed.parquet", row_group_size=70)
    for old, new in {
        f'eval_input_path: "{root}/eval.parquet"': 'eval_input_path: ""',
        "train*.parquet": "timed.parquet",
        "num_epochs: 2": f"num_epochs: 1 use_tensorboard: false save_checkpoints_timestamp_interval: {DAY}",
        "save_checkpoints_steps: 15": "save_checkpoints_steps: 0",
        "batch_size: 100": 'batch_size: 20 event_time_field: "at" event_time_ticks_per_second: 1000',
        "shuffle: true": "shuffle: false",
        "train_metrics { auc {} decay_step: 5 }": "",
    }.items():
        assert old in config_text
        config_text = config_text.replace(old, new)
    return config_text


def steps(model_dir):
    return [ckpt.step_of(path) for path in ckpt.committed_checkpoints(model_dir)]


def test_a_day_of_events_is_a_checkpoint_in_every_epoch(text, tmp_path):
    train(parse_text(text.replace("num_epochs: 1", "num_epochs: 2"), "test.config"), TrainOptions())
    # a batch is a fifth of a day; the first of a new day brings the save, the run's end another
    assert steps(tmp_path / "run") == [*range(6, 50, 5), *range(56, 100, 5), 100]


def test_a_run_that_ended_just_before_midnight_saves_when_it_goes_on(text, tmp_path):
    train(parse_text(text.replace("num_epochs: 1", "num_steps: 10"), "test.config"), TrainOptions())
    train(parse_text(text, "test.config"), TrainOptions(continue_train=True))
    assert steps(tmp_path / "run") == sorted([10, *range(6, 50, 5), 50])


def test_given_times(text, tmp_path):
    times = f"save_checkpoints_timestamps: [{START - DAY}, {START + DAY // 2}, {START + 99 * DAY}]"
    train(parse_text(text.replace(f"save_checkpoints_timestamp_interval: {DAY}", times), "test.config"), TrainOptions())
    assert steps(tmp_path / "run") == [3, 50]


@pytest.mark.parametrize(
    ("name", "message"),
    [("att", r"no column 'att'; did you mean 'at'"), ("item", r"event_time_field 'item' has type string")],
)
def test_a_column_that_has_no_times(text, name, message):
    with pytest.raises(DataError, match=message):
        train(parse_text(text.replace('"at"', f'"{name}"'), "test.config"), TrainOptions())


@pytest.mark.slow
@pytest.mark.parametrize(("quorum", "first"), [(0.5, 6), (1.0, 6)])
def test_two_ranks_save_together_and_so_they_do_after_a_kill(runner, text, tmp_path, quorum, first):
    """Rank 0 has the first five days, rank 1 the last five: with the later of both times, or the earlier."""
    text = text.replace("use_tensorboard", f"save_checkpoints_timestamp_quorum: {quorum} use_tensorboard")
    assert runner.run(into(text, tmp_path / "whole"), 2) == [0, 0], runner.log()
    assert steps(tmp_path / "whole") == [*range(first, 25, 5), 25]
    cut = into(text, tmp_path / "cut")
    assert runner.run(cut, 2, faults={1: ("kill", 18)})[1] == -signal.SIGKILL
    assert runner.run(cut, 2) == [0, 0], runner.log()
    assert steps(tmp_path / "cut") == steps(tmp_path / "whole")
    assert_same(*(ckpt.find_intact(tmp_path / name) for name in ("whole", "cut")))


@pytest.mark.slow
def test_a_stopped_run_saves_at_the_times_at_which_it_would_have(runner, text, tmp_path):
    cut = into(text, tmp_path / "cut")
    assert 143 in runner.run(cut, 2, faults={0: ("term", 9)}, watch=True)
    stopped = steps(tmp_path / "cut")[-1]
    assert stopped in (9, 10)
    assert runner.run(cut, 2) == [0, 0], runner.log()
    assert steps(tmp_path / "cut") == [6, stopped, *range(11, 25, 5), 25]
