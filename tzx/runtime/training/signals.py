"""What signals ask of a training: SIGTERM to save and leave, a second one to leave at once, SIGUSR1 to save and go on.

Python runs handlers in the main thread, and not while that waits inside a library for another rank. Here a thread reads
signals from a file descriptor, so that a second SIGTERM is obeyed even then.
"""

import logging
import os
import signal
import socket
import threading
from types import FrameType, TracebackType

from tzx.runtime.errors import Preempted
from tzx.runtime.training.batches import Requests

logger = logging.getLogger("tzx")

_WATCHED = (signal.SIGTERM, signal.SIGUSR1)


class SignalWatch:
    """While entered, turns signals into `requests`; only the main thread may enter it."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._thread = threading.Thread(target=self._watch, name="tzx-signals", daemon=True)

    def __enter__(self) -> "SignalWatch":
        self._handlers = {number: signal.signal(number, self._note) for number in _WATCHED}
        self._descriptor = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(self._descriptor)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._writer.close()  # which ends the thread
        self._thread.join()
        self._reader.close()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTERM:
            self._requests.stop = True
        else:
            self._requests.save = True

    def _watch(self) -> None:
        asked = False
        while numbers := self._reader.recv(64):
            for number in numbers:
                if number == signal.SIGTERM and asked:
                    os._exit(Preempted.exit_code)
                elif number == signal.SIGTERM:
                    asked = self._requests.stop = True
                    logger.warning("SIGTERM: saving a checkpoint, then leaving; a second SIGTERM leaves at once")
                elif number == signal.SIGUSR1:  # the handler alone asks for it: asked for twice it would save twice
                    logger.info("SIGUSR1: saving a checkpoint at the next step")
