"""Messages between the loader and a worker process over a socket pair; bulk data goes as shared memory.

Shared memory is an anonymous file whose descriptor travels with the message. It has no name, so nothing is left
behind however either side ends, and it does not count against the size of /dev/shm, which containers keep small.
"""

import mmap
import os
import pickle
import select
import socket
import struct
import tempfile
from typing import Any

_LENGTH = struct.Struct("<q")
_CLOSE_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


class Channel:
    """Sends and receives objects, each with at most one file descriptor."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def send(self, message: Any, memory: int | None = None) -> None:
        """Send a message and a descriptor, which stays open here."""
        data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        descriptors = [] if memory is None else [memory]
        socket.send_fds(self._socket, [_LENGTH.pack(len(data))], descriptors)
        self._socket.sendall(data)

    def receive(self) -> tuple[Any, int | None]:
        """The next message and its descriptor.

        Raises:
            EOFError: the other side is gone.
        """
        try:
            head, descriptors, _, _ = socket.recv_fds(self._socket, _LENGTH.size, 1, _CLOSE_ON_EXEC)
            head += self._exactly(_LENGTH.size - len(head))
            (size,) = _LENGTH.unpack(head)
            return pickle.loads(self._exactly(size)), descriptors[0] if descriptors else None
        except ConnectionError as error:
            raise EOFError from error

    def ready(self, seconds: float = 0.0) -> bool:
        """Whether a message, or the end, can be received at once."""
        return bool(select.select([self._socket], [], [], seconds)[0])

    def close(self) -> None:
        """Close this side."""
        self._socket.close()

    def _exactly(self, size: int) -> bytes:
        data = bytearray(size)
        view, got = memoryview(data), 0
        while got < size:
            count = self._socket.recv_into(view[got:])
            if not count:
                raise EOFError
            got += count
        return bytes(data)


def new_memory(data: bytes | memoryview = b"") -> int:
    """Descriptor of new shared memory that holds `data`."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("tzx-batch", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    return descriptor


def map_memory(descriptor: int, nbytes: int | None = None) -> mmap.mmap:
    """The memory as a buffer; `nbytes` sets its size first. It stays valid when the descriptor is closed."""
    if nbytes is not None:
        os.ftruncate(descriptor, max(1, nbytes))
    return mmap.mmap(descriptor, os.fstat(descriptor).st_size)
