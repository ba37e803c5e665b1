"""Writes log lines on a thread of its own, so that a reader of stderr that has stalled delays nothing else."""

import logging
import os
import queue
import select
import threading
from collections.abc import Callable

MAXIMUM_LINES = 10_000  # a few megabytes
_STDERR = 2
_FLUSH_SECONDS = 1.0


class LogQueue(logging.Handler):
    """Queues lines for its thread, and drops lines while the queue is full or stderr fails. Reports their number.

    Attributes:
        on_drop: a function that is called after every dropped line.
    """

    def __init__(self, *, descriptor: int = _STDERR, maximum_lines: int = MAXIMUM_LINES) -> None:
        """Writes to the file `descriptor`, by default that of stderr."""
        super().__init__()
        self.on_drop: Callable[[], None] = lambda: None
        self._descriptor = descriptor
        self._lines: queue.Queue[str | None] = queue.Queue(maximum_lines)
        self._num_dropped = 0
        self._counting = threading.Lock()  # not the handler's lock, which Python holds during the flush at its end
        # A daemon, which does not keep the process alive. It writes without sys.stderr, whose lock it would hold while
        # the reader stalls: Python aborts if it cannot get that lock at its end.
        threading.Thread(target=self._write_lines, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queues the line of `record`, or drops it if the queue is full."""
        try:
            self._lines.put_nowait(self.format(record))
        except queue.Full:
            self._drop()
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Waits until all queued lines are written, but at most one second. Python calls this at its end."""
        with self._lines.all_tasks_done:
            self._lines.all_tasks_done.wait_for(lambda: not self._lines.unfinished_tasks, _FLUSH_SECONDS)

    def close(self) -> None:
        """Writes the queued lines, and ends the thread."""
        super().close()
        self.flush()
        try:
            self._lines.put_nowait(None)
        except queue.Full:
            return  # the reader has stalled, and the thread ends with the process

    def _write_lines(self) -> None:
        while (line := self._lines.get()) is not None:
            if not self._write(line):
                self._drop()
            if self._num_dropped and self._lines.empty():
                self._report_dropped()
            self._lines.task_done()

    def _drop(self) -> None:
        with self._counting:
            self._num_dropped += 1
        self.on_drop()

    def _report_dropped(self) -> None:
        num_lines = self._num_dropped
        notice = {
            "name": __name__,
            "levelno": logging.WARNING,
            "levelname": "WARNING",
            "msg": "log lines were dropped, because stderr was read too slowly or could not be written",
            "fields": {"lines": num_lines},
        }
        if self._write(self.format(logging.makeLogRecord(notice))):
            with self._counting:
                self._num_dropped -= num_lines

    def _write(self, line: str) -> bool:
        """Writes the whole line, however long that takes. Returns False if stderr cannot be written."""
        rest = f"{line}\n".encode(errors="backslashreplace")
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # whoever opened stderr made it non-blocking, and its reader is behind
                self._wait_for_room()
            except OSError:
                return False
        return True

    def _wait_for_room(self) -> None:
        room = select.poll()  # select.select takes no descriptor above 1023
        room.register(self._descriptor, select.POLLOUT)
        room.poll()
