"""Memory for tables on CPU, in pages of 2 MiB where the system gives them.

A batch touches rows all over its tables. With pages of 4 KiB nearly every row costs a walk through the page tables
besides the cache miss. NumPy asks for large pages; torch does so only for all of its tensors or none.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

LINE = 64  # bytes of a cache line; a row that crosses lines costs a miss more


def zeros(size: int, dtype: torch.dtype, device: torch.device | None) -> Tensor:
    """Zeros [size]; on CPU they begin with a cache line, and take memory only once they are written."""
    if torch.device(device or "cpu").type != "cpu":
        return torch.zeros(size, dtype=dtype, device=device)
    return torch.from_numpy(aligned(size * dtype.itemsize)).view(dtype)


def aligned(nbytes: int) -> npt.NDArray[np.uint8]:
    """Zero bytes [nbytes] that begin with a cache line."""
    memory = np.zeros(nbytes + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + nbytes]
