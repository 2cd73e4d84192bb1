"""Tables begin with a cache line and lie in large pages."""

import re
from pathlib import Path

import pytest
import torch

from tzx.runtime.embedding.table_memory import LINE, zeros

_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.parametrize("size", [0, 1, 17, 5_000_000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_zeros_that_begin_with_a_cache_line(size: int, dtype: torch.dtype) -> None:
    found = zeros(size, dtype, None)
    assert found.shape == (size,) and found.dtype == dtype and found.is_contiguous()
    assert not found.any()
    assert size == 0 or found.data_ptr() % LINE == 0


def test_other_devices_have_memory_of_their_own() -> None:
    assert zeros(3, torch.float32, torch.device("meta")).is_meta


def test_large_tables_lie_in_large_pages() -> None:
    if not _HUGE_PAGES.is_file() or "[never]" in _HUGE_PAGES.read_text():
        pytest.skip("this system has no transparent huge pages")
    table = zeros(16 << 20, torch.float32, None).fill_(1)
    assert _huge_bytes(table.data_ptr() + table.nbytes // 2) > table.nbytes // 2


def _huge_bytes(address: int) -> int:
    """Bytes in large pages of the mapping that holds `address`."""
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if bounds := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            inside = int(bounds[1], 16) <= address < int(bounds[2], 16)
        elif inside and line.startswith("AnonHugePages:"):
            return int(line.split()[1]) << 10
    return 0
