"""Joining the rows of a shuffle buffer."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from tzx.runtime.data.readers import Chunk
from tzx.runtime.data.stream import join
from tzx.runtime.errors import DataError


@pytest.fixture
def pool() -> Iterator[pa.MemoryPool]:
    before, counting = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
    pa.set_memory_pool(counting)
    yield counting
    pa.set_memory_pool(before)


def test_joined_rows_lie_in_memory_once(pool: pa.MemoryPool) -> None:
    columns = {f"c{i}": pa.array(range(i, i + 1000)).cast(pa.int32()) for i in range(20)}
    expected = pa.RecordBatch.from_pydict(columns)
    parts = [Chunk(expected.take(pa.array(range(at, at + 100))), np.arange(at, at + 100)) for at in range(0, 1000, 100)]
    del columns
    before = pool.bytes_allocated()
    joined = join(parts)
    assert joined.batch.equals(expected)
    assert list(joined.rows) == list(range(1000))
    assert parts == []
    assert pool.max_memory() <= before + 3 * before / 40  # of which `expected` is the half


def test_more_text_than_a_column_holds_is_refused() -> None:
    text = pa.py_buffer(np.zeros(3 << 29, np.uint8))  # pages that nothing touches take no memory
    offsets = pa.py_buffer(np.array([0, 3 << 29], np.int32))
    column = pa.StringArray.from_buffers(1, offsets, text)
    batch = pa.RecordBatch.from_arrays([column], ["text"])
    with pytest.raises(DataError, match=r"2 GiB; lower data_config\.shuffle_buffer_size"):
        join([Chunk(batch, np.arange(1)), Chunk(batch, np.arange(1))])
