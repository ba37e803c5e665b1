"""Runs a `lorb-serve` that writes its number of asyncio tasks to the file TASKS_FILE at every SIGUSR1."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from lorb_server.cli import main


def write_num_tasks(*_: object) -> None:
    """Writes the number of tasks. As a signal handler it runs in the main thread, which is the event loop's."""
    out = Path(os.environ["TASKS_FILE"])
    unfinished = out.with_suffix(".unfinished")
    unfinished.write_text(str(len(asyncio.all_tasks())))
    unfinished.replace(out)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, write_num_tasks)
    sys.exit(main(sys.argv[1:]))
