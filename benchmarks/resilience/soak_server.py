"""`lorb-serve` that writes, at every SIGUSR1, how many asyncio tasks it has into the file that TASKS_FILE names."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from lorb_server.cli import main


def tell(*_: object) -> None:
    """Python runs signal handlers on the main thread, which is the event loop's."""
    out = Path(os.environ["TASKS_FILE"])
    unfinished = out.with_suffix(".unfinished")
    unfinished.write_text(str(len(asyncio.all_tasks())))
    unfinished.replace(out)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, tell)
    sys.exit(main(sys.argv[1:]))
