"""Freed memory stays with the process, so that the next step finds its pages there."""

import subprocess
import sys

import pytest

_FAULTS = """
import resource
from tzx.apps.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    b"x" * (16 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

first = faults()
keep_freed_memory()
faults()
print(first, faults())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
def test_memory_taken_again_comes_without_new_pages() -> None:
    shown = subprocess.run([sys.executable, "-c", _FAULTS], capture_output=True, text=True, check=True).stdout
    before, after = map(int, shown.split())
    assert after < 100 < before
