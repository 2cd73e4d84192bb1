"""Runs training jobs in real processes, which can be killed, stopped or signalled at a given step.

They are forked from a server that has imported torch already, which makes starting one a matter of milliseconds.
"""

import errno
import logging
import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.distributed as dist

from tzx.runtime.config import parse_text
from tzx.runtime.data.loader import DataLoader
from tzx.runtime.errors import TzxError
from tzx.runtime.training import jobs, peers
from tzx.runtime.training.loop import TrainingLoop
from tzx.runtime.training.storage import Summed


def train_on(job: "Job") -> None:
    jobs.train(parse_text(job.config, "job.config"), jobs.TrainOptions(continue_train=True))


@dataclass
class Job:
    """What each process is to do; `action` is done in every one of them."""

    config: str
    world: int
    store: str
    log: str  # one file for each rank
    environment: dict[str, str] = field(default_factory=dict)
    faults: dict[int, tuple[str, int]] = field(default_factory=dict)  # rank -> what to do at which step or sync
    silence: float = peers._GONE_SECONDS  # after so many seconds a rank counts as gone
    keep: str = ""  # where each rank notes the rows it trained on
    action: Callable[["Job"], None] = train_on


def main(rank: int, job: Job) -> None:
    """The process of one rank; its exit code is that of the train app."""
    logging.basicConfig(filename=f"{job.log}.{rank}", format="%(message)s", force=True)
    os.environ |= job.environment | {
        "RANK": str(rank),
        "WORLD_SIZE": str(job.world),
        "LOCAL_WORLD_SIZE": str(job.world),
    }
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{job.store}", rank=rank, world_size=job.world)
    peers._GONE_SECONDS, peers._BEAT_SECONDS = job.silence, 0.3
    prepare(*job.faults.get(rank, ("", 0)))
    note_rows(job, rank)
    code = 0
    try:
        job.action(job)
    except TzxError as error:
        logging.error("%s: %s", type(error).__name__, error)
        code = error.exit_code
    except Exception:
        logging.exception("the test has a problem")
        code = 1
    os._exit(code)


def prepare(fault: str, number: int) -> None:
    """Arrange for this process to be killed, stopped, signalled or out of data at a step, or killed in a save."""
    calls = [0]

    def soon() -> None:
        """Kill this process within the time of a few steps, wherever it then is."""
        time.sleep(random.Random(number).uniform(0, 0.1))
        os.kill(os.getpid(), signal.SIGKILL)

    def strike(function):
        def struck(*args, **kwargs):
            calls[0] += 1
            if calls[0] == number and fault == "kill soon":
                threading.Thread(target=soon, daemon=True).start()
            elif calls[0] == number:
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

    def dry(function):
        def runs_dry(*args):
            for count, batch in enumerate(function(*args)):
                if count == number:
                    time.sleep(600)
                yield batch

        return runs_dry

    if fault == "dry":
        DataLoader._produce = dry(DataLoader._produce)
    elif fault == "kill at a sync":
        os.fsync = strike(os.fsync)
    elif fault == "kill at a write":
        Summed.write = strike(Summed.write)
    elif fault == "full":
        os.fsync = full(os.fsync)
    elif fault:
        TrainingLoop._step = strike(TrainingLoop._step)


def note_rows(job: Job, rank: int) -> None:
    step = TrainingLoop._step

    def noted(self, batch):
        if job.keep and not batch.is_filler:
            with open(f"{job.keep}.{rank}", "ab") as file:
                file.write(batch.rows.tobytes())
        return step(self, batch)

    TrainingLoop._step = noted


def make_server():
    """Forks processes that have everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "tzx.runtime.training.jobs", "tzx.runtime.models.rank.deepfm"])
    return context


class Runner:
    """Starts jobs of one model directory, one after another."""

    def __init__(self, server, folder: Path) -> None:
        self.server, self.folder, self.count = server, folder, 0

    def run(self, config: str, world: int, seconds: float = 600, **more) -> list[int]:
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
            while any(p.is_alive() for p in processes):
                if time.monotonic() > end:
                    raise TimeoutError(f"processes still run after {seconds} s:\n{self.log()}")
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


def into(text: str, model_dir: Path) -> str:
    lines = [line for line in text.splitlines() if not line.startswith("model_dir")]
    return "\n".join([f'model_dir: "{model_dir}"', *lines])
