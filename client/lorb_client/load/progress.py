"""Shows the progress of a load test as a bar on standard error."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

_REFRESH_SECONDS = 0.5  # long, so that the progress bar takes little CPU time from the load generator


@contextmanager
def load_progress(seconds: float, *, quiet: bool) -> Iterator[None]:
    """Shows how much of `seconds` has passed, if standard error is a terminal and `quiet` is false."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f} s, time left"),
        TimeRemainingColumn(),
    )
    finished = threading.Event()
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False) as progress:
        updater = threading.Thread(target=_show, args=(progress, seconds, finished), daemon=True)
        updater.start()
        try:
            yield
        finally:
            finished.set()
            updater.join()


def _show(progress: Progress, seconds: float, finished: threading.Event) -> None:
    start = time.monotonic()
    task = progress.add_task("sending calls", total=seconds)
    while True:
        elapsed = min(seconds, time.monotonic() - start)
        description = "waiting for the last answers" if elapsed == seconds else "sending calls"
        progress.update(task, completed=elapsed, description=description, refresh=True)
        if finished.wait(_REFRESH_SECONDS):
            return
