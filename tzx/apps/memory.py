"""What the C library does with freed memory."""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
_KEPT = 256 << 20  # bytes: more than a tensor of a step, less than a large table
_MOST_TAKEN = 32 << 20  # by versions of glibc that refuse more for what malloc takes from its own heap


def keep_freed_memory() -> None:
    """Let glibc keep what a step frees for the next step; other C libraries go on as they do.

    Given back to the system, it would return as pages that the kernel clears first, some thousand a step.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
        mallopt(_M_MMAP_THRESHOLD, _KEPT) or mallopt(_M_MMAP_THRESHOLD, _MOST_TAKEN)
