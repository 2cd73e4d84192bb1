"""Arrays that lie end to end in memory, seen as one.

Features made together are slices of common arrays. Copying these slices one by one costs a call each, and every call
lets another thread take the interpreter, which costs far more than the copying.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def joined(arrays: Sequence[Array]) -> list[Array]:
    """The same rows in fewer arrays [n, *tail]: every run of arrays that follow each other in memory is one view."""
    runs: list[list[Array]] = []
    end = -1
    for array in [array for array in arrays if array.size] or arrays[:1]:
        start = array.__array_interface__["data"][0]
        if runs and start == end and _same_memory(runs[-1][0], array):
            runs[-1].append(array)
        else:
            runs.append([array])
        end = start + array.nbytes
    return [run[0] if len(run) == 1 else _view(run) for run in runs]


def _same_memory(first: Array, array: Array) -> bool:
    alike = first.dtype == array.dtype and first.shape[1:] == array.shape[1:]
    slices = isinstance(array.base, np.ndarray) and array.base is first.base and array.base.flags.c_contiguous
    return alike and slices and first.flags.c_contiguous and array.flags.c_contiguous


def _view(run: Sequence[Array]) -> Array:
    first, base = run[0], run[0].base
    assert isinstance(base, np.ndarray)
    offset = first.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    shape = (sum(len(array) for array in run), *first.shape[1:])
    return np.ndarray(shape, first.dtype, base, offset)
