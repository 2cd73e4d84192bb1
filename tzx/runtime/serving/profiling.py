"""A torch profile of a few batches."""

from collections.abc import Generator, Iterable
from typing import TypeVar

import torch

T = TypeVar("T")


def profiled(steps: Iterable[T], directory: str, rank: int) -> Generator[T, None, None]:
    """Pass `steps` on; with a `directory`, profile steps 3 to 12 into it, in TensorBoard's trace format."""
    if not directory:
        yield from steps
        return
    schedule = torch.profiler.schedule(wait=1, warmup=1, active=10, repeat=1)
    handler = torch.profiler.tensorboard_trace_handler(directory, f"rank{rank}")
    with torch.profiler.profile(schedule=schedule, on_trace_ready=handler) as profiler:
        for step in steps:
            yield step
            profiler.step()
