"""Watches the other ranks, so that one that dies or hangs ends the job with its name instead of stopping it for ever.

Each rank counts up a number in the store that the ranks met at. Whose number stands still is gone: its machine lost,
its process killed or stopped. A wish to stop travels the same way, as a rank that waits for data hears nothing else.
"""

import contextlib
import logging
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import torch.distributed as dist

from tzx.runtime.errors import TransientError
from tzx.runtime.training.batches import Requests
from tzx.runtime.training.process import Process

logger = logging.getLogger("tzx")

_BEAT_SECONDS = 1.0
_GONE_SECONDS = 45.0  # well under a minute, and long for a thread that only has to count
_NAMING_SECONDS = 5.0  # how long to listen for who is gone when a connection has broken
_STOP = "tzx/stop"
# What gloo and NCCL say on the ranks that are left when one has ended.
_LOST = re.compile(r"Connection (closed|reset) by peer|a remote process exit|Broken pipe")


class PeerWatch:
    """A thread that beats for this rank and listens for the others."""

    def __init__(self, process: Process, requests: Requests, store: Any) -> None:
        self._process, self._requests, self._store = process, requests, store
        self._names: dict[int, str] = {}
        self._counts: dict[int, str] = {}
        self._heard = dict.fromkeys(range(process.world_size), time.monotonic())
        self._beats = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tzx-peers", daemon=True)

    def start(self) -> None:
        """Begin; every rank does."""
        self._thread.start()

    def close(self) -> None:
        """End."""
        self._stop.set()
        self._thread.join(2 * _BEAT_SECONDS)

    def gone(self, seconds: float) -> list[str]:
        """The other ranks that have been silent for so long, by name."""
        now = time.monotonic()
        return [self._name(rank) for rank, heard in self._heard.items() if now - heard > seconds]

    def name_lost(self) -> str:
        """Who it is that a connection was lost to, as far as can be told."""
        end = time.monotonic() + _NAMING_SECONDS
        while not (gone := self.gone(3 * _BEAT_SECONDS)) and time.monotonic() < end:
            time.sleep(_BEAT_SECONDS / 4)
        return " and ".join(gone)

    def _run(self) -> None:
        while not self._stop.wait(_BEAT_SECONDS):
            with contextlib.suppress(
                RuntimeError
            ):  # the store is gone, and with it whoever keeps it: silent like the rest
                self._beat()
            if gone := self.gone(_GONE_SECONDS):
                self._leave(gone)

    def _beat(self) -> None:
        self._beats += 1
        me = f"process {os.getpid()} on {socket.gethostname()}"
        self._store.set(f"tzx/beat/{self._process.rank}", f"{self._beats} {me}")
        if self._requests.stop:
            self._store.set(_STOP, "1")
        elif self._store.check([_STOP]):
            self._requests.stop = True
        for rank in range(self._process.world_size):
            key = f"tzx/beat/{rank}"
            count, _, name = self._store.get(key).decode().partition(" ") if self._store.check([key]) else ("", "", "")
            if rank == self._process.rank or count != self._counts.get(rank):
                self._counts[rank], self._names[rank], self._heard[rank] = count, name, time.monotonic()

    def _leave(self, gone: list[str]) -> None:
        logger.error("no sign of life from %s for %.0f s; leaving", " and ".join(gone), _GONE_SECONDS)
        os._exit(TransientError.exit_code)  # the main thread waits for that rank inside a library

    def _name(self, rank: int) -> str:
        return f"rank {rank} ({self._names[rank]})" if self._names.get(rank) else f"rank {rank}"


@contextlib.contextmanager
def watched_peers(process: Process, requests: Requests) -> Iterator[None]:
    """Watch the other ranks meanwhile; a connection lost to one of them becomes an error that names it.

    Raises:
        TransientError: a rank has ended.
    """
    if process.world_size == 1:
        yield
        return
    store: Any = dist.distributed_c10d._get_default_store()
    watch = PeerWatch(process, requests, store.clone())  # whose own lock no wait of the main thread holds
    watch.start()
    try:
        yield
    except RuntimeError as error:
        if not _LOST.search(str(error)):
            raise
        who = watch.name_lost() or "another rank, whose own error says why"
        raise TransientError(f"lost the connection to {who}") from error
    finally:
        watch.close()
