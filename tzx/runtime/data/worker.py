"""A loader's worker process: takes rows, gives back blocks. Imports no torch; ends when its parent does."""

import contextlib
import faulthandler
import os
import pickle
import signal
import socket
import traceback
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from tzx.runtime.data.channel import Channel, map_memory, new_memory
from tzx.runtime.data.flat import Bytes
from tzx.runtime.data.transform import FeatureGenerator, Transform


def main(descriptor: int) -> None:
    """Serve the loader at the other end of the socket `descriptor` until it closes it."""
    faulthandler.enable()
    # The loader decides when its workers end: a Ctrl-C or a preemption signal to the whole group must not cut off
    # the batches of a training process that is about to save its work.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    pa.set_cpu_count(1)
    channel = Channel(socket.socket(fileno=descriptor))
    with contextlib.suppress(EOFError, ConnectionError):
        _serve(channel)
    os._exit(0)


def _serve(channel: Channel) -> None:
    try:
        _, setup = channel.receive()
        with _open(setup) as memory:
            transform, schema = pickle.loads(memory)
        warm_up(transform.features, schema)
        channel.send("ready")
    except (EOFError, ConnectionError):
        raise
    except BaseException as error:
        channel.send(failure(error))
        return
    while True:
        key, rows = channel.receive()
        with _open(rows) as memory:
            try:
                batch = pa.ipc.read_record_batch(pa.py_buffer(memory), schema)
                _answer(channel, transform, batch, key)
            except (EOFError, ConnectionError):
                raise
            except BaseException as error:
                channel.send(failure(error))


def warm_up(features: FeatureGenerator, schema: pa.Schema) -> None:
    """Load what is compiled, half a second, while the loader still makes batches itself: it would wait for it later."""
    empty = pa.RecordBatch.from_arrays([pa.nulls(1, field.type) for field in schema], schema=schema)
    # A row without values is no row that every feature can be made of.
    with contextlib.suppress(Exception):
        features.generate(empty)


def _answer(channel: Channel, transform: Transform, batch: pa.RecordBatch, key: tuple[int, ...]) -> None:
    descriptor = new_memory()
    try:
        contents, _ = transform(batch, key, lambda nbytes: _array(descriptor, nbytes))
        channel.send(contents, descriptor)
    finally:
        os.close(descriptor)


def failure(error: BaseException) -> tuple[BaseException | None, str]:
    """What is sent of an error: itself where it can be pickled, and its traceback as text."""
    text = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
        return error, text
    except Exception:
        return None, text


def _array(descriptor: int, nbytes: int) -> Bytes:
    return np.frombuffer(map_memory(descriptor, nbytes), np.uint8, nbytes)


@contextlib.contextmanager
def _open(descriptor: int | None) -> Iterator[Any]:
    assert descriptor is not None
    try:
        yield map_memory(descriptor)
    finally:
        os.close(descriptor)
