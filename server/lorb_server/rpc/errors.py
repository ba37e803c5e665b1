"""Ends a failed call with the gRPC status of its error (`lorb.error_status`).

A LorbError reaches the caller with its message, without the server's paths and addresses. Any other error is logged,
and the caller gets INTERNAL with a fixed message.
"""

import functools
import logging
import re
from collections.abc import Awaitable, Callable
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
_PLACE = re.compile(
    r"""[a-z][a-z0-9+.-]*://[^\s'",;)]*[^\s'",;:.)]"""  # a URL
    r"""|(?<![\w/.-])(?:~|\.{1,2})?/(?:[^\s'",;:()/]+/)*(?=[^\s'",;:()/])"""  # the folders of a path
)

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


def without_places(message: str) -> str:
    """A message in which paths are cut to their last part, and URLs are left out. Names inside the store stay."""
    return _PLACE.sub(lambda place: "(address)" if "://" in place.group() else "", message)


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
