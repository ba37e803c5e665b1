"""Log lines on stderr, one JSON object each, or plain text for people. Never a transcript.

A line's fields come from `extra={"fields": {...}}`. Unexpected errors are logged by type and place: their
messages may quote what a caller sent.
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

_log = logging.getLogger(__name__)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, then the line's own fields."""

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
    """The same for people: "12:30:01 info adapter loaded domain=radio version=1-0123456789ab"."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        time = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        return f"{time} {record.levelname.lower()} {record.getMessage()}{fields}".replace("\n", "\\n")


def configure_logs(log_format: str, log_level: str) -> None:
    """Sends all of the process' log lines to stderr as `log_format` says: "json" or "text"."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=log_level.upper(), handlers=[handler], force=True)
    # Its ERROR lines about failed handlers carry exception messages; ours say what is needed.
    logging.getLogger("grpc").setLevel(logging.CRITICAL)


def log_failure(log: logging.Logger, message: str, error: BaseException, **fields: Any) -> None:  # noqa: ANN401
    """Logs an unexpected error: its type and where it came from, without its message."""
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    log.error(message, extra={"fields": {**fields, "error": type(error).__name__, "traceback": frames}})


def log_unawaited(loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """An event loop's exception handler. asyncio's own would log the error's message and the callback's arguments."""
    error = context.get("exception")
    log_failure(_log, "an error in the event loop that nobody awaits", error or RuntimeError())


def log_uncaught() -> None:
    """Has this process' uncaught errors, of threads too, logged as all others: Python would print their messages."""

    def of_process(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        log_failure(_log, "an error ended the process", error)

    def of_thread(uncaught: threading.ExceptHookArgs) -> None:
        log_failure(_log, "an error ended a thread", uncaught.exc_value or uncaught.exc_type())

    def unraisable(ignored: "sys.UnraisableHookArgs") -> None:
        log_failure(_log, "an error where none can be raised", ignored.exc_value or ignored.exc_type())

    sys.excepthook, threading.excepthook, sys.unraisablehook = of_process, of_thread, unraisable


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = getattr(record, "fields", None)
    if fields is None and record.exc_info and record.exc_info[0] is not None:
        return {"error": record.exc_info[0].__name__}
    return fields or {}
