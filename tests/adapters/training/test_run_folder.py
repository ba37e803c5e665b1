"""A run's folder: whole after any stop, held by one, and refused to a run that is not the same."""

import json
import os

import pytest

from lorb.errors import InvalidInput
from lorb_adapters.training import run_folder
from lorb_adapters.training.run_folder import FINISHED, TRAINED, TRAINING, RunFolder

IDENTITY = {"config": {"seed": 0, "lora": {"rank": 8, "targets": ("query", "key")}}, "base": "abc", "threads": 2}


@pytest.fixture
def opened(tmp_path):
    """Opens the folder anew, as another process after the last one's end."""
    held = []

    def open_():
        while held:
            held.pop().close()
        held.append(RunFolder(tmp_path / "run"))
        return held[0]

    yield open_
    while held:
        held.pop().close()


def test_a_stopped_run_is_resumed_or_restarted_on_purpose_only(opened, tmp_path):
    """Without a flag an unfinished run with a checkpoint is an error that names both flags."""
    folder = opened()
    folder.start(IDENTITY)
    folder.save(b"one")
    folder.save(b"two")
    with pytest.raises(InvalidInput, match=r"--resume.*--restart"):
        opened().start(IDENTITY)
    folder = opened()
    folder.resume(IDENTITY)
    assert folder.load() == b"two"
    assert folder.num_resumes == 1
    folder = opened()
    folder.restart(IDENTITY)
    assert folder.load() == b""
    assert folder.num_resumes == 0
    assert RunFolder.status(tmp_path / "run") == TRAINING


def test_where_publishing_began_is_kept_until_a_restart(opened):
    """The first number that was told stays, through resumes; another place has its own, and a restart forgets."""
    folder = opened()
    folder.start(IDENTITY)
    assert folder.last_number_before_publishing("books in store", 3) == 3
    folder = opened()
    folder.resume(IDENTITY)
    assert folder.last_number_before_publishing("books in store", 4) == 3
    assert folder.last_number_before_publishing("books in another", 7) == 7
    folder.restart(IDENTITY)
    assert folder.last_number_before_publishing("books in another", 8) == 8


def test_what_differs_is_named(opened):
    """Another setting, base or number of threads: each is told with both values; lists and tuples are the same."""
    opened().start(IDENTITY)
    opened().resume(json.loads(json.dumps(IDENTITY)))
    other = {"config": {"seed": 1, "lora": {"rank": 8, "targets": ["query"]}}, "base": "abd", "threads": 2, "new": 1}
    with pytest.raises(InvalidInput) as caught:
        opened().resume(other)
    message = str(caught.value)
    assert "config.seed was 0 and is 1" in message
    assert 'config.lora.targets was ["query", "key"] and is ["query"]' in message
    assert 'base was "abc" and is "abd"' in message
    assert "new was null and is 1" in message
    assert "threads" not in message


def test_a_finished_run_says_so_and_makes_room_for_the_next(opened, tmp_path):
    """It cannot be resumed, its checkpoint is gone, and a new run begins without a flag."""
    folder = opened()
    folder.start(IDENTITY)
    folder.save(b"one")
    folder.end(FINISHED, "published books@1-abc")
    assert not (tmp_path / "run" / "checkpoint.safetensors").exists()
    with pytest.raises(InvalidInput, match=r"finished \(published books@1-abc\)"):
        opened().resume(IDENTITY)
    opened().start(IDENTITY)


def test_what_was_not_published_can_be_taken_up_again(opened):
    """Its checkpoint stays for --resume --force, and does not stand in a new run's way."""
    folder = opened()
    folder.start(IDENTITY)
    folder.save(b"one")
    folder.end(TRAINED, "not published")
    folder = opened()
    folder.resume(IDENTITY)
    assert folder.load() == b"one"
    folder.end(TRAINED, "not published")
    opened().start(IDENTITY)


def test_nothing_to_resume_is_said(opened):
    """An empty folder is no run."""
    with pytest.raises(InvalidInput, match="holds no run to resume"):
        opened().resume(IDENTITY)


def test_one_process_holds_the_folder(tmp_path):
    """A second one is told that the first is training there."""
    first = RunFolder(tmp_path)
    with pytest.raises(InvalidInput, match="another process is training"):
        RunFolder(tmp_path)
    first.close()
    RunFolder(tmp_path).close()


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_stop_while_a_checkpoint_is_written_leaves_the_one_before(opened, monkeypatch, moment):
    """Whether it comes before the bytes are on the disk or before they have their name."""
    folder = opened()
    folder.start(IDENTITY)
    folder.save(b"whole")

    def stops(*_arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(run_folder.os, moment, stops)
        with pytest.raises(KeyboardInterrupt):
            folder.save(b"half")
    folder = opened()
    folder.resume(IDENTITY)
    assert folder.load() == b"whole"


def test_a_disk_that_is_full_is_one_line(opened, monkeypatch):
    """The system's reason, and how to go on; the checkpoint before is kept."""
    folder = opened()
    folder.start(IDENTITY)
    folder.save(b"whole")

    def is_full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(run_folder.os, "fsync", is_full)
        with pytest.raises(InvalidInput, match=r"No space left on device.*--resume"):
            folder.save(b"half")
    assert folder.load() == b"whole"


def test_a_torn_record_is_one_line(opened, tmp_path):
    """run.json that is no JSON is named with what to do, and --restart mends it."""
    opened().start(IDENTITY)
    (tmp_path / "run" / "run.json").write_text('{"status": "tr')
    with pytest.raises(InvalidInput, match=r"run\.json .*--restart"):
        opened().resume(IDENTITY)
    opened().restart(IDENTITY)
    opened().resume(IDENTITY)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    """The reason is the system's."""
    tmp_path.chmod(0o500)
    with pytest.raises(InvalidInput, match="cannot be made"):
        RunFolder(tmp_path / "run")


def test_a_file_in_the_folders_place_is_one_line(tmp_path):
    """A run-dir that is a file is refused by name."""
    (tmp_path / "run").write_text("")
    with pytest.raises(InvalidInput, match="run-dir"):
        RunFolder(tmp_path / "run")
