"""All errors that LoRB raises on purpose. Messages say what is wrong and what to do, and are safe to show to callers.

    LorbError
    ├── InvalidInput              a value is invalid; `field` names it
    │   └── MalformedFile         a file violates its format; `path` and `line` locate it
    ├── UnknownDomain             the server does not serve this domain
    ├── UnknownVersion            the domain has no such version or alias
    ├── Unauthenticated           the call carries no token, or a wrong token
    │   └── PermissionDenied      the caller may not use this domain
    ├── Overloaded                the queue is full, and the caller refused a fallback
    ├── DeadlineExceeded          no time is left, and the caller refused a fallback
    ├── Unavailable               the server is draining, not warm yet, or not reachable
    ├── ModelFailed               the model raised an exception, or its thread died
    ├── InvalidAdapter            an adapter's files are damaged, or do not fit the base; it is never served
    │   └── ForeignBase           the adapter was trained on another base
    ├── BaseNotFound              the base's files are missing, or differ from the pinned files
    ├── StoreConflict             another writer changed the store first: try again
    ├── StoreUnavailable          the store cannot be read or written
    └── NotPublished              the adapter did not improve on dev, so nothing was published

`lorb.error_status` maps each error to a gRPC status and back.
"""

from pathlib import Path


class LorbError(Exception):
    """Base class of all errors that LoRB raises on purpose.

    Attributes:
        message: what is wrong and what to do.
        field: path of the wrong value, such as "hypotheses[3].first_pass_score"; empty if no single value is wrong.
        retry_seconds: the pause that the server asks for before a retry, in seconds; None if it asks for no pause.
    """

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.retry_seconds: float | None = None


class InvalidInput(LorbError):
    """A value is invalid. `field` is its path, such as "hypotheses[3].first_pass_score"."""


class MalformedFile(InvalidInput):
    """A file violates its format. The message reads "path:line: what is wrong".

    Attributes:
        path: the file.
        line: the line, from 1; 0 if the error concerns the whole file.
    """

    def __init__(self, path: str | Path, line: int, message: str) -> None:
        place = f"{path}:{line}" if line else f"{path}"
        super().__init__(f"{place}: {message}", field=place)
        self.path = str(path)
        self.line = line


class UnknownDomain(LorbError):
    """The server does not serve this domain."""


class UnknownVersion(LorbError):
    """The domain has no such version or alias."""


class Unauthenticated(LorbError):
    """The call carries no token, or a wrong token."""


class PermissionDenied(Unauthenticated):
    """The caller is known, but may not use this domain. The server may serve the domain to others, or not at all."""


class Overloaded(LorbError):
    """The queue is full, and the caller refused a fallback."""


class DeadlineExceeded(LorbError):
    """No time is left, and the caller refused a fallback."""


class Unavailable(LorbError):
    """The server is draining, not warm yet, or not reachable. The call is safe to retry."""


class ModelFailed(LorbError):
    """The model raised an exception, or the thread that owns it died."""


class InvalidAdapter(LorbError):
    """An adapter's files are damaged (truncated, changed or malformed), or do not fit the base. It is never served."""


class ForeignBase(InvalidAdapter):
    """The adapter was trained on another base."""


class BaseNotFound(LorbError):
    """The base's files are missing, or differ from the pinned files."""


class StoreConflict(LorbError):
    """Another writer changed the store first. Try again."""


class StoreUnavailable(LorbError):
    """The store cannot be read or written."""


class NotPublished(LorbError):
    """The adapter did not improve on dev, so nothing was published."""
