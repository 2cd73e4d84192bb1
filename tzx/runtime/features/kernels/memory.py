"""Buffers of Arrow arrays at their addresses."""

from typing import Any

import numpy as np
from numba import carray, njit, types
from numba.extending import intrinsic

from tzx.runtime.features.arrays import Int64
from tzx.runtime.features.ragged import UInt8


def _to_pointer(_: Any, address: Any) -> Any:
    """Types and code of `pointer`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.uint8)(types.int64), generate


# The bytes at an address.
pointer: Any = intrinsic(_to_pointer)


@njit(nogil=True, cache=True)
def read_offsets(address: int, rows: int, wide: bool) -> Int64:
    """Offsets of as many strings or lists, [rows + 1]."""
    if wide:
        return carray(pointer(address), 8 * (rows + 1)).view(np.int64)
    return carray(pointer(address), 4 * (rows + 1)).view(np.int32).astype(np.int64)


@njit(nogil=True, cache=True)
def read_bits(address: int, count: int) -> UInt8:
    """The bytes of as many bits; none at address 0."""
    return carray(pointer(address), (count + 7) // 8 if address else 0)


@njit(nogil=True, cache=True)
def is_null(bits: UInt8, at: int) -> bool:
    """Whether a bit is not set; where there are no bits, all are."""
    return len(bits) > 0 and not bits[at >> 3] >> np.uint8(at & 7) & 1
