"""Reads a store's folder in another process, because a read of a hung file system may never end.

Linux ends no read that a FUSE process has accepted and does not answer, not even by SIGKILL, and no process that waits
for such a read. So a long-running server leaves its reads to a small process, and can end without it.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from lorb.errors import LorbError, StoreUnavailable
from lorb_adapters.store.storage.local_folder import LocalFolder
from lorb_adapters.store.storage.protocol import Change

_READS = ("read", "list_names", "list_folders_with", "change_token")


class FolderProcess(LocalFolder):
    """Implements Storage in a folder that another process reads, one read at a time. Threads may share it.

    A read that takes too long fails with StoreUnavailable, and its process is killed; the next read starts another one.
    While the killed process does not end, every read fails at once.
    """

    def __init__(self, root: Path, *, timeout_seconds: float) -> None:
        """`timeout_seconds`: the longest duration of one read."""
        super().__init__(root)
        self._timeout_seconds = timeout_seconds
        self._reading = threading.Lock()  # guards the process and its connection
        self._process_id: int | None = None
        self._connection: Connection | None = None  # None while no process can answer

    def read(self, path: str, max_bytes: int) -> bytes:
        """Reads a regular file of at most `max_bytes`."""
        content: bytes = self._ask("read", path, max_bytes)
        return content

    def list_names(self, path: str) -> list[str]:
        """Lists a folder, sorted."""
        names: list[str] = self._ask("list_names", path)
        return names

    def list_folders_with(self, path: str, file: str) -> list[str]:
        """Lists the folders, not links, that hold `file`, sorted."""
        names: list[str] = self._ask("list_folders_with", path, file)
        return names

    def change_token(self, paths: Sequence[str]) -> str | None:
        """Returns the inode, size and times of each of `paths`, as one string."""
        token: str | None = self._ask("change_token", list(paths))
        return token

    @contextmanager
    def change(self) -> Iterator[Change]:
        """Begins a change as the only writer, in this process. Raises StoreUnavailable if the store does not answer."""
        self.list_names("")
        with super().change() as change:
            yield change

    def _ask(self, operation: str, *arguments: object) -> Any:  # noqa: ANN401
        """Returns what the process answers, or raises the error that it answers."""
        with self._reading:
            try:
                connection = self._connection or self._start()
                connection.send((operation, arguments))
                if not connection.poll(self._timeout_seconds):
                    self._end()
                    raise self._no_answer()
                answer, error = connection.recv()
            except (EOFError, OSError) as problem:
                self._end()
                raise StoreUnavailable(
                    "the process that reads the store has ended: try again", field="store"
                ) from problem
        if error is not None:
            raise error
        return answer

    def _start(self) -> Connection:
        if self._process_id is not None:
            if not _has_ended(self._process_id):
                raise self._no_answer()
            self._process_id = None
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.set_inheritable(True)
            command = [sys.executable, "-P", "-m", __name__, str(theirs.fileno()), str(self.root)]
            # without this process's standard streams, whose readers would wait for it as long as it hangs
            streams = [fd for fd in range(3) if fd != theirs.fileno()]
            null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in streams]
            self._process_id = os.posix_spawn(sys.executable, command, os.environ, file_actions=null)
        self._connection = Connection(ours.detach())
        return self._connection

    def _end(self) -> None:
        """Kills the process. Does not wait for its end."""
        if self._process_id is not None:
            with suppress(ProcessLookupError):
                os.kill(self._process_id, signal.SIGKILL)
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _no_answer(self) -> StoreUnavailable:
        return StoreUnavailable(
            f"the store has not answered for {self._timeout_seconds:g} s: check its file system or its network",
            field="store",
        )


def _has_ended(process_id: int) -> bool:
    """Whether a child process has ended; if so, its id is free for another process."""
    try:
        return os.waitpid(process_id, os.WNOHANG)[0] == process_id
    except ChildProcessError:  # whoever embeds this code ignores SIGCHLD
        return True


def serve_reads(connection: Connection, folder: LocalFolder) -> None:
    """Answers the reads that arrive on `connection`, until its other end is closed."""
    while True:
        try:
            operation, arguments = connection.recv()
        except EOFError:
            return
        answer, error = None, None
        try:
            if operation in _READS:
                answer = getattr(folder, operation)(*arguments)
        except (LorbError, FileNotFoundError) as problem:
            error = problem
        try:
            connection.send((answer, error))
        except OSError:  # the other process has ended
            return


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):  # ignored, because this process ends with the one that started it
        signal.signal(number, signal.SIG_IGN)
    serve_reads(Connection(int(sys.argv[1])), LocalFolder(Path(sys.argv[2])))
