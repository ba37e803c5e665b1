"""The interface of a store's storage: reads, listings and atomic changes."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol


class Change(Protocol):
    """Writes that belong together. Readers see none of them before the change ends, then all in the order given."""

    def put_folder(self, path: str, files: Mapping[str, bytes]) -> None:
        """Adds a new folder. For readers it exists once its last file is there."""

    def put_file(self, path: str, content: bytes) -> None:
        """Writes or replaces a file. The change fails if another writer changed it after this writer read it."""

    def update_file(self, path: str, render: Callable[[], bytes]) -> None:
        """Replaces a file by what `render` returns; calls `render` again if another writer replaced it meanwhile."""

    def remove_folder(self, path: str, first: str) -> None:
        """Removes a folder with all its files, beginning with `first`, which makes it exist for readers."""


class Storage(Protocol):
    """A tree of files. Paths are relative, with "/"; the store has checked every name in them."""

    def read(self, path: str, max_bytes: int) -> bytes:
        """Reads a file.

        Raises FileNotFoundError, StoreUnavailable, and InvalidAdapter for a link or a file over `max_bytes`.
        """

    def list_names(self, path: str) -> list[str]:
        """Lists a folder, sorted; raises FileNotFoundError, StoreUnavailable, and InvalidAdapter for a link."""

    def list_folders_with(self, path: str, file: str) -> list[str]:
        """Lists the folders in a folder that hold `file`, sorted; raises as `list_names` does."""

    def change_token(self, paths: Sequence[str]) -> str | None:
        """Differs after a file among `paths` was replaced, or a folder among them gained or lost an entry.

        None if the storage cannot tell without reading the files. Follows no link.
        """

    def create(self) -> None:
        """Creates the tree if it does not exist; a change does so too. Raises StoreUnavailable."""

    def change(self) -> AbstractContextManager[Change]:
        """Begins a change; raises StoreConflict if another writer interferes, and StoreUnavailable."""

    def remove_leftovers(self, *, dry_run: bool) -> list[str]:
        """Removes the files of killed writers and returns their paths; `dry_run` removes nothing."""
