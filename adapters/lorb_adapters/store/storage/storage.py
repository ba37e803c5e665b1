"""Where a store's bytes lie: what a store needs of a place, and which place a URL means."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from lorb.errors import InvalidInput


class Change(Protocol):
    """Writes that belong together. Readers see none before the change ends, then all in the order given."""

    def put_folder(self, path: str, files: Mapping[str, bytes]) -> None:
        """Adds a folder that is not there yet; its last file is the one that makes it count."""

    def put_file(self, path: str, content: bytes) -> None:
        """Writes or replaces a file, which must be what was read of it since the change began."""

    def renew_file(self, path: str, render: Callable[[], bytes]) -> None:
        """Writes what `render` makes of the file as it is; again where another writer came in between."""

    def remove_folder(self, path: str, first: str) -> None:
        """Takes a folder away with all its files; before the others the one called `first`, which makes it count."""


class Storage(Protocol):
    """A tree of files. Paths are relative, with "/", of names that the store has checked."""

    def read(self, path: str, max_bytes: int) -> bytes:
        """One file; raises FileNotFoundError, StoreUnavailable, InvalidAdapter for links and large files."""

    def names(self, path: str) -> list[str]:
        """Everything in a folder, sorted; raises FileNotFoundError, InvalidAdapter where it is a link."""

    def folders_with(self, path: str, file: str) -> list[str]:
        """The folders in a folder that hold `file`, sorted; raises as `names` does."""

    def stamp(self, paths: Sequence[str]) -> str | None:
        """Other than before where a file among `paths` was replaced, or a folder among them got or lost an entry.

        None where that cannot be told without reading them. Follows no link.
        """

    def found(self) -> None:
        """Makes the tree where there is none, as a change does too; raises StoreUnavailable."""

    def change(self) -> AbstractContextManager[Change]:
        """Begins a change; raises StoreConflict where another writer does not finish, StoreUnavailable."""

    def sweep(self, *, dry_run: bool) -> list[str]:
        """Removes what killed writers left behind, and names it."""


def open_storage(url: str) -> Storage:
    """A folder for a path or a file URL, an fsspec file system for any other; raises StoreUnavailable."""
    if not url:
        raise InvalidInput("the store is empty: name a folder or an fsspec URL", field="store")
    scheme, separator, rest = url.partition("://")
    if separator and scheme not in ("file", "local"):
        from lorb_adapters.store.storage.remote import RemoteStorage

        return RemoteStorage(url)
    from lorb_adapters.store.storage.local_folder import LocalFolder

    return LocalFolder(Path(rest if separator else url).expanduser())
