"""One order for the whole suite: what is quick first, then what is slow, then what starts a real backend."""

import os

import pytest

# Before torch is imported: with several threads on few cores tests are slower, not faster.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_tier)


def _tier(item: pytest.Item) -> int:
    if item.get_closest_marker("backend"):
        return 2
    return 1 if item.get_closest_marker("slow") else 0
