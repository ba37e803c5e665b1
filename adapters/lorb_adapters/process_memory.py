"""Memory of a process: how much it took, and how glibc is told to keep it, within bounds."""

import ctypes
import resource
import sys
from collections.abc import Callable
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # glibc's malloc.h
_ONE_GIB = 1 << 30


def keep_freed_pages() -> None:
    """Lets glibc reuse the pages of freed tensors instead of returning them to the kernel after every operation.

    A pass allocates the same tens of megabytes again and again; faulting the pages in anew cost a tenth of a training
    step's time. The thresholds hold for the main arena only, so there is to be no other: on a thread of its own the
    model was a quarter slower. Call it before any thread is started. In a loop of passes `KeptPages` bounds it.
    """
    mallopt = _glibc("mallopt")
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _ONE_GIB)
        mallopt(_M_TRIM_THRESHOLD, _ONE_GIB)
        mallopt(_M_ARENA_MAX, 1)


class KeptPages:
    """Bounds what a loop of passes keeps of freed memory.

    What is made between two steps and stays, as a kernel that oneDNN compiled for a new length, stands between freed
    tensors, and what does not fit into the holes makes the heap grow. When they have become much, the kernel gets the
    pages of all holes back, which takes milliseconds; after every step they would be faulted in anew.
    """

    def __init__(self, most_bytes: int = _ONE_GIB) -> None:
        """most_bytes: kept beyond what the process held when it last gave all back, what is in use included."""
        self._most = most_bytes
        self._floor = resident_bytes()

    def bound(self) -> bool:
        """Between passes; returns whether freed pages went back."""
        trim = _glibc("malloc_trim")
        if trim is None or resident_bytes() - self._floor <= self._most:
            return False
        trim(0)
        self._floor = resident_bytes()
        return True


def resident_bytes() -> int:
    """What the process holds now; 0 where there is no Linux to ask."""
    if sys.platform != "linux":
        return 0
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def _glibc(name: str) -> Callable[..., int] | None:
    """One of its functions; None on another system or with another C library."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


def peak_memory_bytes() -> int:
    """The most memory this process has held, in bytes."""
    kilobytes_or_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes_or_bytes * (1 if sys.platform == "darwin" else 1024)
