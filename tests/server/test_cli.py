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


def run_program(program):
    """Runs a Python program to its end; returns its exit status and the lines that it wrote to stderr."""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=WAIT_SECONDS)  # noqa: S603
    return ended.returncode, ended.stderr.splitlines()


def lorb_serve(*arguments):
    """Runs lorb-serve to its end; returns its exit status and the lines that it wrote to stderr."""
    return run_program(f"from lorb_server.cli import main; main({[*map(str, arguments)]})")


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


def test_impossible_settings_are_one_line_and_status_2():
    """A wrong setting ends the program with status 2 and one line that names it."""
    assert lorb_serve("--port", 70000) == (2, ["lorb-serve: --port is 70000: give 65535 or less"])


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


def test_a_missing_store_is_status_2(tmp_path):
    """A missing store folder ends the program with one line that names it."""
    status, [line] = lorb_serve("--store", tmp_path / "nowhere", "--log-level", "error")
    assert status == 2
    assert line.startswith("lorb-serve: --store ")
    assert "nowhere" in line


def test_a_missing_base_is_status_2(tmp_path):
    """A missing base ends the program with one line that names it."""
    status, [line] = lorb_serve("--store", tmp_path, "--base", tmp_path / "nowhere", "--log-level", "error")
    assert status == 2
    assert "nowhere" in line


def test_a_budget_below_the_longest_hypothesis_is_status_2(tmp_path, tiny_bert):
    """A --max-batch-tokens below the length of one hypothesis is refused."""
    flags = ("--store", tmp_path, "--base", tiny_bert, "--max-batch-tokens", 63, "--device", "cpu")
    status, lines = lorb_serve(*flags)
    assert status == 2
    assert "--max-batch-tokens is 63" in "".join(lines)


# A thread that never returns, as one does whose read hangs.
HUNG_THREAD = "import threading; threading.Thread(target=threading.Event().wait).start(); "


def test_the_process_ends_although_a_thread_never_does():
    """After the server has stopped, a thread that never returns does not keep the process, and the log is written."""
    status, lines = run_program(
        HUNG_THREAD + "import logging; from lorb_server.cli import end_process; "
        "from lorb_server.telemetry.logs import configure_logs; configure_logs('text', 'info'); "
        "logging.getLogger('test').info('stopped'); end_process(3)"
    )
    assert status == 3
    assert "stopped" in "".join(lines)


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        ("lorb.errors.StoreUnavailable('gone')", 2, "lorb-serve: gone"),
        ("KeyboardInterrupt()", 130, ""),
        ("ValueError('a text')", 1, "an error ended the process error=ValueError"),
    ],
)
def test_a_failed_start_ends_although_a_thread_never_does(error, status, line):
    """If the start fails or is interrupted, a thread that never returns does not keep the process."""
    ended, lines = run_program(
        HUNG_THREAD + "import lorb.errors, lorb_server.app\n"
        f"def serve(config): raise {error}\n"
        "lorb_server.app.serve = serve\n"
        "from lorb_server.cli import main; main(['--log-format', 'text'])"
    )
    assert ended == status
    assert line in "".join(lines)
