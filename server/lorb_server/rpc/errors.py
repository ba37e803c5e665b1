"""Ends a failed call with the gRPC status of its error (`lorb.error_status`).

A LorbError reaches the caller with its message, without the server's paths and addresses. Any other error is logged,
and the caller gets INTERNAL with a fixed message.
"""

import functools
import logging
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Never, Protocol, TypeVar

from grpc.aio import ServicerContext
from prometheus_client import Counter

from lorb.error_status import status_code, status_from_error, trailing_metadata
from lorb.errors import (
    BaseNotFound,
    InvalidAdapter,
    LorbError,
    ModelFailed,
    StoreConflict,
    StoreUnavailable,
    UnknownDomain,
    UnknownVersion,
)
from lorb_server.telemetry.logs import log_failure

# Errors whose messages may hold places of this server: those of the store and the base, and those that quote them.
_WITH_PLACES = (BaseNotFound, InvalidAdapter, StoreConflict, StoreUnavailable, UnknownDomain, UnknownVersion)
_ADDRESS = re.compile(
    r"""[a-z][a-z0-9+.-]*://[^\s'",;)]*[^\s'",;:.)]"""  # a URL
    r"""|(?<![\w/.-])(?:[a-z][a-z0-9-]*(?:\.[a-z0-9-]+)*|\[[0-9a-f:]+\]):\d{2,5}(?![\w:])"""  # host:port
    r"""|(?<![\w/.-])(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?(?![\w-])""",  # an IPv4 address
    re.IGNORECASE,
)
_FOLDERS = re.compile(r"""(?<![\w/.-])(?:~|\.{1,2})?/(?:[^\s'",;:()/]+/)*(?=[^\s'",;:()/])""")  # of a path

_own_places: set[str] = set()

_log = logging.getLogger(__name__)

Request = TypeVar("Request")
Response = TypeVar("Response")
Context = ServicerContext[Any, Any]


class CountsInternalErrors(Protocol):
    """A servicer that counts its unexpected errors."""

    @property
    def internal_errors(self) -> Counter:
        """Counts the calls, and the lists of BatchRescore calls, that failed with an unexpected error."""


Servicer = TypeVar("Servicer", bound=CountsInternalErrors)


def map_errors(
    method: Callable[[Servicer, Request, Context], Awaitable[Response]],
) -> Callable[[Servicer, Request, Context], Awaitable[Response]]:
    """Decorates a servicer's method: an error that the method raises ends the call with the error's status."""

    @functools.wraps(method)
    async def answer(self: Servicer, request: Request, context: Context) -> Response:
        try:
            return await method(self, request, context)
        except LorbError as error:
            failure = error
        except Exception as error:
            failure = internal_error(error, method.__name__, self.internal_errors)
        return await abort(context, failure)

    return answer


def for_caller(error: LorbError) -> LorbError:
    """The error without the server's paths and addresses: of a path only the last part is left."""
    if not isinstance(error, _WITH_PLACES):
        return error
    return type(error)(without_places(error.message), field=error.field)


def hide_places(*places: str) -> None:
    """Adds folders and URLs of this server, which `without_places` then finds whatever characters they have."""
    for place in places:
        scheme, separator, rest = place.rstrip("/").partition("://")
        if separator and scheme not in ("file", "local"):
            _own_places.update({place.rstrip("/"), rest} if "/" in rest else {place.rstrip("/")})
            continue
        folder = Path(rest if separator else place).expanduser()
        names = {place.rstrip("/"), str(folder), str(folder.absolute())}
        _own_places.update(name for name in names if re.match(r"/[^/]|~/|\.{1,2}/|\w+://", name))


def without_places(message: str) -> str:
    """A message in which paths are cut to their last part, and addresses are left out. Names inside the store stay."""
    for place in sorted(_own_places, key=len, reverse=True):
        last = place.rpartition("/")[2] if place[0] in "/~." else "(address)"
        with_name = re.compile(rf"(?<![\w/.-]){re.escape(place)}(?:(/(?=\S))|(?![\w-]|\.\w))")
        message = with_name.sub(lambda match, last=last: "" if match[1] else last, message)  # type: ignore[misc]
    return _FOLDERS.sub("", _ADDRESS.sub("(address)", message))


async def abort(context: Context, error: LorbError) -> Never:
    """Ends a call with an error's status and details."""
    error = for_caller(error)
    message = status_from_error(error).message
    await context.abort(status_code(error), message, trailing_metadata=trailing_metadata(error))


def internal_error(error: Exception, where: str, internal_errors: Counter) -> LorbError:
    """Counts and logs an unexpected error in `where`. Returns an error for the caller, without the cause."""
    internal_errors.inc()
    log_failure(_log, "a call failed unexpectedly", error, method=where)
    return ModelFailed("internal error: the server's log says where it happened")
