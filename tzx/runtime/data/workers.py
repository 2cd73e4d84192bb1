"""Worker processes seen from the loader: starting, feeding, and ending them; and how many are worth having.

Started as plain commands, not forked and not through multiprocessing: no lock held by another thread is copied, the
user's main module is not run again, and importing no torch they are ready in well under a second.
"""

import os
import pickle
import signal
import socket
import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from tzx.runtime.data.channel import Channel, map_memory, new_memory
from tzx.runtime.data.flat import Contents
from tzx.runtime.data.transform import Transform
from tzx.runtime.errors import TransientError, TzxError

_AHEAD = 2  # tasks given to a worker at a time: one to work on, one to go on with
_START = "import sys; fd, *sys.path = sys.argv[1:]; from tzx.runtime.data.worker import main; main(int(fd))"


class WorkerError(TzxError):
    """A worker process failed in a way that is no fault of the data; the message holds its traceback."""


class Worker:
    """One process; does its tasks in the order given."""

    def __init__(self, number: int, setup: bytes) -> None:
        self._number = number
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-c", _START, str(theirs.fileno()), *sys.path]
            self._process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"}
            )
        self._channel = Channel(ours)
        self.outstanding = 0
        self._started = False
        self._send("setup", memoryview(setup))

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def started(self) -> bool:
        """Whether it takes tasks already."""
        if not self._started and self._channel.ready():
            self._receive()
            self._started = True
        return self._started

    def give(self, batch: pa.RecordBatch, key: tuple[int, ...]) -> None:
        """Start working on `batch`."""
        self._send(key, memoryview(batch.serialize()))
        self.outstanding += 1

    @property
    def has_result(self) -> bool:
        """Whether `take` would return at once."""
        return self._channel.ready()

    def take(self, pinned: bool = False) -> tuple[Contents, torch.Tensor]:
        """The result of the oldest task: table of contents and the block.

        The block is copied out of shared memory, each piece of which holds a file descriptor, since a consumer may
        keep more batches than a process may have descriptors.
        """
        self.outstanding -= 1
        contents, memory = self._receive()
        assert memory is not None
        try:
            with map_memory(memory) as shared:
                block = torch.empty(len(shared), dtype=torch.uint8, pin_memory=pinned)
                block.numpy()[:] = np.frombuffer(shared, np.uint8)
        finally:
            os.close(memory)
        return contents, block

    def kill(self) -> None:
        """End it; it holds nothing worth keeping."""
        self._channel.close()
        self._process.kill()
        self._process.wait()

    def _send(self, message: Any, data: memoryview) -> None:
        memory = new_memory(data)
        try:
            self._channel.send(message, memory)
        except ConnectionError as error:
            raise self._death() from error
        finally:
            os.close(memory)

    def _receive(self) -> tuple[Any, int | None]:
        try:
            message, memory = self._channel.receive()
        except EOFError:
            raise self._death() from None
        if isinstance(message, tuple):
            error, text = message
            if isinstance(error, TzxError):
                raise error
            raise WorkerError(f"data loader worker {self._number} failed:\n{text}") from error
        return message, memory

    def _death(self) -> TzxError:
        code = self._process.wait()
        who = f"data loader worker {self._number} (process {self.pid})"
        if code == -signal.SIGKILL:
            return TransientError(
                f"{who} was killed; this machine may be short of memory: lower data_config.num_workers or batch_size"
            )
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return WorkerError(f"{who} ended {how}; what it printed stands above")


class WorkerPool:
    """Several workers with the same job, none to begin with."""

    def __init__(self, transform: Transform, schema: pa.Schema) -> None:
        self._job = transform, schema
        self._workers: list[Worker] = []
        self._size = 0
        self.running = 0
        """How many take tasks, as far as `free` has seen."""

    def resize(self, size: int, spare: int = 0) -> None:
        """Start workers, or end the last ones, until there are `size` and the spare ones, which get no tasks.

        Those that end, or become spare, must have nothing to do.
        """
        for worker in self._workers[size + spare :]:
            worker.kill()
        del self._workers[size + spare :]
        if len(self._workers) < size + spare:
            setup = pickle.dumps(self._job)
            for number in range(len(self._workers), size + spare):
                self._workers.append(Worker(number, setup))
        self._size, self.running = size, min(self.running, size)

    @property
    def capacity(self) -> int:
        """Tasks that can be under way at once: one more than workers take, for the loader's thread to make."""
        return _AHEAD * self._size + 1

    def free(self) -> Worker | None:
        """The least busy worker that has started and has room."""
        started = [w for w in self._workers[: self._size] if w.started]
        self.running = len(started)
        return min((w for w in started if w.outstanding < _AHEAD), key=lambda w: w.outstanding, default=None)

    def close(self) -> None:
        """End all."""
        self.resize(0)


def useful_workers(configured: int, cores: int, ready_made: bool, feeds_gpu: bool) -> tuple[int, str]:
    """The most worker processes worth trying where the config allows `configured`, and why."""
    if configured == 0:
        return 0, "num_workers is 0"
    if ready_made and not feeds_gpu:
        return 0, "FG_NONE data needs no feature work that others could take over"
    if cores < 2:
        return 0, "the one core of this process leaves none for workers"
    if configured > cores - 1:
        return cores - 1, f"num_workers is {configured}, but {cores} cores are here for this process"
    return configured, f"num_workers is {configured}"
