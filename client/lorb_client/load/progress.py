"""A line on standard error that shows how far a load is; its schedule tells the time left."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

_REFRESH_SECONDS = 0.5  # the generator needs the processor more


@contextmanager
def load_progress(seconds: float, *, quiet: bool) -> Iterator[None]:
    """Shows the time left of `seconds` where standard error is a terminal, unless `quiet`."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f} s, left"),
        TimeRemainingColumn(),
    )
    over = threading.Event()
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False) as progress:
        watcher = threading.Thread(target=_show, args=(progress, seconds, over), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()


def _show(progress: Progress, seconds: float, over: threading.Event) -> None:
    began = time.monotonic()
    task = progress.add_task("loading", total=seconds)
    while True:
        elapsed = min(seconds, time.monotonic() - began)
        waiting = elapsed == seconds
        progress.update(task, completed=elapsed, description="last answers" if waiting else "loading", refresh=True)
        if over.wait(_REFRESH_SECONDS):
            return
