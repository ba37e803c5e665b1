"""lorb_server.cli: flags, environment variables and exit statuses of lorb-serve."""

import dataclasses
import subprocess
import sys

import pytest

from lorb.errors import InvalidInput
from lorb_server.cli import main, read_config
from lorb_server.config import ServeConfig
from lorb_server.setting import flag
from support.servers.serving import WAIT_SECONDS

pytestmark = pytest.mark.usefixtures("restored_logs")  # main() configures the logging of the process


def test_defaults_apply_without_flags_and_variables():
    """Without flags and variables, the settings are ServeConfig's defaults."""
    assert read_config([], {}) == ServeConfig()


def test_a_flag_wins_over_its_variable():
    """A flag wins over its variable, and a variable over the default."""
    config = read_config(
        ["--port", "1000", "--no-admin"], {"LORB_PORT": "2000", "LORB_HOST": "0.0.0.0", "LORB_ADMIN": "1"}
    )
    assert (config.port, config.host, config.admin) == (1000, "0.0.0.0", False)


def test_a_flag_with_the_default_value_wins_over_its_variable():
    """A flag that repeats the default still overrides the variable."""
    assert read_config(["--port", "50051"], {"LORB_PORT": "2000"}).port == 50051


def test_help_lists_every_flag(capsys):
    """--help lists every flag, and says how variables are named."""
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    text = capsys.readouterr().out
    assert ended.value.code == 0
    assert all(flag(field.name) in text for field in dataclasses.fields(ServeConfig))
    assert "LORB_MAX_QUEUE_TOKENS" in text


def test_impossible_settings_are_one_line_and_status_2(capsys):
    """A wrong setting ends the program with status 2 and one line that names it."""
    assert main(["--port", "70000"]) == 2
    captured = capsys.readouterr()
    assert captured.err.splitlines() == ["lorb-serve: --port is 70000: give 65535 or less"]


def test_a_value_of_the_wrong_kind_is_status_2(capsys):
    """The parser refuses a value of the wrong type and names the flag."""
    with pytest.raises(SystemExit) as ended:
        main(["--max-batch-tokens", "many"])
    assert ended.value.code == 2
    assert "--max-batch-tokens" in capsys.readouterr().err


def test_a_variable_of_the_wrong_kind_is_refused():
    """A variable with a value of the wrong type is refused by its name."""
    with pytest.raises(InvalidInput, match="LORB_PORT"):
        read_config([], {"LORB_PORT": "many"})


def test_a_missing_store_is_status_2(tmp_path, capsys):
    """A missing store folder ends the program with one line that names it."""
    assert main(["--store", str(tmp_path / "nowhere"), "--log-level", "error"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("lorb-serve: --store ")
    assert "nowhere" in line


def test_a_missing_base_is_status_2(tmp_path, capsys):
    """A missing base ends the program with one line that names it."""
    assert main(["--store", str(tmp_path), "--base", str(tmp_path / "nowhere"), "--log-level", "error"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "nowhere" in line


def test_a_budget_below_the_longest_hypothesis_is_status_2(tmp_path, tiny_bert, capsys):
    """A --max-batch-tokens below the length of one hypothesis is refused."""
    arguments = [
        "--store",
        str(tmp_path),
        "--base",
        str(tiny_bert),
        "--max-batch-tokens",
        "63",
        "--device",
        "cpu",
    ]
    assert main(arguments) == 2
    assert "--max-batch-tokens is 63" in capsys.readouterr().err


def test_the_process_ends_although_a_thread_never_does():
    """After the server has stopped, a thread that never returns does not keep the process, and the log is written."""
    program = (
        "import logging, threading; from lorb_server.cli import end_process; "
        "from lorb_server.telemetry.logs import configure_logs; configure_logs('text', 'info'); "
        "threading.Thread(target=threading.Event().wait).start(); "
        "logging.getLogger('test').info('stopped'); end_process(3)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=WAIT_SECONDS)  # noqa: S603
    assert ended.returncode == 3
    assert "stopped" in ended.stderr
