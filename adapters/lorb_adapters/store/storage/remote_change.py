"""What a writer does to a store on an fsspec file system, in order, and how it finds out about another writer."""

import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from lorb.errors import StoreConflict
from lorb_adapters.store.storage.conditional_puts import MOVED, ConditionalPuts

_RENEWALS = 30
_RENEWAL_PAUSE_SECONDS = 0.2
_ALONE = (
    "{path} was written by another publisher at the same time; this store has no conditional writes, so one publisher "
    "at a time: look at `lorb-adapters list`, then try again"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a writer read before it changed it.

    Attributes:
        etag: the file's, where the file system tells one.
        content: None where there was no file.
    """

    etag: str | None
    content: bytes | None


class RemoteChange:
    """Collects writes; `apply` does them.

    Where the server offers conditional writes, a file is replaced only while it is what this writer read, and a version
    whose alias could not be set is taken away again. Elsewhere it is compared just before and just after: two writers
    at once are mostly found out, not kept apart.
    """

    def __init__(
        self,
        files: Any,  # noqa: ANN401 - fsspec is untyped
        at: Callable[[str], str],
        puts: ConditionalPuts,
        readings: Mapping[str, Reading],
    ) -> None:
        """`readings`: by path, what is read until `apply`."""
        self._files = files
        self._at = at
        self._puts = puts
        self._readings = readings
        self._steps: list[Callable[[], None]] = []
        self._added: list[str] = []  # folders that count by now

    def put_folder(self, path: str, files: Mapping[str, bytes]) -> None:
        """See Change."""
        *others, last = files
        self._steps.append(partial(self._check_absent, path, last))
        self._steps += [partial(self._write, f"{path}/{name}", files[name]) for name in others]
        self._steps.append(partial(self._complete, path, last, files[last]))

    def put_file(self, path: str, content: bytes) -> None:
        """See Change."""
        self._steps.append(partial(self._replace, path, content))

    def renew_file(self, path: str, render: Callable[[], bytes]) -> None:
        """See Change."""
        self._steps.append(partial(self._renew, path, render))

    def remove_folder(self, path: str, first: str) -> None:
        """See Change."""
        self._steps.append(lambda: self._files.rm_file(self._at(f"{path}/{first}")))
        self._steps.append(partial(self._remove_rest, path))

    def apply(self) -> None:
        """Does it all; raises StoreConflict where another writer was in between."""
        for step in self._steps:
            step()

    def _check_absent(self, path: str, last_file: str) -> None:
        if self._files.exists(self._at(f"{path}/{last_file}")):
            raise _published(path)

    def _complete(self, path: str, last_file: str, content: bytes) -> None:
        """Writes the file that makes a folder count."""
        file = f"{path}/{last_file}"
        if not self._puts.offered:
            self._write(file, content)
        else:
            try:
                self._put(file, content, None)
            except StoreConflict as conflict:
                raise _published(path) from conflict
        self._added.append(path)

    def _replace(self, path: str, content: bytes) -> None:
        before = self._readings.get(path)
        try:
            if before is None:
                self._write(path, content)
            elif self._puts.offered:
                self._put(path, content, before.etag)
            else:
                self._replace_alone(path, content, before)
        except StoreConflict:
            self._take_back()
            raise
        self._added.clear()  # from here on readers may have been led to them

    def _put(self, path: str, content: bytes, etag: str | None) -> None:
        try:
            self._puts.put(path, content, etag)
        except StoreConflict:
            # a write whose answer was lost is sent again by the library, and finds itself in its way
            if self._content(path) != content:
                raise

    def _replace_alone(self, path: str, content: bytes, before: Reading) -> None:
        if self._content(path) != before.content:
            raise StoreConflict(MOVED.format(path=path))
        self._write(path, content)
        if self._content(path) != content:
            raise StoreConflict(_ALONE.format(path=path))

    def _renew(self, path: str, render: Callable[[], bytes]) -> None:
        if not self._puts.offered:
            self._write(path, render())
            return
        for attempt in range(_RENEWALS):
            etag = self._puts.etag(path)
            try:
                self._puts.put(path, render(), etag)
            except StoreConflict:
                if attempt == _RENEWALS - 1:
                    raise
                time.sleep(random.uniform(0, _RENEWAL_PAUSE_SECONDS))  # noqa: S311 - no secret
            else:
                return

    def _remove_rest(self, path: str) -> None:
        self._files.invalidate_cache()
        with suppress(FileNotFoundError):  # it was all there was
            self._files.rm(self._at(path), recursive=True)

    def _take_back(self) -> None:
        """Nothing points at these folders: their writer was told to try again."""
        for path in self._added:
            with suppress(Exception):  # then a version is left that no alias names
                self._files.rm(self._at(path), recursive=True)
        self._added.clear()

    def _write(self, path: str, content: bytes) -> None:
        place = self._at(path)
        if not self._puts.speaks_s3:  # which has no folders, and where a mistyped bucket would be made
            self._files.makedirs(place.rpartition("/")[0], exist_ok=True)
        self._files.pipe_file(place, content)

    def _content(self, path: str) -> bytes | None:
        self._files.invalidate_cache()
        try:
            return bytes(self._files.cat_file(self._at(path)))
        except FileNotFoundError:
            return None


def _published(path: str) -> StoreConflict:
    return StoreConflict(f"{path} was published by another writer: try again")
