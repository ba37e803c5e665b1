"""Memory of a process: how much it took, and how glibc is told to keep it."""

import ctypes
import resource
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # glibc's malloc.h
_ONE_GIB = 1 << 30


def keep_freed_pages() -> None:
    """Lets glibc reuse the pages of freed tensors instead of returning them to the kernel after every operation.

    A pass allocates the same tens of megabytes again and again; faulting the pages in anew cost a tenth of a training
    step's time. The thresholds hold for the main arena only, so there is to be no other: on a thread of its own the
    model was a quarter slower. Call it before any thread is started.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, _ONE_GIB)
            mallopt(_M_TRIM_THRESHOLD, _ONE_GIB)
            mallopt(_M_ARENA_MAX, 1)


def peak_memory_bytes() -> int:
    """The most memory this process has held, in bytes."""
    kilobytes_or_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes_or_bytes * (1 if sys.platform == "darwin" else 1024)
