"""Freed memory is kept for the next batch and returned to the kernel beyond a limit."""

import subprocess
import sys

import pytest

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="glibc functions")
# Tensors of 1 to 3 MiB, every other one freed: 200 MiB of holes.
HOLES = """
import torch
from lorb_adapters.process_memory import HeapTrimmer, keep_freed_pages, resident_bytes
keep_freed_pages()
trimmer = HeapTrimmer(max_growth_bytes={limit} << 20)
tensors = [torch.ones((1 + i % 3) << 18) for i in range(200)]
kept = tensors[1::2]
before_free = resident_bytes()
del tensors
held = resident_bytes()
trimmed = trimmer.trim_if_grown(), trimmer.trim_if_grown()
returned_mebibytes = int((held - resident_bytes()) / 2**20)
print(*trimmed, before_free - held < 20 << 20, returned_mebibytes, sum(float(each[:9].sum()) for each in kept))
"""


def run_with_holes(limit):
    """Runs the script in a process of its own: glibc's settings apply to a whole process."""
    done = subprocess.run([sys.executable, "-c", HOLES.format(limit=limit)], check=True, capture_output=True, text=True)  # noqa: S603 - our own script
    return done.stdout.split()


@LINUX
def test_beyond_the_limit_holes_are_returned_once():
    """Freed memory is resident until the limit is exceeded; then it is returned, and a second call does nothing."""
    trimmed, trimmed_again, still_held, mebibytes, total = run_with_holes(limit=100)
    assert (trimmed, trimmed_again, still_held) == ("True", "False", "True")
    assert int(mebibytes) > 150
    assert float(total) == 900


@LINUX
def test_below_the_limit_freed_memory_is_kept():
    """Freed pages stay resident for the next batch."""
    trimmed, _, _, mebibytes, _ = run_with_holes(limit=1000)
    assert trimmed == "False"
    assert int(mebibytes) == 0
