"""The run folder: consistent after any stop, locked by one process, and closed to a different run."""

import json
import os

import pytest

from lorb.errors import InvalidInput
from lorb_adapters import atomic_files
from lorb_adapters.training.run_folder import FINISHED, TRAINED, TRAINING, RunFolder

IDENTITY = {"config": {"seed": 0, "lora": {"rank": 8, "targets": ("query", "key")}}, "base": "abc", "threads": 2}


@pytest.fixture
def opened(tmp_path):
    """Returns a function that closes the folder and opens it again, as the next process does."""
    open_folders = []

    def open_():
        while open_folders:
            open_folders.pop().close()
        open_folders.append(RunFolder(tmp_path / "run"))
        return open_folders[0]

    yield open_
    while open_folders:
        open_folders.pop().close()


def test_an_unfinished_run_needs_a_flag(opened, tmp_path):
    """A start over an unfinished run is refused naming --resume and --restart, and both of them work."""
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


def test_a_trained_run_is_not_lost_by_the_same_command(opened):
    """A start over a trained, unpublished run is refused with a line how to publish it, and its checkpoint stays."""
    folder = opened()
    folder.start(IDENTITY)
    folder.save(b"trained")
    folder.end(TRAINED, "not published: dev did not improve")
    with pytest.raises(InvalidInput, match=r"was not published: .* --resume --force .* --restart"):
        opened().start(IDENTITY)
    folder = opened()
    folder.resume(IDENTITY)
    assert folder.load() == b"trained"


@pytest.mark.parametrize("status", [TRAINING, TRAINED])
def test_a_command_that_differs_from_the_run_is_not_told_to_resume_it(opened, status):
    """--resume would refuse other settings: a start with them names the difference and --restart, and no --resume."""
    folder = opened()
    folder.start(IDENTITY)
    folder.save(b"a checkpoint")
    folder.end(status, "")
    with pytest.raises(InvalidInput, match=r"threads was 2 and is 1.* --restart") as caught:
        opened().start(IDENTITY | {"threads": 1})
    assert "--resume" not in caught.value.message


def test_the_number_before_publishing_is_kept_until_a_restart(opened):
    """The first number stays through resumes; another place has its own, and a restart forgets it."""
    folder = opened()
    folder.start(IDENTITY)
    assert folder.last_number_before_publishing("books in store", 3) == 3
    folder = opened()
    folder.resume(IDENTITY)
    assert folder.last_number_before_publishing("books in store", 4) == 3
    assert folder.last_number_before_publishing("books in another", 7) == 7
    folder.restart(IDENTITY)
    assert folder.last_number_before_publishing("books in another", 8) == 8


def test_a_different_run_is_refused_naming_the_differences(opened):
    """Each differing value is named with both values; lists and tuples compare equal."""
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


def test_a_finished_run_cannot_be_resumed_and_allows_the_next(opened, tmp_path):
    """A finished run has no checkpoint, --resume is refused, and a new run starts without a flag."""
    folder = opened()
    folder.start(IDENTITY)
    folder.save(b"one")
    folder.end(FINISHED, "published books@1-abc")
    assert not (tmp_path / "run" / "checkpoint.safetensors").exists()
    with pytest.raises(InvalidInput, match=r"finished \(published books@1-abc\)"):
        opened().resume(IDENTITY)
    opened().start(IDENTITY)


def test_an_unpublished_run_can_be_resumed(opened):
    """A trained but unpublished run keeps its checkpoint for --resume --force, and --restart discards it."""
    folder = opened()
    folder.start(IDENTITY)
    folder.save(b"one")
    folder.end(TRAINED, "not published")
    folder = opened()
    folder.resume(IDENTITY)
    assert folder.load() == b"one"
    folder.end(TRAINED, "not published")
    folder = opened()
    folder.restart(IDENTITY)
    assert folder.load() == b""


def test_an_empty_folder_has_no_run_to_resume(opened):
    """--resume is refused in an empty folder."""
    with pytest.raises(InvalidInput, match="holds no run to resume"):
        opened().resume(IDENTITY)


def test_one_process_locks_the_folder(tmp_path):
    """A second process is refused until the first one closes the folder."""
    first = RunFolder(tmp_path)
    with pytest.raises(InvalidInput, match="another process is training"):
        RunFolder(tmp_path)
    first.close()
    RunFolder(tmp_path).close()


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_stop_while_a_checkpoint_is_written_keeps_the_last_one(opened, monkeypatch, moment):
    """An interrupt before the bytes are on disk, or before the rename, leaves the last checkpoint."""
    folder = opened()
    folder.start(IDENTITY)
    folder.save(b"whole")

    def stops(*_arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(atomic_files.os, moment, stops)
        with pytest.raises(KeyboardInterrupt):
            folder.save(b"half")
    folder = opened()
    folder.resume(IDENTITY)
    assert folder.load() == b"whole"


def test_a_full_disk_is_reported_with_its_remedy(opened, monkeypatch):
    """The error has the system's reason and --resume; the last checkpoint is kept."""
    folder = opened()
    folder.start(IDENTITY)
    folder.save(b"whole")

    def is_full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(atomic_files.os, "fsync", is_full)
        with pytest.raises(InvalidInput, match=r"No space left on device.*--resume"):
            folder.save(b"half")
    assert folder.load() == b"whole"


def test_a_damaged_record_is_reported_with_its_remedy(opened, tmp_path):
    """The error for a run.json that is not JSON names the file and --restart, which repairs it."""
    opened().start(IDENTITY)
    (tmp_path / "run" / "run.json").write_text('{"status": "tr')
    with pytest.raises(InvalidInput, match=r"run\.json .*--restart"):
        opened().resume(IDENTITY)
    opened().restart(IDENTITY)
    opened().resume(IDENTITY)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_created_is_refused(tmp_path):
    """The error says that the folder cannot be created."""
    tmp_path.chmod(0o500)
    with pytest.raises(InvalidInput, match="cannot be created"):
        RunFolder(tmp_path / "run")


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    """The error for a run-dir that is a file names run-dir."""
    (tmp_path / "run").write_text("")
    with pytest.raises(InvalidInput, match="run-dir"):
        RunFolder(tmp_path / "run")
