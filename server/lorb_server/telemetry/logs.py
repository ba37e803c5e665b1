"""Writes log lines to stderr, as JSON objects or plain text. No line holds a transcript.

A line's fields come from `extra={"fields": {...}}`. Unexpected errors are logged with their type and traceback but
without their message, which may quote a caller's text.
"""

import asyncio
import json
import logging
import sys
import threading
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from prometheus_client import Counter

from lorb_server.telemetry.log_queue import LogQueue

_log = logging.getLogger(__name__)


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object: time, level, logger, message, then the record's fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        return json.dumps(line, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """Formats a record as text: "12:30:01 info adapter loaded domain=radio version=1-0123456789ab"."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        time = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        return f"{time} {record.levelname.lower()} {record.getMessage()}{fields}".replace("\n", "\\n")


def configure_logs(log_format: str, log_level: str) -> None:
    """Makes the process write log lines of level `log_level` and above to stderr. `log_format` is "json" or "text"."""
    handler = LogQueue()
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=log_level.upper(), handlers=[handler], force=True)
    # Silenced, because grpc logs handlers' errors with their messages. `log_failure` logs them without messages.
    logging.getLogger("grpc").setLevel(logging.CRITICAL)


def count_dropped_lines(counter: Counter) -> None:
    """Makes the process count log lines that it drops because the reader of stderr has stalled."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LogQueue):
            handler.on_drop = counter.inc


def log_failure(log: logging.Logger, message: str, error: BaseException, **fields: Any) -> None:  # noqa: ANN401
    """Logs an unexpected error with its type and traceback, without its message."""
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    log.error(message, extra={"fields": {**fields, "error": type(error).__name__, "traceback": frames}})


def log_event_loop_error(loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """Logs an unhandled error of the event loop, without the message and callback arguments that asyncio would log."""
    error = context.get("exception")
    log_failure(_log, "unhandled error in the event loop", error or RuntimeError())


def log_uncaught_errors() -> None:
    """Makes the process log uncaught errors, also of threads, without the messages that Python would print."""

    def log_process_error(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        log_failure(_log, "an error ended the process", error)

    def log_thread_error(uncaught: threading.ExceptHookArgs) -> None:
        log_failure(_log, "an error ended a thread", uncaught.exc_value or uncaught.exc_type())

    def log_unraisable_error(unraisable: "sys.UnraisableHookArgs") -> None:
        log_failure(_log, "an error that cannot be raised", unraisable.exc_value or unraisable.exc_type())

    sys.excepthook, threading.excepthook, sys.unraisablehook = log_process_error, log_thread_error, log_unraisable_error


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = getattr(record, "fields", None)
    if fields is None and record.exc_info and record.exc_info[0] is not None:
        return {"error": record.exc_info[0].__name__}
    return fields or {}
