"""How much memory a training takes beyond the weights of the model."""

import ctypes
import gc
from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # proc(5): VmHWM begins anew at what is resident now


class MemoryMark:
    """A place in a run from which the peak is counted: right after the base is loaded.

    On the processor: the highest resident set since, minus the resident set at the mark. Freed pages are given back to
    the kernel before, so that what reading the base took is not room that training gets for nothing. On a GPU the same
    of torch's allocator.
    """

    def __init__(self, device: str) -> None:
        self._on_gpu = device.startswith("cuda")
        give_back_freed_pages()
        self._reset()
        self._start = self._now()

    @property
    def start_bytes(self) -> int:
        """Held at the mark: weights, and on the processor interpreter and libraries too."""
        return self._start

    def peak_beyond_bytes(self) -> int:
        """The most that was held since, beyond what was held at the mark."""
        peak = torch.cuda.max_memory_allocated() if self._on_gpu else _status("VmHWM")
        return peak - self._start

    def _now(self) -> int:
        return torch.cuda.memory_allocated() if self._on_gpu else _status("VmRSS")

    def _reset(self) -> None:
        if self._on_gpu:
            torch.cuda.reset_peak_memory_stats()
        else:
            _CLEAR.write_text(_RESET_PEAK, encoding="ascii")


def give_back_freed_pages() -> None:
    """Python's garbage is collected, and glibc's heap returned where it can be."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _status(field: str) -> int:
    """A field of this process' status, in bytes."""
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{_STATUS} has no {field}")
