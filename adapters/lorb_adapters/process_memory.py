"""The process's memory: its size, and how much freed memory glibc keeps."""

import ctypes
import resource
import sys
from collections.abc import Callable
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # glibc's malloc.h
_ONE_GIB = 1 << 30


def keep_freed_pages() -> None:
    """Makes glibc reuse the pages of freed tensors instead of returning them to the kernel after every operation.

    Every batch allocates tens of megabytes again. When the kernel had their pages, getting the pages back took a tenth
    of a training step. The thresholds apply to the main arena alone, so this function also limits glibc to one arena:
    with an arena of its own, the model's thread was a quarter slower. Call it before any thread starts. In a long loop
    use `HeapTrimmer` too.
    """
    mallopt = _glibc("mallopt")
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _ONE_GIB)
        mallopt(_M_TRIM_THRESHOLD, _ONE_GIB)
        mallopt(_M_ARENA_MAX, 1)


class HeapTrimmer:
    """Limits the freed memory that a loop of batches keeps.

    Some allocations between two steps live long, such as a kernel that oneDNN compiles for a new length. They leave
    holes in the heap, and a tensor that fits into no hole makes the heap grow. Beyond the limit, a trim gives the pages
    of all holes back to the kernel, which takes milliseconds. A trim after every step would cost more than it saves:
    the next step would need the pages again.
    """

    def __init__(self, max_growth_bytes: int = _ONE_GIB) -> None:
        """max_growth_bytes: the limit for how much the resident memory, used or freed, may grow since the last trim."""
        self._max_growth_bytes = max_growth_bytes
        self._last_bytes = resident_bytes()

    def trim_if_grown(self) -> bool:
        """Trims the heap if memory grew beyond the limit; returns whether it trimmed. Call it between steps."""
        trim = _glibc("malloc_trim")
        if trim is None or resident_bytes() - self._last_bytes <= self._max_growth_bytes:
            return False
        trim(0)
        self._last_bytes = resident_bytes()
        return True


def resident_bytes() -> int:
    """Returns the resident memory of the process, in bytes; 0 on systems other than Linux."""
    if sys.platform != "linux":
        return 0
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def _glibc(name: str) -> Callable[..., int] | None:
    """Returns a function of glibc; None on another system or with another C library."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


def peak_memory_bytes() -> int:
    """Returns the peak resident memory of the process, in bytes."""
    max_rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on macOS, in KiB elsewhere
    return max_rss * (1 if sys.platform == "darwin" else 1024)
