"""lorb_server.telemetry.logs: formats, levels, and errors logged without their messages."""

import asyncio
import gc
import json
import logging
import subprocess
import sys

import pytest

from lorb_server.telemetry.logs import JsonFormatter, TextFormatter, configure_logs, log_event_loop_error, log_failure


def record(message="adapter loaded", fields=None, **settings):
    record = logging.LogRecord("lorb_server.x", logging.INFO, __file__, 1, message, (), settings.get("exc_info"))
    if fields is not None:
        record.fields = fields
    return record


def test_a_json_line_is_one_object():
    """A JSON line is one object with time, level, logger, message and fields, whatever the fields hold."""
    line = JsonFormatter().format(record(fields={"domain": "voice", "reason": 'a "b"\nc', "path": object}))
    assert "\n" not in line
    content = json.loads(line)
    assert content["message"] == "adapter loaded"
    assert (content["level"], content["logger"], content["domain"]) == ("info", "lorb_server.x", "voice")
    assert content["reason"] == 'a "b"\nc'
    assert content["time"].endswith("+00:00")


def test_a_text_line_is_one_line():
    """A text line stays one line, whatever the fields hold."""
    line = TextFormatter().format(record(fields={"domain": "voice", "reason": "a\nb"}))
    assert line.endswith("info adapter loaded domain=voice reason=a\\nb")


def test_a_librarys_exception_is_logged_without_its_message():
    """Exceptions of libraries are logged by their type only."""
    error = ValueError("the secret transcript")
    for formatter in (JsonFormatter(), TextFormatter()):
        line = formatter.format(record(exc_info=(ValueError, error, None)))
        assert "ValueError" in line
        assert "secret" not in line


def test_a_failure_is_logged_with_type_and_traceback(caplog):
    """The line has the type and the traceback, and not the message."""
    try:
        raise KeyError("the secret transcript")
    except KeyError as error:
        log_failure(logging.getLogger("lorb_server.test"), "it failed", error, method="Rescore")
    [line] = caplog.records
    assert line.fields["error"] == "KeyError"
    assert line.fields["method"] == "Rescore"
    assert any("test_logs.py" in frame for frame in line.fields["traceback"])
    assert "secret" not in repr(vars(line))


@pytest.mark.parametrize(("log_format", "begins"), [("json", "{"), ("text", "")])
def test_logs_go_to_stderr_from_the_level_on(log_format, begins, capfd, restored_logs):
    """Lines at or above the level go to stderr in the chosen format."""
    configure_logs(log_format, "warning")
    logging.getLogger("lorb_server.x").info("not this")
    logging.getLogger("lorb_server.x").warning("but this")
    logging.getLogger().handlers[0].flush()
    captured = capfd.readouterr()
    [line] = captured.err.splitlines()
    assert line.startswith(begins)
    assert "but this" in line
    assert captured.out == ""


def test_event_loop_errors_are_logged_without_their_message(caplog):
    """Unhandled errors of tasks and callbacks are logged without message and arguments."""

    async def run():
        async def fail(words):
            raise ValueError(words)

        asyncio.get_running_loop().set_exception_handler(log_event_loop_error)
        task = asyncio.ensure_future(fail("the secret transcript"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del task
        gc.collect()
        asyncio.get_running_loop().call_soon(int, "the secret transcript")
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(run())
    ours = [record for record in caplog.records if record.name == "lorb_server.telemetry.logs"]
    assert [record.fields["error"] for record in ours] == ["ValueError", "ValueError"]
    assert not any("secret" in line for record in caplog.records for line in (repr(vars(record)), record.getMessage()))


@pytest.mark.parametrize(
    "work",
    [
        "raise ValueError(words)",
        "import threading\nthread = threading.Thread(target=int, args=(words,))\nthread.start()\nthread.join()",
        "class Broken:\n    def __del__(self):\n        raise ValueError(words)\nbroken = Broken()\ndel broken",
    ],
    ids=["process", "thread", "unraisable"],
)
def test_uncaught_errors_are_logged_without_their_message(work):
    """Uncaught errors of the process, of threads and of finalisers are one JSON line each."""
    begin = (
        "from lorb_server.telemetry.logs import configure_logs, log_uncaught_errors\n"
        "configure_logs('json', 'info')\nlog_uncaught_errors()\n"
    )
    code = begin + "words = ' '.join(['the', 'secret'])\n" + work
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603 - our own code
    [line] = ended.stderr.splitlines()
    assert json.loads(line)["error"] == "ValueError"
    assert "the secret" not in line
