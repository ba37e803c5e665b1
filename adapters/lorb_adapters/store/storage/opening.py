"""Opens the storage that a URL names."""

from pathlib import Path

from lorb.errors import InvalidInput
from lorb_adapters.store.storage.local_folder import LocalFolder
from lorb_adapters.store.storage.protocol import Storage
from lorb_adapters.store.storage.remote import RemoteStorage


def open_storage(url: str) -> Storage:
    """Opens a local folder for a path or a file URL, and an fsspec file system for any other URL.

    Raises InvalidInput if the URL is empty, and StoreUnavailable if no file system serves its scheme.
    """
    if not url:
        raise InvalidInput("the store's URL is empty: give a folder or an fsspec URL", field="store")
    scheme, separator, rest = url.partition("://")
    if separator and scheme not in ("file", "local"):
        return RemoteStorage(url)
    return LocalFolder(Path(rest if separator else url).expanduser())
