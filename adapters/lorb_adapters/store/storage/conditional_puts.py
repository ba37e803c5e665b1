"""Conditional writes on S3: an object is replaced only if it is unchanged since the writer read it."""

from collections.abc import Callable
from typing import Any

from lorb.errors import StoreConflict

_PROBE = ".conditional-writes"  # not a valid domain name, so readers ignore it
_NO_ETAG = '"00000000000000000000000000000000"'
_REFUSALS = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})

CHANGED_MEANWHILE = "another writer changed {path} at the same time: your change was not made, try again"


class ConditionalPuts:
    """Conditional writes to an S3 file system (s3fs). Remembers whether the server supports them."""

    def __init__(self, files: Any, at: Callable[[str], str]) -> None:  # noqa: ANN401 - fsspec is untyped
        """`files`: an fsspec file system. `at`: maps a path in the store to a path in the file system."""
        self._files = files
        self._at = at
        self._supported: bool | None = None

    @property
    def supported(self) -> bool:
        """Whether the server refuses a write whose condition does not hold.

        Tests the server once, by writing, because servers without support ignore the headers.
        """
        if self._supported is None:
            self._supported = self.is_s3 and self._server_refuses()
        return self._supported

    @property
    def is_s3(self) -> bool:
        """Whether the file system is S3."""
        protocol = self._files.protocol
        return "s3" in ((protocol,) if isinstance(protocol, str) else protocol)

    def etag(self, path: str) -> str | None:
        """An object's current ETag; None if there is no object."""
        self._files.invalidate_cache()
        try:
            return str(self._files.info(self._at(path))["ETag"])
        except FileNotFoundError:
            return None

    def put(self, path: str, content: bytes, etag: str | None) -> None:
        """Writes an object if its ETag is still `etag`; with None, if there is no object yet.

        Raises StoreConflict, and writes nothing, if this condition does not hold.
        """
        condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
        try:
            self._files.pipe_file(self._at(path), content, **condition)
        except Exception as problem:
            if _is_refusal(problem):
                raise StoreConflict(CHANGED_MEANWHILE.format(path=path)) from problem
            raise

    def write_probe(self) -> None:
        """Writes the file with which the server is tested. Raises the library's error if that fails."""
        place = self._at(_PROBE)
        if not self.is_s3:  # S3 has no folders, and a mistyped bucket would be created
            self._files.makedirs(place.rpartition("/")[0], exist_ok=True)
        self._files.pipe_file(place, b"")

    def _server_refuses(self) -> bool:
        if self.etag(_PROBE) is None:
            self._files.pipe_file(self._at(_PROBE), b"")
        return all(self._is_refused(etag) for etag in (None, _NO_ETAG))

    def _is_refused(self, etag: str | None) -> bool:
        try:
            self.put(_PROBE, b"", etag)
        except StoreConflict:
            return True
        except Exception:  # the server does not accept the header
            return False
        return False


def _is_refusal(problem: BaseException | None) -> bool:
    """Whether the server found the condition false; s3fs wraps botocore's error in its own."""
    while problem is not None:
        response = getattr(problem, "response", None)
        if isinstance(response, dict) and response.get("Error", {}).get("Code") in _REFUSALS:
            return True
        problem = problem.__cause__ or problem.__context__
    return False
