"""A store on any fsspec file system. Such places have no lock.

On S3 whose server offers conditional writes any number of publishers may work at once: who comes second is told to try
again. Elsewhere one at a time. Readers are safe everywhere: a version counts once its manifest is there, and that is
written last.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import fsspec

from lorb.errors import InvalidAdapter, LorbError, StoreUnavailable
from lorb_adapters.store.storage.conditional_puts import ConditionalPuts
from lorb_adapters.store.storage.remote_change import Reading, RemoteChange
from lorb_adapters.store.storage.storage import Change


class RemoteStorage:
    """A folder on an fsspec file system, "memory://", "s3://", "gs://" and so on."""

    def __init__(self, url: str) -> None:
        with _explained(url):
            self._files, root = fsspec.core.url_to_fs(url)
        self._url = url
        self._root = str(root).rstrip("/")
        self._puts = ConditionalPuts(self._files, self._at)
        self._writing = threading.local()  # `readings`, while this thread prepares a change

    def read(self, path: str, max_bytes: int) -> bytes:
        """One file's bytes; its size is asked for first."""
        with self._fresh(path):
            try:
                about = self._files.info(self._at(path))
                size = about["size"]
                if size is None or size > max_bytes:
                    raise InvalidAdapter(f"{path} is larger than {max_bytes} bytes", field=path)
                content = bytes(self._files.cat_file(self._at(path)))
            except FileNotFoundError:
                self._note(path, Reading(None, None))
                raise
        self._note(path, Reading(about.get("ETag"), content))
        return content

    def names(self, path: str) -> list[str]:
        """Everything in a folder, sorted."""
        with self._fresh(path):
            found = self._files.ls(self._at(path), detail=False)
        return sorted(str(name).rstrip("/").rpartition("/")[2] for name in found)

    def folders_with(self, path: str, file: str) -> list[str]:
        """The folders in a folder that hold `file`, sorted; one listing, however many they are."""
        folder = self._at(path).rstrip("/")
        with self._fresh(path):
            if not self._files.exists(folder):
                raise FileNotFoundError(path)
            found = [str(each) for each in self._files.find(folder)]
        inner = [each[len(folder) :].lstrip("/") for each in found]
        return sorted({each.split("/")[0] for each in inner if each.split("/")[1:] == [file]})

    def stamp(self, paths: Sequence[str]) -> str | None:
        """None: what such places tell of an object differs from one to the other."""
        return None

    def found(self) -> None:
        """Needs nothing: a file is enough for all the folders above it."""

    @contextmanager
    def change(self) -> Iterator[Change]:
        """Collects writes and does them, in order, at the end; what is read meanwhile must still be so then."""
        readings: dict[str, Reading] = {}
        change = RemoteChange(self._files, self._at, self._puts, readings)
        self._writing.readings = readings
        try:
            yield change
        finally:
            del self._writing.readings
        with _explained(self._url):
            try:
                change.apply()
            except FileNotFoundError as missing:
                raise StoreUnavailable(f"{self._url}: there is no such bucket or folder", field="store") from missing

    def sweep(self, *, dry_run: bool) -> list[str]:
        """Leaves all as it is: what a killed publisher left cannot be told from what one is writing now."""
        return []

    def _note(self, path: str, reading: Reading) -> None:
        readings = getattr(self._writing, "readings", None)
        if readings is not None:
            readings.setdefault(path, reading)

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"

    @contextmanager
    def _fresh(self, path: str) -> Iterator[None]:
        """Forgets cached listings, so that another machine's changes are seen."""
        with _explained(f"{self._url}: {path}"):
            self._files.invalidate_cache()
            yield


@contextmanager
def _explained(place: str) -> Iterator[None]:
    """File systems raise errors of their own libraries; to a caller they are all one."""
    try:
        yield
    except (LorbError, FileNotFoundError):
        raise
    except ImportError as missing:
        raise StoreUnavailable(f"{place}: {missing} (s3://: pip install 'lorb[s3]')", field="store") from missing
    except Exception as problem:
        raise StoreUnavailable(f"{place} cannot be reached: {problem}", field="store") from problem
