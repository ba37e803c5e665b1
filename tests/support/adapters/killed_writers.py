"""Kills a command on a store before one of its writes, and follows a store as a server does."""

import os
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from lorb_adapters.store.store import Store

_KILLED = 77
_WRITES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir"}
_REMOTE_WRITES = ("pipe_file", "makedirs", "rm_file", "rm")


class Killed(BaseException):
    """Ends a command at once: no handler of errors runs."""


def killed_in_folder(command: Callable[[Store], object], store: Store, write: int) -> bool:
    """Runs the command in a fork, which exits before its write number `write`. Whether there was such a write."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns that other threads run
        child = os.fork()
    if child == 0:
        count = 0

        def exit_at_write(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal count
            is_open = event == "open" and bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
            if event in _WRITES or is_open:
                count += 1
                if count > write:
                    os._exit(_KILLED)

        sys.addaudithook(exit_at_write)
        try:
            command(store)
        except BaseException:
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, _KILLED)
    return status == _KILLED


def killed_in_object_store(command: Callable[[Store], object], store: Store, write: int) -> bool:
    """Runs the command until its write number `write`; neither it nor a later one is made. Whether there was one."""
    files, count = store._storage._files, 0

    def counted(call: Callable[..., object]) -> Callable[..., object]:
        def write_or_die(*arguments: object, **options: object) -> object:
            nonlocal count
            count += 1
            if count > write:
                raise Killed
            return call(*arguments, **options)

        return write_or_die

    with pytest.MonkeyPatch.context() as patch:
        for name in _REMOTE_WRITES:
            patch.setattr(files, name, counted(getattr(files, name)))
        with suppress(Killed):
            command(store)
    return count > write


class Follower:
    """Reads one domain only when the generation has changed, as a server does."""

    def __init__(self, store: Store, domain: str) -> None:
        self._store = store
        self._domain = domain
        self._generation = -1
        self.seen: tuple[list[str], dict[str, object]] = ([], {})

    def poll(self) -> None:
        """Follows the store."""
        generation = self._store.generation()
        if generation != self._generation:
            self.seen = self.read()
            self._generation = generation

    def read(self) -> tuple[list[str], dict[str, object]]:
        """The domain's versions and aliases in the store."""
        return self._store.versions(self._domain), dict(self._store.aliases(self._domain).by_name)
