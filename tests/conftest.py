"""One order for the whole suite: what is quick first, then what is slow, then what starts a real backend."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# Before torch is imported: with several threads on few cores tests are slower, not faster.
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent))  # for `import warm`


# Examples per property in a normal run; what asks for more gets them with --soak.
FEW = 250


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", type=int, default=0, metavar="N", help="at least N hypothesis examples per property")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=_tier)
    for function in {getattr(item, "function", None) for item in items}:
        given = getattr(function, "_hypothesis_internal_use_settings", None)
        if given is not None:
            count = max(given.max_examples, config.option.soak) if config.option.soak else min(given.max_examples, FEW)
            # No deadline: how long an example takes is up to what else the machine does.
            function._hypothesis_internal_use_settings = settings(given, max_examples=count, deadline=None)


def _tier(item: pytest.Item) -> int:
    if item.get_closest_marker("backend"):
        return 2
    return 1 if item.get_closest_marker("slow") else 0
