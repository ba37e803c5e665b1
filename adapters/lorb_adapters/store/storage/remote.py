"""A store on any fsspec file system, such as "s3://" or "gs://". There is no lock.

On S3 with conditional writes any number of publishers may write at once: the slower gets StoreConflict. Elsewhere only
one publisher may write at a time. Readers are safe everywhere: a version exists once its manifest exists, and a
writer writes the manifest last.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import fsspec  # not obstore, which reads neither ~/.aws/credentials nor URLs such as memory://, gcs:// and hdfs://

from lorb.errors import InvalidAdapter, LorbError, StoreUnavailable
from lorb_adapters.store.storage.conditional_puts import ConditionalPuts
from lorb_adapters.store.storage.protocol import Change, check_size
from lorb_adapters.store.storage.remote_change import Reading, RemoteChange

# For S3 only, because other file systems have no common setting. s3fs tries 5 times: without these limits a server that
# accepts connections and does not answer would keep a reader for 25 minutes.
_S3_LIMITS = {"connect_timeout": 10, "read_timeout": 20, "retries": {"max_attempts": 0}}


class RemoteStorage:
    """Implements Storage in a folder of an fsspec file system."""

    def __init__(self, url: str) -> None:
        """Raises StoreUnavailable if no file system serves the URL's scheme."""
        with _as_unavailable(url):
            self._files, root = fsspec.core.url_to_fs(url, **_time_limits(url))
        self._url = url
        self._root = str(root).rstrip("/")
        self._puts = ConditionalPuts(self._files, self._at)
        self._writing = threading.local()  # has `readings` while this thread prepares a change

    def read(self, path: str, max_bytes: int) -> bytes:
        """Reads a file; asks for its size first."""
        with self._fresh(path):
            try:
                info = self._files.info(self._at(path))
                if info["size"] is None:
                    raise InvalidAdapter(f"{path} has no size: it is not a file", field=path)
                check_size(path, info["size"], max_bytes)
                content = bytes(self._files.cat_file(self._at(path)))
            except FileNotFoundError:
                self._record(path, Reading(None, None))
                raise
        self._record(path, Reading(info.get("ETag"), content))
        return content

    def list_names(self, path: str) -> list[str]:
        """Lists a folder, sorted."""
        with self._fresh(path):
            paths = self._files.ls(self._at(path), detail=False)
        return sorted(str(each).rstrip("/").rpartition("/")[2] for each in paths)

    def list_folders_with(self, path: str, file: str) -> list[str]:
        """Lists the tree under `path` once; returns the names of the folders that hold `file`, sorted."""
        folder = self._at(path).rstrip("/")
        with self._fresh(path):
            if not self._files.exists(folder):
                raise FileNotFoundError(path)
            files = [str(each) for each in self._files.find(folder)]
        inner = [each[len(folder) :].lstrip("/") for each in files]
        return sorted({each.split("/")[0] for each in inner if each.split("/")[1:] == [file]})

    def change_token(self, paths: Sequence[str]) -> str | None:
        """Returns None, because file systems differ in what they report about an object."""
        return None

    def create(self) -> None:
        """Writes the small file with which conditional writes are tested; that also creates the folders above it."""
        with _as_unavailable(self._url):
            try:
                self._puts.write_probe()
            except FileNotFoundError as problem:
                raise StoreUnavailable(f"{self._url}: there is no such bucket or folder", field="store") from problem

    @contextmanager
    def change(self) -> Iterator[Change]:
        """Collects writes and applies them in order at the end; fails if a file was changed after it was read."""
        readings: dict[str, Reading] = {}
        change = RemoteChange(self._files, self._at, self._puts, readings)
        self._writing.readings = readings
        try:
            yield change
        finally:
            del self._writing.readings
        with _as_unavailable(self._url):
            try:
                change.apply()
            except FileNotFoundError as problem:
                raise StoreUnavailable(f"{self._url}: there is no such bucket or folder", field="store") from problem

    def remove_leftovers(self, *, dry_run: bool) -> list[str]:
        """Removes nothing: a killed writer's files look like those of a running writer."""
        return []

    def _record(self, path: str, reading: Reading) -> None:
        readings = getattr(self._writing, "readings", None)
        if readings is not None:
            readings.setdefault(path, reading)

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"

    @contextmanager
    def _fresh(self, path: str) -> Iterator[None]:
        """Drops cached listings, so that changes by other machines are seen."""
        with _as_unavailable(f"{self._url}: {path}"):
            self._files.invalidate_cache()
            yield


def _time_limits(url: str) -> dict[str, Any]:
    """Arguments of the file system that limit the time of its requests; the user's own fsspec settings win."""
    scheme = url.partition("://")[0]
    if scheme not in ("s3", "s3a"):
        return {}
    users = fsspec.config.conf.get(scheme, {}).get("config_kwargs", {})
    return {"config_kwargs": {**_S3_LIMITS, **users}}


@contextmanager
def _as_unavailable(place: str) -> Iterator[None]:
    """Turns errors of the file system's library into StoreUnavailable."""
    try:
        yield
    except (LorbError, FileNotFoundError):
        raise
    except ImportError as problem:
        raise StoreUnavailable(f"{place}: {problem} (s3://: pip install 'lorb[s3]')", field="store") from problem
    except Exception as problem:
        raise StoreUnavailable(f"{place} cannot be reached: {problem}", field="store") from problem
