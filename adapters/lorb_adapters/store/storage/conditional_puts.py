"""Writes that an object store does only while an object is what the writer read: what replaces a lock there."""

from collections.abc import Callable
from typing import Any

from lorb.errors import StoreConflict

_PROBE = ".conditional-writes"  # no name of a domain: readers pass over it
_NO_ETAG = '"00000000000000000000000000000000"'
_REFUSALS = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})

# Whoever sees this has two writers at once.
MOVED = "another writer changed {path} meanwhile: nothing of yours counts yet, try again"


class ConditionalPuts:
    """If-Match and If-None-Match of an S3 file system (s3fs). Holds what it found out about the server."""

    def __init__(self, files: Any, at: Callable[[str], str]) -> None:  # noqa: ANN401 - fsspec is untyped
        self._files = files
        self._at = at
        self._offered: bool | None = None

    @property
    def offered(self) -> bool:
        """Whether the server refuses a write whose condition does not hold. Asks it, once, by writing.

        A server that does not know the headers takes the write as if they were not there.
        """
        if self._offered is None:
            self._offered = self.speaks_s3 and self._refuses()
        return self._offered

    def etag(self, path: str) -> str | None:
        """What an object is now; None where there is none."""
        self._files.invalidate_cache()
        try:
            return str(self._files.info(self._at(path))["ETag"])
        except FileNotFoundError:
            return None

    def put(self, path: str, content: bytes, etag: str | None) -> None:
        """Writes if the object is still the one with `etag`, or still not there; raises StoreConflict otherwise."""
        condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
        try:
            self._files.pipe_file(self._at(path), content, **condition)
        except Exception as problem:
            if _is_refusal(problem):
                raise StoreConflict(MOVED.format(path=path)) from problem
            raise

    @property
    def speaks_s3(self) -> bool:
        """Whether it is an object store of that kind."""
        protocol = self._files.protocol
        return "s3" in ((protocol,) if isinstance(protocol, str) else protocol)

    def _refuses(self) -> bool:
        if self.etag(_PROBE) is None:
            self._files.pipe_file(self._at(_PROBE), b"")
        return all(self._is_refused(etag) for etag in (None, _NO_ETAG))

    def _is_refused(self, etag: str | None) -> bool:
        try:
            self.put(_PROBE, b"", etag)
        except StoreConflict:
            return True
        except Exception:  # the server says that it has no such header
            return False
        return False


def _is_refusal(problem: BaseException | None) -> bool:
    """Whether the server found the condition broken: botocore's error, or what s3fs makes of it."""
    while problem is not None:
        response = getattr(problem, "response", None)
        if isinstance(response, dict) and response.get("Error", {}).get("Code") in _REFUSALS:
            return True
        problem = problem.__cause__ or problem.__context__
    return False
