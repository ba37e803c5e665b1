"""How a command that trains ends."""

import json

import pytest

from lorb.errors import InvalidInput, NotPublished
from lorb_adapters.training.cli.exit_status import exit_status
from lorb_adapters.training.run_folder import RunFolder


def ending(folder, error):
    def run():
        raise error

    return exit_status("lorb-command", run, lost="nothing was made", folder=folder)


def test_what_ran_to_its_end_says_its_own_status(tmp_path, capsys):
    """And nothing is added to what it said."""
    assert exit_status("lorb-command", lambda: 0, lost="", folder=tmp_path) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (InvalidInput("seed is -1", field="seed"), 2, "lorb-command: seed is -1"),
        (NotPublished("dev did not improve"), 3, "lorb-command: dev did not improve"),
        (KeyboardInterrupt(), 130, "lorb-command: interrupted, nothing was made"),
    ],
)
def test_each_way_to_stop_has_its_status_and_one_line(tmp_path, capsys, error, status, said):
    """Mistakes 2, no gain 3, an interrupt 130."""
    assert ending(tmp_path, error) == status
    assert capsys.readouterr().err == said + "\n"


def test_an_interrupt_says_how_to_go_on_where_there_is_a_run(tmp_path, capsys):
    """The folder of its checkpoints is named."""
    with RunFolder(tmp_path) as folder:
        folder.start({})
    assert json.loads((tmp_path / "run.json").read_text())["status"] == "training"
    assert ending(tmp_path, KeyboardInterrupt()) == 130
    assert f"its checkpoints are in {tmp_path}: the same command with --resume" in capsys.readouterr().err


def test_what_is_no_mistake_of_the_user_is_not_hidden(tmp_path):
    """A fault of ours keeps its traceback."""
    with pytest.raises(ZeroDivisionError):
        ending(tmp_path, ZeroDivisionError())
