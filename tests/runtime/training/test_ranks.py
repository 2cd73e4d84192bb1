"""Real processes that train together: killed anywhere, hung, moved to other numbers of them, stopped through one.

They are forked from a server that has imported torch already, which makes starting one a matter of milliseconds.
"""

import errno
import logging
import multiprocessing
import os
import random
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torch.distributed as dist

from tzx.runtime.config import parse_text
from tzx.runtime.errors import TzxError
from tzx.runtime.training import checkpoint as ckpt
from tzx.runtime.training import jobs, peers, state
from tzx.runtime.training.loop import TrainingLoop
from tzx.runtime.training.process import Process
from tzx.runtime.training.session import build_session
from tzx.runtime.training.settings import RunSettings
from tzx.runtime.training.tensor_files import load_tensors, read_metadata

pytestmark = pytest.mark.slow

STEPS = 300
ROWS = 100_000


@dataclass
class Job:
    """What each process is to do."""

    config: str
    world: int
    store: str
    log: str  # one file for each rank
    faults: dict[int, tuple[str, int]] = field(default_factory=dict)  # rank -> what to do at which step or sync
    keep: str = ""  # where each rank notes the rows it trained on
    action: str = "train"


def main(rank: int, job: Job) -> None:
    """The process of one rank; its exit code is that of the train app."""
    logging.basicConfig(filename=f"{job.log}.{rank}", format="%(message)s", force=True)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(job.world), "LOCAL_WORLD_SIZE": str(job.world)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{job.store}", rank=rank, world_size=job.world)
    peers._GONE_SECONDS, peers._BEAT_SECONDS = 6.0, 0.3
    prepare(*job.faults.get(rank, ("", 0)))
    note_rows(job, rank)
    code = 0
    try:
        ACTIONS[job.action](job)
    except TzxError as error:
        logging.error("%s: %s", type(error).__name__, error)
        code = error.exit_code
    os._exit(code)


def prepare(fault: str, number: int) -> None:
    """Arrange for this process to be killed, stopped or signalled at a step, or killed at a sync of a save."""
    calls = [0]

    def strike(function):
        def struck(*args, **kwargs):
            calls[0] += 1
            if calls[0] == number:
                os.kill(os.getpid(), {"hang": signal.SIGSTOP, "term": signal.SIGTERM}.get(fault, signal.SIGKILL))
            return function(*args, **kwargs)

        return struck

    def full(function):
        def fails(*args, **kwargs):
            calls[0] += 1
            if calls[0] >= number:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return function(*args, **kwargs)

        return fails

    if fault == "kill in a save":
        os.fsync = strike(os.fsync)
    elif fault == "full":
        os.fsync = full(os.fsync)
    elif fault:
        TrainingLoop._step = strike(TrainingLoop._step)


def note_rows(job: Job, rank: int) -> None:
    step = TrainingLoop._step

    def noted(self, batch, filling):
        if job.keep and not filling:
            with open(f"{job.keep}.{rank}", "ab") as file:
                file.write(batch.rows.tobytes())
        return step(self, batch, filling)

    TrainingLoop._step = noted


def train_on(job: Job) -> None:
    config = parse_text(job.config, "job.config")
    jobs.train(config, jobs.TrainOptions(continue_train=True))


def save_again(job: Job) -> None:
    """Restore the newest checkpoint on these ranks and write what they hold into `<model_dir>-moved`."""
    config, process = parse_text(job.config, "job.config"), Process.from_env()
    session = build_session(config, process, RunSettings(), training=True)
    newest = ckpt.find_intact(config.model_dir)
    state.restore(session, newest)
    state.load_optimizers(session, newest)
    config.model_dir += "-moved"
    ckpt.commit(state.snapshot(session))


ACTIONS = {"train": train_on, "save again": save_again}


