"""A store on any fsspec file system. Such places have no lock: only one publisher may write at a time.

Readers are safe all the same: a version counts once its manifest is there, and that is written last.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import fsspec

from lorb.errors import InvalidAdapter, LorbError, StoreConflict, StoreUnavailable
from lorb_adapters.storage import Change


class RemoteStorage:
    """A folder on an fsspec file system, "memory://", "s3://", "gs://" and so on."""

    def __init__(self, url: str) -> None:
        with _explained(url):
            self._files, root = fsspec.core.url_to_fs(url)
        self._url = url
        self._root = str(root).rstrip("/")

    def read(self, path: str, max_bytes: int) -> bytes:
        """One file's bytes; its size is asked for first."""
        with self._fresh(path):
            size = self._files.info(self._at(path))["size"]
            if size is None or size > max_bytes:
                raise InvalidAdapter(f"{path} is larger than {max_bytes} bytes", field=path)
            content = self._files.cat_file(self._at(path))
        return bytes(content)

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

    @contextmanager
    def change(self) -> Iterator[Change]:
        """Collects writes and does them, in order, at the end."""
        change = _RemoteChange(self._files, self._at)
        yield change
        with _explained(self._url):
            change.apply()

    def sweep(self, *, dry_run: bool) -> list[str]:
        """Leaves all as it is: what a killed publisher left cannot be told from what one is writing now."""
        return []

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"

    @contextmanager
    def _fresh(self, path: str) -> Iterator[None]:
        """Forgets cached listings, so that another machine's changes are seen."""
        with _explained(f"{self._url}: {path}"):
            self._files.invalidate_cache()
            yield


class _RemoteChange:
    def __init__(self, files: Any, at: Callable[[str], str]) -> None:  # noqa: ANN401 - fsspec is untyped
        self._files = files
        self._at = at
        self._steps: list[Callable[[], None]] = []

    def put_folder(self, path: str, files: Mapping[str, bytes]) -> None:
        self._steps.append(partial(self._check_absent, path, [*files][-1]))
        for name, content in files.items():
            self.put_file(f"{path}/{name}", content)

    def put_file(self, path: str, content: bytes) -> None:
        self._steps.append(partial(self._put, path, content))

    def remove_folder(self, path: str) -> None:
        self._steps.append(partial(self._files.rm, self._at(path), recursive=True))

    def apply(self) -> None:
        for step in self._steps:
            step()

    def _put(self, path: str, content: bytes) -> None:
        place = self._at(path)
        self._files.makedirs(place.rpartition("/")[0], exist_ok=True)
        self._files.pipe_file(place, content)

    def _check_absent(self, path: str, last_file: str) -> None:
        if self._files.exists(self._at(f"{path}/{last_file}")):
            raise StoreConflict(f"{path} was published by another writer: try again")


@contextmanager
def _explained(place: str) -> Iterator[None]:
    """File systems raise errors of their own libraries; to a caller they are all one."""
    try:
        yield
    except (LorbError, FileNotFoundError):
        raise
    except Exception as problem:
        raise StoreUnavailable(f"{place} cannot be reached: {problem}", field="store") from problem
