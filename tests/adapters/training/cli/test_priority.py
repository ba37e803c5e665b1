"""The priority of a training run."""

import subprocess
import sys

SCRIPT = """
import os
from lorb_adapters.training.cli.priority import lower_priority
for nice in (7, 3, 0):
    lower_priority(nice)
    print(os.getpriority(os.PRIO_PROCESS, 0))
"""


def test_the_priority_is_lowered_but_never_raised():
    """After a nice value of 7, lower values change nothing: raising the priority would need rights."""
    done = subprocess.run(  # noqa: S603 - our own code
        ["nice", "-n", "0", sys.executable, "-c", SCRIPT],  # noqa: S607
        check=True,
        capture_output=True,
        text=True,
    )
    first, *others = (int(line) for line in done.stdout.split())
    assert first >= 7
    assert others == [first, first]
