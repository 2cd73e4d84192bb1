"""Real processes that train together: killed anywhere, hung, moved to other numbers of them, stopped through one."""

import random
import signal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from comparing import assert_same
from rank_runner import Job, into

from tzx.runtime.config import parse_text
from tzx.runtime.training import checkpoint as ckpt
from tzx.runtime.training import peers, state
from tzx.runtime.training.process import Process
from tzx.runtime.training.session import build_session
from tzx.runtime.training.settings import RunSettings

pytestmark = pytest.mark.slow

STEPS = 150
ROWS = 100_000


def save_again(job: Job) -> None:
    """Restore the newest checkpoint on these ranks and write what they hold into `<model_dir>-moved`."""
    config, process = parse_text(job.config, "job.config"), Process.from_env()
    session = build_session(config, process, RunSettings(), training=True)
    newest = ckpt.find_intact(config.model_dir)
    state.restore(session, newest)
    state.load_optimizers(session, newest)
    config.model_dir += "-moved"
    ckpt.commit(state.snapshot(session))


@pytest.fixture
def text(config_text):
    """150 steps of two processes, a checkpoint every 25, nothing else."""
    wanted = {
        "num_epochs: 2": f"num_steps: {STEPS} use_tensorboard: false keep_checkpoint_max: 2",
        "save_checkpoints_steps: 15": "save_checkpoints_steps: 25",
        "batch_size: 100": "batch_size: 14",
        "train_metrics { auc {} decay_step: 5 }": "",
    }
    lines = [line for line in config_text.splitlines() if not line.startswith("eval_input_path")]
    text = "\n".join(['eval_input_path: ""', *lines])
    for old, new in wanted.items():
        assert old in text
        text = text.replace(old, new)
    return text


def pytest_generate_tests(metafunc):
    """The full number of kills comes in parts, so that each can be run by itself."""
    if "part" in metafunc.fixturenames:
        metafunc.parametrize("part", range(10 if metafunc.config.option.soak else 1))


