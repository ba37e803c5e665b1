"""The interface of a store's storage: reads, listings and atomic changes; and the check of a file's size."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from lorb.errors import InvalidAdapter


class Change(Protocol):
    """Writes that belong together.

    Readers see none of them before the change ends, and then see them appear in the order of the calls.
    """

    def put_folder(self, path: str, files: Mapping[str, bytes]) -> None:
        """Adds a new folder. Readers take it to exist once the last of `files` is there."""

    def put_file(self, path: str, content: bytes) -> None:
        """Writes or replaces a file. The change fails if another writer changed it after this writer read it."""

    def update_file(self, path: str, render: Callable[[], bytes]) -> None:
        """Replaces a file by what `render` returns; calls `render` again if another writer replaced it meanwhile."""

    def remove_folder(self, path: str, first: str) -> None:
        """Removes a folder and its files, if it exists.

        first: the file to remove first; without this file, the folder does not exist for readers.
        """


class Storage(Protocol):
    """A tree of files. Paths are relative, with "/"; the store has checked every name in them."""

    def read(self, path: str, max_bytes: int) -> bytes:
        """Reads a file.

        Raises FileNotFoundError if there is no file, InvalidAdapter if it is a link or larger than `max_bytes`, and
        StoreUnavailable if it cannot be read.
        """

    def list_names(self, path: str) -> list[str]:
        """Returns the names of a folder's entries, sorted.

        Raises FileNotFoundError if there is no folder, InvalidAdapter if it is a link, and StoreUnavailable if it
        cannot be read.
        """

    def list_folders_with(self, path: str, file: str) -> list[str]:
        """Returns the names of the folders in a folder that hold `file`, sorted. Raises as `list_names` does."""

    def change_token(self, paths: Sequence[str]) -> str | None:
        """Returns a token that changes when a file among `paths` is replaced, or a folder gains or loses an entry.

        Returns None if the storage cannot tell without reading the files. Follows no link.
        """

    def create(self) -> None:
        """Creates the tree if it does not exist; `change` does so too. Raises StoreUnavailable if that fails.

        Outside a local folder this writes a small file, to find out whether the tree can be written to.
        """

    def change(self) -> AbstractContextManager[Change]:
        """Begins a change.

        Raises StoreConflict if another writer interferes, and StoreUnavailable if the storage cannot be written.
        """

    def remove_leftovers(self, *, dry_run: bool) -> list[str]:
        """Removes temporary files of killed writers; returns their paths. With `dry_run` nothing is removed."""


def check_size(path: str, size_bytes: int, max_bytes: int) -> None:
    """Raises InvalidAdapter, which names the file, if it is larger than `max_bytes`."""
    if size_bytes > max_bytes:
        raise InvalidAdapter(f"{path} is larger than {max_bytes} bytes: it has {size_bytes}", field=path)
