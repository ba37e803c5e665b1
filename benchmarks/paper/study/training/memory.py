"""Measures the peak memory of a training beyond the model's weights."""

import ctypes
import gc
from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # proc(5): resets VmHWM to what is resident now


class MemoryMark:
    """The start of a peak measurement, right after the base is loaded.

    On a CPU the peak is the highest resident set since the mark, minus the resident set at the mark. Freed pages are
    returned to the kernel first, so that training cannot reuse memory freed after loading. On a GPU, the allocated
    memory of torch replaces the resident set.
    """

    def __init__(self, device: str) -> None:
        self._on_gpu = device.startswith("cuda")
        give_back_freed_pages()
        self._reset()
        self._start = self._now()

    def peak_beyond_bytes(self) -> int:
        """The peak since the mark, minus the memory held at the mark."""
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
    """Collects garbage and returns freed pages to the kernel."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _status(field: str) -> int:
    """A field of this process's status, in bytes."""
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{_STATUS} has no {field}")
