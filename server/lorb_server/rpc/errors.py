"""From errors to gRPC statuses, for all servicers: errors on purpose keep their words, nothing else leaks."""

import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Never, Protocol, TypeVar

from grpc.aio import ServicerContext
from prometheus_client import Counter

from lorb.errors import LorbError, ModelFailed
from lorb.status import status_code, status_from_error, trailers
from lorb_server.telemetry.logs import log_failure

_log = logging.getLogger(__name__)

Request = TypeVar("Request")
Response = TypeVar("Response")
Context = ServicerContext[Any, Any]


class Counting(Protocol):
    """A servicer that counts the errors nobody foresaw."""

    @property
    def internal_errors(self) -> Counter:
        """One for each call, or list of a batch, that failed with one."""


Servicer = TypeVar("Servicer", bound=Counting)


def map_errors(
    method: Callable[[Servicer, Request, Context], Awaitable[Response]],
) -> Callable[[Servicer, Request, Context], Awaitable[Response]]:
    """Makes a servicer's method end calls with the status of what it raises: INTERNAL if internal_error."""

    @functools.wraps(method)
    async def answer(self: Servicer, request: Request, context: Context) -> Response:
        try:
            return await method(self, request, context)
        except LorbError as error:
            failure = error
        except Exception as error:
            failure = internal_error(error, method.__name__, self.internal_errors)
        return await refuse(context, failure)

    return answer


async def refuse(context: Context, error: LorbError) -> Never:
    """Ends a call with an error's status and details."""
    message = status_from_error(error).message
    await context.abort(status_code(error), message, trailing_metadata=trailers(error))


def internal_error(error: Exception, where: str, internal_errors: Counter) -> LorbError:
    """Counts and logs an error that nobody raised on purpose; returns what the caller is told instead."""
    internal_errors.inc()
    log_failure(_log, "a call failed unexpectedly", error, method=where)
    return ModelFailed("internal error; the server's log tells where")
