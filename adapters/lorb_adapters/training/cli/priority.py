"""Lowers the priority of a training run, so that a server on the same cores computes first."""

import os

from lorb.errors import InvalidInput


def lower_priority(nice: int) -> None:
    """Sets the process's nice value, unless it is higher already. Call it before any thread starts.

    Threads and processes that start later inherit the value. Raises InvalidInput unless `nice` is from 0 to 19.
    """
    if not 0 <= nice <= 19:
        raise InvalidInput(f"nice is {nice}: it must be from 0 (usual priority) to 19 (lowest)", field="nice")
    if nice > os.getpriority(os.PRIO_PROCESS, 0):
        os.setpriority(os.PRIO_PROCESS, 0, nice)
