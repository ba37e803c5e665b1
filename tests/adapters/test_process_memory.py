"""Freed memory: kept for the next pass, and given back when it has become much."""

import subprocess
import sys

import pytest

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
# Tensors of 1 to 3 MiB, every other one freed: holes of 200 MiB that nothing larger fits into.
HOLES = """
import torch
from lorb_adapters.process_memory import KeptPages, keep_freed_pages, resident_bytes
keep_freed_pages()
pages = KeptPages(most_bytes={most} << 20)
tensors = [torch.ones((1 + i % 3) << 18) for i in range(200)]
kept = tensors[1::2]
before_free = resident_bytes()
del tensors
held = resident_bytes()
told = pages.bound(), pages.bound(), before_free - held < 20 << 20, int((held - resident_bytes()) / 2**20)
print(*told, sum(float(each[:9].sum()) for each in kept))
"""


def holes(most):
    """In a process of its own, for glibc's settings are the process'."""
    done = subprocess.run([sys.executable, "-c", HOLES.format(most=most)], check=True, capture_output=True, text=True)  # noqa: S603 - our own script
    return done.stdout.split()


@LINUX
def test_beyond_the_bound_the_holes_between_tensors_go_back_once():
    """What was freed was still held, but for what the kernel takes itself; after the bound is reached it is not."""
    went_back, again, still_held, mebibytes, total = holes(most=100)
    assert (went_back, again, still_held) == ("True", "False", "True")
    assert int(mebibytes) > 150
    assert float(total) == 900


@LINUX
def test_below_the_bound_everything_is_kept():
    """For the next pass, which finds its pages there."""
    went_back, _, _, mebibytes, _ = holes(most=1000)
    assert went_back == "False"
    assert int(mebibytes) == 0
