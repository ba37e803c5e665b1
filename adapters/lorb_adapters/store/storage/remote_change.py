"""Applies a change to a remote store in order and detects other writers."""

import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from lorb.errors import StoreConflict
from lorb_adapters.store.storage.conditional_puts import CHANGED_MEANWHILE, ConditionalPuts

_MAX_UPDATE_ATTEMPTS = 30
_MAX_UPDATE_PAUSE_SECONDS = 0.2
_OVERWRITTEN = (
    "{path} was written by another publisher at the same time; this store has no conditional writes, so let one "
    "publisher write at a time: check `lorb-adapters list`, then try again"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """A file as a writer read it before changing it.

    Attributes:
        etag: its ETag; None if the file system has none, or there was no file.
        content: None if there was no file.
    """

    etag: str | None
    content: bytes | None


class RemoteChange:
    """Collects writes; `apply` executes them.

    With conditional writes, a file is replaced only if it is unchanged since this writer read it. Without them, the
    file is compared just before and just after the write; this detects most concurrent writers but does not prevent
    them. If the aliases cannot be replaced, a version that the same change added is removed again.
    """

    def __init__(
        self,
        files: Any,  # noqa: ANN401 - fsspec is untyped
        at: Callable[[str], str],
        puts: ConditionalPuts,
        readings: Mapping[str, Reading],
    ) -> None:
        """`readings`: each file as this writer read it, by path; the caller may add to it until `apply`.

        `files`: an fsspec file system. `at`: maps a path in the store to a path in the file system.
        """
        self._files = files
        self._at = at
        self._puts = puts
        self._readings = readings
        self._steps: list[Callable[[], None]] = []
        self._added: list[str] = []  # new folders that no alias can point at yet

    def put_folder(self, path: str, files: Mapping[str, bytes]) -> None:
        """Adds a new folder, its last file last."""
        *others, last = files
        self._steps.append(partial(self._check_absent, path, last))
        self._steps += [partial(self._write, f"{path}/{name}", files[name]) for name in others]
        self._steps.append(partial(self._complete, path, last, files[last]))

    def put_file(self, path: str, content: bytes) -> None:
        """Writes or replaces a file; `apply` fails if another writer changed it after this writer read it."""
        self._steps.append(partial(self._replace, path, content))

    def update_file(self, path: str, render: Callable[[], bytes]) -> None:
        """Replaces a file by what `render` returns; calls `render` again if another writer replaced it meanwhile."""
        self._steps.append(partial(self._update, path, render))

    def remove_folder(self, path: str, first: str) -> None:
        """Removes a folder if it exists, `first` before its other files."""
        self._steps.append(partial(self._remove_file, f"{path}/{first}"))
        self._steps.append(partial(self._remove_rest, path))

    def apply(self) -> None:
        """Executes all writes in order; raises StoreConflict if another writer interfered."""
        for step in self._steps:
            step()

    def _check_absent(self, path: str, last_file: str) -> None:
        if self._files.exists(self._at(f"{path}/{last_file}")):
            raise _exists(path)

    def _complete(self, path: str, last_file: str, content: bytes) -> None:
        """Writes the file that makes a folder exist for readers."""
        file = f"{path}/{last_file}"
        if not self._puts.supported:
            self._write(file, content)
        else:
            try:
                self._put(file, content, None)
            except StoreConflict as conflict:
                raise _exists(path) from conflict
        self._added.append(path)

    def _replace(self, path: str, content: bytes) -> None:
        before = self._readings.get(path)
        try:
            if before is None:
                self._write(path, content)
            elif self._puts.supported:
                self._put(path, content, before.etag)
            else:
                self._replace_compared(path, content, before)
        except StoreConflict:
            self._remove_added()
            raise
        self._added.clear()  # an alias may point at the added versions now

    def _put(self, path: str, content: bytes, etag: str | None) -> None:
        try:
            self._puts.put(path, content, etag)
        except StoreConflict:
            # The library repeats a write whose response was lost, and the server refuses the repetition. The write has
            # succeeded if the file has this writer's content.
            if self._content(path) != content:
                raise

    def _replace_compared(self, path: str, content: bytes, before: Reading) -> None:
        if self._content(path) != before.content:
            raise StoreConflict(CHANGED_MEANWHILE.format(path=path))
        self._write(path, content)
        if self._content(path) != content:
            raise StoreConflict(_OVERWRITTEN.format(path=path))

    def _update(self, path: str, render: Callable[[], bytes]) -> None:
        if not self._puts.supported:
            self._write(path, render())
            return
        for attempt in range(_MAX_UPDATE_ATTEMPTS):
            etag = self._puts.etag(path)
            try:
                self._puts.put(path, render(), etag)
            except StoreConflict:
                if attempt == _MAX_UPDATE_ATTEMPTS - 1:
                    raise
                time.sleep(random.uniform(0, _MAX_UPDATE_PAUSE_SECONDS))  # noqa: S311 - no secret
            else:
                return

    def _remove_file(self, path: str) -> None:
        with suppress(FileNotFoundError):  # a killed process removed it
            self._files.rm_file(self._at(path))

    def _remove_rest(self, path: str) -> None:
        self._files.invalidate_cache()
        with suppress(FileNotFoundError):  # there were no other files
            self._files.rm(self._at(path), recursive=True)

    def _remove_added(self) -> None:
        """Removes the new folders, which no alias points at: the caller gets StoreConflict and publishes again."""
        for path in self._added:
            with suppress(Exception):  # a version without an alias is harmless
                self._files.rm(self._at(path), recursive=True)
        self._added.clear()

    def _write(self, path: str, content: bytes) -> None:
        place = self._at(path)
        if not self._puts.is_s3:  # S3 has no folders, and a mistyped bucket would be created
            self._files.makedirs(place.rpartition("/")[0], exist_ok=True)
        self._files.pipe_file(place, content)

    def _content(self, path: str) -> bytes | None:
        self._files.invalidate_cache()
        try:
            return bytes(self._files.cat_file(self._at(path)))
        except FileNotFoundError:
            return None


def _exists(path: str) -> StoreConflict:
    return StoreConflict(f"{path} was published by another writer: try again")
