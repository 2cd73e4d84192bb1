"""How the cores of a machine score batches: several at a time, each on as many threads as are left for it."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

_MOST = 8  # batches at a time; between operations they wait for one interpreter


def scoring_threads(wanted: int | None, cores: int) -> tuple[int, int]:
    """Batches scored at a time, and the threads of each.

    Batches need not wait for one another, where the threads of one batch do so after every operation.
    """
    batches = wanted or min(cores, _MOST)
    return batches, max(1, cores // batches)


@contextmanager
def threads_of_a_batch(number: int, env: Mapping[str, str] = os.environ) -> Iterator[None]:
    """Let operations of torch on CPU use `number` threads within, unless OMP_NUM_THREADS says how many."""
    before = torch.get_num_threads()
    if not env.get("OMP_NUM_THREADS"):
        torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
