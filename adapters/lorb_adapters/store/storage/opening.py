"""Opens the storage that a URL names."""

from pathlib import Path

from lorb.errors import InvalidInput
from lorb_adapters.store.storage.folder_process import FolderProcess
from lorb_adapters.store.storage.local_folder import LocalFolder
from lorb_adapters.store.storage.protocol import Storage


def open_storage(url: str, *, read_timeout_seconds: float | None = None) -> Storage:
    """Opens a local folder for a path or a file URL, and an fsspec file system for any other URL.

    read_timeout_seconds: with a limit, another process reads a local folder, so that a read which never ends does not
        keep this process.

    Raises InvalidInput if the URL is empty, and StoreUnavailable if no file system serves its scheme.
    """
    if not url:
        raise InvalidInput("the store's URL is empty: give a folder or an fsspec URL", field="store")
    scheme, separator, rest = url.partition("://")
    if separator and scheme not in ("file", "local"):
        from lorb_adapters.store.storage.remote import RemoteStorage  # imported here: a folder needs no fsspec

        return RemoteStorage(url)
    root = Path(rest if separator else url).expanduser()
    return (
        LocalFolder(root) if read_timeout_seconds is None else FolderProcess(root, timeout_seconds=read_timeout_seconds)
    )
