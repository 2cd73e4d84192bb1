"""Where Arrow keeps the rows that it reads."""

import os
from collections.abc import Mapping

import pyarrow as pa


def use_thrifty_pool(env: Mapping[str, str] = os.environ) -> None:
    """Let Arrow take memory from jemalloc instead of mimalloc, unless ARROW_DEFAULT_MEMORY_POOL says what it shall use.

    Of files with large row groups mimalloc keeps more than a shuffle buffer takes: 80 MiB and more with 300,000 rows of
    40 columns. Builds of Arrow without jemalloc go on as they do, and so does a pool that somebody else has chosen.
    """
    if env.get("ARROW_DEFAULT_MEMORY_POOL") or pa.default_memory_pool().backend_name != "mimalloc":
        return
    if "jemalloc" in pa.supported_memory_backends():
        pa.set_memory_pool(pa.jemalloc_memory_pool())