@pytest.fixture(scope="session")
def server():
    """Forks processes that have everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "tzx.runtime.training.jobs", "tzx.runtime.models.rank.deepfm"])
    return context


class Runner:
    """Starts jobs of one model directory, one after another."""

    def __init__(self, server, folder: Path) -> None:
        self.server, self.folder, self.count = server, folder, 0

    def run(self, config: str, world: int, seconds: float = 120, **more) -> list[int]:
        """Exit codes by rank. When one is killed the others are, as a launcher would do, unless to `watch` them."""
        watch = more.pop("watch", False)
        self.count += 1
        base = str(self.folder / f"job{self.count}")
        job = Job(config, world, f"{base}.store", f"{base}.log", **more)
        processes = [self.server.Process(target=main, args=(rank, job)) for rank in range(world)]
        for process in processes:
            process.start()
        hung = [rank for rank, (fault, _) in job.faults.items() if fault == "hang"]
        end = time.monotonic() + seconds
        try:
            while any(p.is_alive() for p in processes) and time.monotonic() < end:
                if not watch and any(p.exitcode not in (None, 0) for p in processes):
                    break
                if all(not p.is_alive() for rank, p in enumerate(processes) if rank not in hung):
                    break
                processes[0].join(0.02)
        finally:
            for process in processes:
                if process.is_alive():
                    process.kill()
                process.join()
        return [process.exitcode for process in processes]

    def log(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob(f"job{self.count}.log.*")))


@pytest.fixture
def runner(server, tmp_path):
    return Runner(server, tmp_path)


@pytest.fixture
def text(config_text):
    """300 steps of two processes, a checkpoint every 25, nothing else."""
    wanted = {
        "num_epochs: 2": f"num_steps: {STEPS} use_tensorboard: false keep_checkpoint_max: 2",
        "save_checkpoints_steps: 15": "save_checkpoints_steps: 25",
        "batch_size: 100": "batch_size: 7",
        "train_metrics { auc {} decay_step: 5 }": "",
    }
    lines = [line for line in config_text.splitlines() if not line.startswith("eval_input_path")]
    text = "\n".join(['eval_input_path: ""', *lines])
    for old, new in wanted.items():
        assert old in text
        text = text.replace(old, new)
    return text


def into(text: str, model_dir: Path) -> str:
    lines = [line for line in text.splitlines() if not line.startswith("model_dir")]
    return "\n".join([f'model_dir: "{model_dir}"', *lines])


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    entries = read_metadata(folder).state_dict_metadata
    found = {name: torch.zeros(tuple(e.size), dtype=e.properties.dtype) for name, e in entries.items()}
    assert load_tensors(folder, found) == []
    return found


def assert_same(before: Path, after: Path) -> None:
    """Parameters and optimizer state, bit for bit."""
    for folder in ("model", "optimizer"):
        old, new = tensors(before / folder), tensors(after / folder)
        assert old.keys() == new.keys()
        assert [name for name in old if not torch.equal(old[name], new[name])] == []


def test_killed_anywhere_a_run_ends_bit_for_bit_as_if_it_had_not_been(runner, text, tmp_path, request):
    assert runner.run(into(text, tmp_path / "whole"), 2) == [0, 0], runner.log()
    whole = ckpt.find_intact(tmp_path / "whole")
    trials = 50 if request.config.option.soak else 8
    saves = trials // 5
    rng = random.Random(trials)
    for trial in range(trials):
        rank = trial % 2
        fault = ("kill in a save", rng.randint(1, 60)) if trial < saves else ("kill", rng.randint(1, STEPS - 1))
        config = into(text, tmp_path / f"killed{trial}")
        codes = runner.run(config, 2, faults={rank: fault})
        assert codes[rank] == -signal.SIGKILL, (fault, codes, runner.log())
        assert runner.run(config, 2) == [0, 0], (fault, runner.log())
        newest = ckpt.find_intact(tmp_path / f"killed{trial}")
        assert ckpt.step_of(newest) == STEPS
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
    codes = runner.run(into(text, tmp_path / "run"), 2, faults={1: ("hang", 40)}, watch=True)
    assert codes == [75, -signal.SIGKILL]
    assert "no sign of life from rank 1 (process" in runner.log()


def test_one_rank_that_is_told_to_stop_stops_all_at_the_same_step(runner, text, tmp_path):
    codes = runner.run(into(text, tmp_path / "run"), 2, faults={1: ("term", 40)}, watch=False, seconds=60)
    assert 143 in codes
    assert ckpt.step_of(ckpt.find_intact(tmp_path / "run")) in (40, 41)


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
    config = into(text.replace("batch_size: 7", "batch_size: 500"), tmp_path / "run")
    for world, steps in ((2, 20), (1, 50), (4, 70), (2, 10_000)):
        until = f"num_steps: {steps}" if steps < 10_000 else "num_epochs: 1"
        codes = runner.run(
            config.replace(f"num_steps: {STEPS}", until), world, keep=str(tmp_path / f"rows{world}-{steps}")
        )
        assert codes == [0] * world, runner.log()
        newest = ckpt.find_intact(tmp_path / "run")
        for other in (1, 2, 4):
            assert runner.run(config, other, action="save again") == [0] * other, runner.log()
            moved = ckpt.find_intact(tmp_path / "run-moved")
            assert_same(newest, moved)
            ckpt.remove(moved)
    seen = [np.frombuffer(path.read_bytes(), np.int64) for path in tmp_path.glob("rows*")]
    assert len(seen) == 9
    assert np.array_equal(np.sort(np.concatenate(seen)), np.arange(ROWS))