def faults_of(part: int, trials: int, steps: int) -> list[tuple[str, int]]:
    """Where to kill: every fourth time within a save, else at or a little after the start of a step."""
    rng, saves = random.Random(part), steps // 25
    in_save = [("kill at a sync", rng.randint(2, 4 * saves)), ("kill at a write", rng.randint(1, 700 * saves))]
    return [
        in_save[(part + trial // 4) % 2]
        if trial % 4 == 0
        else (("kill", "kill soon")[trial % 2], rng.randint(1, steps - 10))
        for trial in range(trials)
    ]


def test_killed_anywhere_a_run_ends_bit_for_bit_as_if_it_had_not_been(runner, text, tmp_path, request, part):
    trials, steps = (5, 300) if request.config.option.soak else (8, STEPS)
    text = text.replace(f"num_steps: {STEPS}", f"num_steps: {steps}")
    assert runner.run(into(text, tmp_path / "whole"), 2) == [0, 0], runner.log()
    whole = ckpt.find_intact(tmp_path / "whole")
    for trial, fault in enumerate(faults_of(part, trials, steps)):
        rank = (part + trial) % 2
        config = into(text, tmp_path / f"killed{trial}")
        codes = runner.run(config, 2, faults={rank: fault})
        assert codes[rank] == -signal.SIGKILL, (fault, codes, runner.log())
        left = tmp_path / f"killed{trial}"
        torn = [path for path in left.glob("model.ckpt-*") if not (path / "COMMITTED").exists()]
        assert len(torn) == 1 or fault[0] != "kill at a write"
        assert runner.run(config, 2) == [0, 0], (fault, runner.log())
        newest = ckpt.find_intact(left)
        assert ckpt.step_of(newest) == steps
        assert_same(whole, newest)
        assert "Traceback" not in runner.log()


def test_two_ranks_save_beside_the_training_and_leave_together_when_one_cannot(runner, text, tmp_path):
    short = text.replace(f"num_steps: {STEPS}", "num_steps: 100")
    beside = short.replace("keep_checkpoint_max: 2", "keep_checkpoint_max: 2 save_checkpoints_async: true")
    assert runner.run(into(short, tmp_path / "way"), 2) == [0, 0], runner.log()
    assert runner.run(into(beside, tmp_path / "beside"), 2) == [0, 0], runner.log()
    assert_same(ckpt.find_intact(tmp_path / "way"), ckpt.find_intact(tmp_path / "beside"))
    codes = runner.run(into(beside, tmp_path / "full"), 2, faults={1: ("full", 9)}, watch=True)
    assert codes == [74, 74], runner.log()
    assert "StorageError" in runner.log() and "No space left on device" in runner.log()
    assert ckpt.step_of(ckpt.find_intact(tmp_path / "full")) in (25, 50)


def test_a_rank_that_is_killed_is_named_by_the_others(runner, text, tmp_path):
    codes = runner.run(into(text, tmp_path / "run"), 2, faults={1: ("kill", 40)}, watch=True)
    assert codes == [75, -signal.SIGKILL]
    assert "TransientError: lost the connection to rank 1 (process" in runner.log()


def test_a_rank_that_hangs_ends_the_others_which_name_it(runner, text, tmp_path):
    codes = runner.run(into(text, tmp_path / "run"), 2, faults={1: ("hang", 40)}, watch=True, silence=6.0)
    assert codes == [75, -signal.SIGKILL]
    assert "no sign of life from rank 1 (process" in runner.log()


def test_no_rank_waits_for_a_minute_for_one_that_is_gone():
    assert peers._GONE_SECONDS + peers._NAMING_SECONDS + 2 * peers._BEAT_SECONDS < 60


def test_one_rank_that_is_told_to_stop_stops_all_at_the_same_step(runner, text, tmp_path):
    codes = runner.run(into(text, tmp_path / "run"), 2, faults={1: ("term", 40)}, watch=False)
    assert 143 in codes
    assert ckpt.step_of(ckpt.find_intact(tmp_path / "run")) in (40, 41)


def test_a_stop_reaches_a_rank_that_waits_for_data(runner, text, tmp_path):
    faults = {0: ("dry", 5), 1: ("term", 5)}
    assert runner.run(into(text, tmp_path / "run"), 2, faults=faults, watch=True) == [143, 143], runner.log()
    assert ckpt.step_of(ckpt.find_intact(tmp_path / "run")) == 5


def test_moved_between_numbers_of_ranks_in_mid_epoch_each_row_is_seen_once_and_all_state_stays(
    runner, text, tmp_path, root
):
    rng = np.random.default_rng(1)
    for name, rows in (("train0", 60_000), ("train1", 0), ("train2", ROWS - 60_001), ("train3", 1)):
        columns = {"user": rng.integers(0, 50, rows), "item": [f"i{i}" for i in rng.integers(0, 50, rows)]}
        columns |= {"price": rng.normal(size=rows).astype(np.float32), "label": rng.integers(0, 2, rows)}
        schema = pa.schema([("user", "int64"), ("item", "string"), ("price", "float32"), ("label", "int64")])
        table = pa.table(columns, schema=schema)
        pq.write_table(table, root / f"{name}.parquet", row_group_size=60_000)  # fewer groups than ranks
    for old, new in {
        "batch_size: 14": "batch_size: 500",
        "adagrad_optimizer": "partial_rowwise_adam_optimizer",  # state by number and state by row
        "num_buckets: 50": 'num_buckets: 50 embedding_constraints { sharding_types: "row_wise" }',
    }.items():
        text = text.replace(old, new)
    config = into(text, tmp_path / "run")
    for world, steps in ((2, 20), (1, 50), (4, 70), (2, 10_000)):
        until = f"num_steps: {steps}" if steps < 10_000 else "num_epochs: 1"
        codes = runner.run(
            config.replace(f"num_steps: {STEPS}", until), world, keep=str(tmp_path / f"rows{world}-{steps}")
        )
        assert codes == [0] * world, runner.log()
        newest = ckpt.find_intact(tmp_path / "run")
        for other in (1, 2, 4):
            assert runner.run(config, other, action=save_again) == [0] * other, runner.log()
            moved = ckpt.find_intact(tmp_path / "run-moved")
            assert_same(newest, moved)
            ckpt.remove(moved)
    seen = [np.frombuffer(path.read_bytes(), np.int64) for path in tmp_path.glob("rows*")]
    assert len(seen) == 9
    assert np.array_equal(np.sort(np.concatenate(seen)), np.arange(ROWS))
