"""Ends a failed call with the gRPC status of its error (`lorb.error_status`).

A LorbError reaches the caller with its message. Any other error is logged, and the caller gets INTERNAL with a fixed
message.
"""

import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Never, Protocol, TypeVar

from grpc.aio import ServicerContext
from prometheus_client import Counter

from lorb.error_status import status_code, status_from_error, trailing_metadata
from lorb.errors import LorbError, ModelFailed
from lorb_server.telemetry.logs import log_failure

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


async def abort(context: Context, error: LorbError) -> Never:
    """Ends a call with an error's status and details."""
    message = status_from_error(error).message
    await context.abort(status_code(error), message, trailing_metadata=trailing_metadata(error))


def internal_error(error: Exception, where: str, internal_errors: Counter) -> LorbError:
    """Counts and logs an unexpected error in `where`. Returns an error for the caller, without the cause."""
    internal_errors.inc()
    log_failure(_log, "a call failed unexpectedly", error, method=where)
    return ModelFailed("internal error: the server's log says where it happened")
