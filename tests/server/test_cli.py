"""lorb-serve's command line."""

import dataclasses

import pytest

from lorb.errors import InvalidInput
from lorb_server.cli import main, read_config
from lorb_server.config import ServeConfig
from lorb_server.setting import flag

pytestmark = pytest.mark.usefixtures("restored_logs")  # main() takes over the logging of its process


def test_defaults_hold_without_flags_and_variables():
    """Nothing given is ServeConfig's own defaults."""
    assert read_config([], {}) == ServeConfig()


def test_a_flag_wins_over_its_variable():
    """Flag, then variable, then default."""
    config = read_config(
        ["--port", "1000", "--no-admin"], {"LORB_PORT": "2000", "LORB_HOST": "0.0.0.0", "LORB_ADMIN": "1"}
    )
    assert (config.port, config.host, config.admin) == (1000, "0.0.0.0", False)


def test_a_flag_wins_even_where_it_says_the_default():
    """A flag that repeats the default still overrides the variable."""
    assert read_config(["--port", "50051"], {"LORB_PORT": "2000"}).port == 50051


def test_help_tells_of_every_flag(capsys):
    """--help lists all settings, with their defaults, and how to give them as variables."""
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    text = capsys.readouterr().out
    assert ended.value.code == 0
    assert all(flag(field.name) in text for field in dataclasses.fields(ServeConfig))
    assert "LORB_MAX_QUEUE_TOKENS" in text


def test_impossible_settings_are_one_line_and_status_2(capsys):
    """A wrong setting ends it before anything is loaded, in one line that names it."""
    assert main(["--port", "70000"]) == 2
    captured = capsys.readouterr()
    assert captured.err.splitlines() == ["lorb-serve: --port is 70000: give 65535 or less"]


def test_a_value_of_the_wrong_kind_is_status_2(capsys):
    """Argparse's own refusal names the flag."""
    with pytest.raises(SystemExit) as ended:
        main(["--max-batch-tokens", "many"])
    assert ended.value.code == 2
    assert "--max-batch-tokens" in capsys.readouterr().err


def test_a_variable_of_the_wrong_kind_is_refused():
    """The variable is named."""
    with pytest.raises(InvalidInput, match="LORB_PORT"):
        read_config([], {"LORB_PORT": "many"})


def test_a_store_that_is_not_there_is_status_2(tmp_path, capsys):
    """A mistyped folder ends it with one line."""
    assert main(["--store", str(tmp_path / "nowhere"), "--log-level", "error"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("lorb-serve: --store ")
    assert "nowhere" in line


def test_a_base_that_is_not_there_is_status_2(tmp_path, capsys):
    """A mistyped base ends it with one line that says what a base may be."""
    assert main(["--store", str(tmp_path), "--base", str(tmp_path / "nowhere"), "--log-level", "error"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "nowhere" in line


def test_a_budget_below_the_longest_row_is_status_2(tmp_path, tiny_bert, capsys):
    """A pass that cannot hold one long hypothesis is refused, naming the flag and the length."""
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
