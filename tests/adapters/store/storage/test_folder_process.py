"""lorb_adapters.store.storage.folder_process: reads of a local folder by another process."""

import os
import signal
import threading
import time

import pytest

from lorb.errors import InvalidAdapter, StoreUnavailable
from lorb_adapters.store.storage.folder_process import FolderProcess
from lorb_adapters.store.storage.local_folder import LocalFolder
from lorb_adapters.store.storage.opening import open_storage

WAIT_SECONDS = 120.0


def until(condition):
    """Returns when `condition()` is true."""
    limit = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


def has_ended(process_id):
    """Whether a child has ended. Leaves its status for others to read."""
    return os.waitid(os.P_PID, process_id, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


@pytest.fixture
def tree(tmp_path):
    """A folder with files, a folder of folders, and a link."""
    (tmp_path / "voice" / "versions" / "1-a").mkdir(parents=True)
    (tmp_path / "voice" / "versions" / "1-a" / "manifest.json").write_text("{}")
    (tmp_path / "index.json").write_bytes(b"x" * 100_000)
    (tmp_path / "link").symlink_to("index.json")
    return tmp_path


@pytest.fixture
def folder(tree):
    """The tree, read by another process that has a minute for each read."""
    folder = open_storage(str(tree), read_timeout_seconds=60.0)
    assert isinstance(folder, FolderProcess)
    yield folder
    folder._end()


def test_reads_are_those_of_a_local_folder(tree, folder):
    """Every read answers, or raises, what LocalFolder answers and raises."""
    local = LocalFolder(tree)
    reads = [
        ("read", "index.json", 100_000),
        ("read", "index.json", 99_999),
        ("read", "link", 10),
        ("read", "nothing", 10),
        ("list_names", ""),
        ("list_names", "nothing"),
        ("list_names", "index.json"),
        ("list_folders_with", "voice/versions", "manifest.json"),
        ("change_token", ["index.json", "nothing"]),
    ]
    raised = set()
    for name, *arguments in reads:
        outcomes = []
        for storage in (local, folder):
            try:
                outcomes.append(getattr(storage, name)(*arguments))
            except (FileNotFoundError, InvalidAdapter) as error:
                outcomes.append((type(error), str(error), getattr(error, "field", "")))
                raised.add(type(error))
        assert outcomes[0] == outcomes[1]
    assert raised == {FileNotFoundError, InvalidAdapter}
    with pytest.raises(StoreUnavailable, match="does not exist"):
        FolderProcess(tree / "nowhere", timeout_seconds=60.0).list_names("")


def test_threads_share_one_process(folder):
    """Reads of several threads get their own answers, from one process."""
    wrong = []

    def read():
        for size in (100_000, 50_000):
            try:
                if len(folder.read("index.json", size)) != size:
                    wrong.append(size)
            except InvalidAdapter:
                if size == 100_000:
                    wrong.append(size)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_SECONDS)
    assert wrong == []


def test_changes_are_made_by_the_caller(folder, tree):
    """A change is written and then read."""
    with folder.change() as change:
        change.put_file("new", b"content")
    assert folder.read("new", 10) == b"content"


def test_a_read_that_hangs_fails_and_the_next_one_has_a_new_process(tree):
    """A read of a stopped process fails in time; the process is killed, and another one answers."""
    folder = FolderProcess(tree, timeout_seconds=60.0)
    folder.list_names("")
    first = folder._process_id
    os.kill(first, signal.SIGSTOP)
    folder._timeout_seconds = 0.05
    with pytest.raises(StoreUnavailable, match="has not answered"):
        folder.list_names("")
    until(lambda: has_ended(first))
    folder._timeout_seconds = 60.0
    assert "index.json" in folder.list_names("")
    assert folder._process_id != first
    folder._end()


def test_while_a_process_does_not_end_reads_fail_at_once(tree):
    """While a killed process still hangs in the kernel, every read fails, and no further process is started."""
    folder = FolderProcess(tree, timeout_seconds=60.0)
    folder.list_names("")
    process = folder._process_id
    connection, folder._connection = folder._connection, None  # as if it had been killed and hung in the kernel
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="has not answered"):
            folder.list_names("")
    assert folder._process_id == process
    connection.close()
    until(lambda: has_ended(process))
    assert "index.json" in folder.list_names("")
    folder._end()


def test_a_process_that_dies_is_replaced(folder):
    """A killed process is one failed read."""
    folder.list_names("")
    os.kill(folder._process_id, signal.SIGKILL)
    until(lambda: has_ended(folder._process_id))
    with pytest.raises(StoreUnavailable, match="try again"):
        folder.list_names("")
    assert "index.json" in folder.list_names("")


def test_the_process_ends_with_its_owner(folder):
    """When the connection is closed, the process ends by itself."""
    folder.list_names("")
    folder._connection.close()
    until(lambda: has_ended(folder._process_id))
    folder._connection = None
