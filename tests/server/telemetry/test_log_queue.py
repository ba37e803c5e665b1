"""lorb_server.telemetry.log_queue: a reader of stderr that stalls, returns or goes away."""

import json
import logging
import os
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from lorb_server.telemetry.log_queue import LogQueue
from lorb_server.telemetry.logs import JsonFormatter
from support.servers.serving import WAIT_SECONDS

LONG = "x" * 1000
BLOCKING = pytest.mark.parametrize("is_blocking", [True, False])


@contextmanager
def queued_log(maximum_lines, *, is_blocking=True):
    """A logger whose lines go through a LogQueue into a pipe, the pipe's reading end, and the handler."""
    reading, writing = os.pipe()
    os.set_blocking(writing, is_blocking)
    handler = LogQueue(descriptor=writing, maximum_lines=maximum_lines)
    handler.setFormatter(JsonFormatter())
    log = logging.Logger("lorb_server.test")
    log.addHandler(handler)
    try:
        with os.fdopen(reading) as lines:
            yield log, lines, handler
    finally:
        handler.close()
        os.close(writing)


def test_lines_arrive_in_order():
    """Lines reach the reader in the order in which they were logged."""
    with queued_log(100) as (log, lines, _):
        for i in range(50):
            log.warning("line %d", i)
        assert [json.loads(lines.readline())["message"] for _ in range(50)] == [f"line {i}" for i in range(50)]


def test_a_non_blocking_pipe_loses_nothing_while_its_reader_is_behind():
    """A reader that comes late to a full non-blocking pipe gets every line whole, also one longer than the pipe."""
    code = (
        "import logging\n"
        "from lorb_server.telemetry.logs import configure_logs\n"
        "configure_logs('json', 'info')\n"
        f"for i in range(100): logging.info(f'{{i}} {LONG}')\n"
        "logging.info('x' * 200_000)\n"  # a pipe holds 64 KiB
        "[handler] = logging.getLogger().handlers\n"
        "handler.flush()\n"  # the pipe is full
        "print('logged', flush=True)\n"
        "handler._lines.join()\n"
    )
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    command = [sys.executable, "-c", code]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=writing) as process,  # noqa: S603 - our own code
        os.fdopen(reading) as lines,
    ):
        os.close(writing)
        assert process.stdout.readline() == b"logged\n"
        messages = [json.loads(line)["message"] for line in lines]
    assert messages == [f"{i} {LONG}" for i in range(100)] + ["x" * 200_000]


@BLOCKING
def test_a_stalled_reader_delays_nobody_and_learns_what_it_missed(is_blocking):
    """Logging returns while the pipe is full; a reader that comes back gets all queued lines and the number dropped."""
    with queued_log(10, is_blocking=is_blocking) as (log, lines, handler):
        dropped = []
        handler.on_drop = lambda: dropped.append(1)
        for i in range(300):  # a pipe holds 64 KiB
            log.warning("%d %s", i, LONG)
        assert len(dropped) > 200
        seen = [json.loads(lines.readline()) for _ in range(300 - len(dropped) + 1)]
        assert [int(line["message"].split()[0]) for line in seen[:-1]] == list(range(300 - len(dropped)))
        assert seen[-1]["message"].startswith("log lines were dropped")
        assert seen[-1]["lines"] == len(dropped)
        log.warning("again")
        assert json.loads(lines.readline())["message"] == "again"


@BLOCKING
def test_a_process_ends_though_its_reader_has_stalled(is_blocking):
    """A process with a full pipe as stderr exits with its own status, because the flush at its end is limited."""
    code = (
        "import logging, sys\n"
        "from lorb_server.telemetry.logs import configure_logs\n"
        "configure_logs('json', 'info')\n"
        f"for i in range(300): logging.info('{LONG}')\n"
        "sys.exit(3)"
    )
    reading, writing = os.pipe()
    os.set_blocking(writing, is_blocking)
    try:
        with subprocess.Popen([sys.executable, "-c", code], stderr=writing) as process:  # noqa: S603 - our own code
            assert process.wait(WAIT_SECONDS) == 3
    finally:
        os.close(reading)
        os.close(writing)


def test_queued_lines_are_written_before_the_process_ends():
    """With a reader, no line is lost at the end of the process."""
    code = (
        "import logging\n"
        "from lorb_server.telemetry.logs import configure_logs\n"
        "configure_logs('json', 'info')\n"
        "for i in range(300): logging.info('line %d', i)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)  # noqa: S603 - our own code
    assert len(ended.stderr.splitlines()) == 300


def test_a_reader_that_has_gone_is_survived():
    """Without a reader, logging goes on, the thread keeps emptying the queue, and the lost lines are counted."""
    with queued_log(10) as (log, lines, handler):
        dropped = []
        handler.on_drop = lambda: dropped.append(1)
        lines.close()
        for _ in range(5):
            log.warning("nobody reads this")
        handler.flush()
        assert handler._lines.empty()
        assert len(dropped) == 5


def test_closing_ends_the_thread():
    """A closed handler leaves no thread behind."""
    before = {thread for thread in threading.enumerate() if thread.name == "log"}
    with queued_log(10) as (log, _, _):
        log.warning("a line")
        [thread] = {thread for thread in threading.enumerate() if thread.name == "log"} - before
    thread.join(WAIT_SECONDS)
    assert not thread.is_alive()
