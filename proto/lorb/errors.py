"""Every error that LoRB raises on purpose. A message says what is wrong and what to do; it is safe to show.

    LorbError
    ├── InvalidInput              the caller's value is wrong; `field` names it
    │   └── MalformedFile         a file is; `path` and `line` name the place
    ├── UnknownDomain             no such domain is served
    ├── UnknownVersion            no such version or alias of a domain
    ├── Unauthenticated           no token, or a wrong one
    ├── Overloaded                no room, and the caller refused a fallback
    ├── DeadlineExceeded          no time, and the caller refused a fallback
    ├── Unavailable               draining, not warm yet, or not reachable
    ├── ModelFailed               the model raised, or its thread died
    ├── InvalidAdapter            an adapter's files are torn, forged or do not fit; never served
    │   └── ForeignBase           made for another base
    ├── BaseNotFound              the base's files are missing or not the pinned ones
    ├── StoreConflict             another writer changed the store first: try again
    ├── StoreUnavailable          the store cannot be read or written
    └── NotPublished              dev did not improve, so nothing was published

`lorb.status` maps each of them to a gRPC status and back.
"""

from pathlib import Path


class LorbError(Exception):
    """Base of all errors raised on purpose.

    Attributes:
        message: what is wrong and what to do.
        field: the value's path, where a value is wrong.
        retry_seconds: the pause that a server asks for before the call is made again; None where it asks for none.
    """

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.retry_seconds: float | None = None


class InvalidInput(LorbError):
    """A value breaks the contract. `field` is its path, as "hypotheses[3].first_pass_score"."""


class MalformedFile(InvalidInput):
    """A file breaks its format. Reads "path:line: message"; line 0 means the file as a whole."""

    def __init__(self, path: str | Path, line: int, message: str) -> None:
        place = f"{path}:{line}" if line else f"{path}"
        super().__init__(f"{place}: {message}", field=place)
        self.path = str(path)
        self.line = line


class UnknownDomain(LorbError):
    """No such domain is served here."""


class UnknownVersion(LorbError):
    """The domain has no such version or alias."""


class Unauthenticated(LorbError):
    """The call carries no token, or a wrong one."""


class Overloaded(LorbError):
    """No room in the queue, and the caller refused a fallback."""


class DeadlineExceeded(LorbError):
    """No time left, and the caller refused a fallback."""


class Unavailable(LorbError):
    """The server drains, is not warm yet, or cannot be reached. Safe to retry elsewhere."""


class ModelFailed(LorbError):
    """The model raised, or the thread that owns it died."""


class InvalidAdapter(LorbError):
    """An adapter's files are torn, forged, malformed or do not fit the base. Never served."""


class ForeignBase(InvalidAdapter):
    """The adapter was made for another base."""


class BaseNotFound(LorbError):
    """The base's files are missing, or are not the pinned ones."""


class StoreConflict(LorbError):
    """Another writer changed the store first. Try again."""


class StoreUnavailable(LorbError):
    """The store cannot be read or written."""


class NotPublished(LorbError):
    """Dev did not improve, so nothing was published."""
