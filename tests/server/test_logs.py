"""Log lines."""

import json
import logging

import pytest

from lorb_server.logs import JsonFormatter, TextFormatter, configure_logs, log_failure


def record(message="adapter loaded", fields=None, **settings):
    made = logging.LogRecord("lorb_server.x", logging.INFO, __file__, 1, message, (), settings.get("exc_info"))
    if fields is not None:
        made.fields = fields
    return made


def test_a_json_line_is_one_object():
    """Time, level, logger, message and the line's own fields, whatever is in them."""
    line = JsonFormatter().format(record(fields={"domain": "voice", "reason": 'a "b"\nc', "path": object}))
    assert "\n" not in line
    content = json.loads(line)
    assert content["message"] == "adapter loaded"
    assert (content["level"], content["logger"], content["domain"]) == ("info", "lorb_server.x", "voice")
    assert content["reason"] == 'a "b"\nc'
    assert content["time"].endswith("+00:00")


def test_a_text_line_is_one_line():
    """For people, and still one line whatever a field holds."""
    line = TextFormatter().format(record(fields={"domain": "voice", "reason": "a\nb"}))
    assert line.endswith("info adapter loaded domain=voice reason=a\\nb")


def test_a_library_s_exception_is_named_without_its_words():
    """Messages of exceptions may quote what a caller sent."""
    error = ValueError("the secret transcript")
    for formatter in (JsonFormatter(), TextFormatter()):
        line = formatter.format(record(exc_info=(ValueError, error, None)))
        assert "ValueError" in line
        assert "secret" not in line


def test_a_failure_is_logged_by_type_and_place(caplog):
    """The traceback's places are there, the message is not."""
    try:
        raise KeyError("the secret transcript")
    except KeyError as error:
        log_failure(logging.getLogger("lorb_server.test"), "it failed", error, method="Rescore")
    [made] = caplog.records
    assert made.fields["error"] == "KeyError"
    assert made.fields["method"] == "Rescore"
    assert any("test_logs.py" in frame for frame in made.fields["traceback"])
    assert "secret" not in repr(vars(made))


@pytest.mark.parametrize(("log_format", "begins"), [("json", "{"), ("text", "")])
def test_logs_go_to_stderr_from_the_level_on(log_format, begins, capsys, restored_logs):
    """One line for what is important enough, in the format asked for."""
    configure_logs(log_format, "warning")
    logging.getLogger("lorb_server.x").info("not this")
    logging.getLogger("lorb_server.x").warning("but this")
    captured = capsys.readouterr()
    [line] = captured.err.splitlines()
    assert line.startswith(begins)
    assert "but this" in line
    assert captured.out == ""
