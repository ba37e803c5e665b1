"""Exit statuses and error lines of the training commands."""

import json

import pytest

from lorb.errors import InvalidInput, NotPublished
from lorb_adapters.training.cli.exit_status import exit_status
from lorb_adapters.training.run_folder import RunFolder


def fail_with(folder, error):
    def run():
        raise error

    return exit_status("lorb-command", run, lost="nothing was made", folder=folder)


def test_a_successful_run_returns_its_own_status(tmp_path, capsys):
    """A run without error returns its status and prints nothing on stderr."""
    assert exit_status("lorb-command", lambda: 0, lost="", folder=tmp_path) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (InvalidInput("seed is -1", field="seed"), 2, "lorb-command: seed is -1"),
        (NotPublished("dev did not improve"), 3, "lorb-command: dev did not improve"),
        (KeyboardInterrupt(), 130, "lorb-command: interrupted, nothing was made"),
    ],
)
def test_each_error_has_its_status_and_one_line(tmp_path, capsys, error, status, line):
    """A usage error gives 2, an adapter that is not published 3, an interrupt 130."""
    assert fail_with(tmp_path, error) == status
    assert capsys.readouterr().err == line + "\n"


def test_an_interrupt_says_how_to_resume(tmp_path, capsys):
    """If the folder has an unfinished run, the line names the folder and --resume."""
    with RunFolder(tmp_path) as folder:
        folder.start({})
    assert json.loads((tmp_path / "run.json").read_text())["status"] == "training"
    assert fail_with(tmp_path, KeyboardInterrupt()) == 130
    assert f"its checkpoint is in {tmp_path}: repeat the command with --resume" in capsys.readouterr().err


def test_other_errors_keep_their_traceback(tmp_path):
    """Any other error is raised unchanged."""
    with pytest.raises(ZeroDivisionError):
        fail_with(tmp_path, ZeroDivisionError())
