"""CPU time of every operation of some steps, in the thread that steps: other work on the machine hardly counts.

With one thread it is all that an operation costs; other threads' share is not seen.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from statistics import median
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tzx.runtime.embedding.row_tables import RowTables

Times = dict[str, list[float]]


class _Watch(TorchDispatchMode):
    def __init__(self, times: Times) -> None:
        super().__init__()
        self._times = times

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        began = time.thread_time()
        result = func(*args, **(kwargs or {}))
        took = time.thread_time() - began
        shapes = [tuple(each.shape) for each in args if isinstance(each, torch.Tensor)]
        self._times[f"{func} {' '.join(map(str, shapes))}"].append(took)
        return result


@contextmanager
def _watched(name: str, times: Times) -> Iterator[None]:
    """Take the time of a method of tables, whose compiled loops are no operations of torch."""
    method = getattr(RowTables, name)

    @wraps(method)
    def timed(*args: Any) -> Any:
        began = time.thread_time()
        result = method(*args)
        times[f"tables.{name}"].append(time.thread_time() - began)
        return result

    setattr(RowTables, name, timed)
    try:
        yield
    finally:
        setattr(RowTables, name, method)


def show_op_times(steps: Callable[[int], None], count: int = 20, most: int = 40) -> None:
    """Print the operations that take the most time: ms a step, calls a step, name and shapes."""
    times: Times = defaultdict(list)
    with _watched("lookup", times), _watched("update", times), _Watch(times):
        steps(count)
    # Medians, as a few calls meet an interrupt.
    by_name = {name: 1e3 * median(found) * len(found) / count for name, found in times.items()}
    print(f"\nCPU time of operations, {sum(by_name.values()):.1f} ms a step in all")
    for name, ms in sorted(by_name.items(), key=lambda pair: -pair[1])[:most]:
        print(f"  {ms:8.3f} ms {len(times[name]) / count:6.1f} x {name[:120]}")
