"""Limits how many lists each named caller may have in flight, and may send per second."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import grpc

from lorb.errors import Overloaded
from lorb.v1 import rescoring_pb2 as pb
from lorb_server.rpc.callers import caller_name
from lorb_server.rpc.errors import Context, abort
from lorb_server.telemetry.caller_metrics import CallerMetrics

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]  # generic in the stubs only

_MAX_IDLE_CALLERS = 1000  # when the usages of this many callers are in memory, those of idle callers are dropped


@dataclass(slots=True)
class _Usage:
    """What one caller uses of its quotas.

    Attributes:
        in_flight: number of lists that were admitted and have not ended.
        allowance: number of lists that the caller may send now. A call with more lists makes this negative.
        filled_at: when `allowance` was last increased, in seconds on the clock of Quotas.
    """

    in_flight: int
    allowance: float
    filled_at: float


class Quotas:
    """Counts each caller's lists in flight, and keeps a bucket with the number of lists that the caller may send now.

    A bucket has room for the lists of one second, and for at least one list. Belongs to the event loop.
    """

    def __init__(
        self, max_lists: int, max_lists_per_second: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """A limit of 0 means no limit."""
        self._max_lists = max_lists
        self._rate = max_lists_per_second
        self._burst = max(1.0, max_lists_per_second)
        self._clock = clock
        self._usages: dict[str, _Usage] = {}

    def acquire(self, caller: str, num_lists: int) -> None:
        """Admits a caller's lists and counts them. Raises Overloaded, and counts none, if they exceed a limit.

        A BatchRescore call with more lists than a limit is admitted when its caller has no list in flight and a full
        bucket. Without this exception, such a call could never be admitted.
        """
        usage = self._usage(caller)
        if self._max_lists and usage.in_flight and usage.in_flight + num_lists > self._max_lists:
            raise Overloaded(
                f"caller {caller!r} has {usage.in_flight} lists in flight, and {num_lists} more exceed its limit of "
                f"{self._max_lists}: wait for answers"
            )
        if self._rate and usage.allowance < min(num_lists, self._burst):
            raise Overloaded(f"caller {caller!r} exceeds its limit of {self._rate:g} lists a second: send fewer")
        usage.in_flight += num_lists
        if self._rate:
            usage.allowance -= num_lists

    def release(self, caller: str, num_lists: int) -> None:
        """Counts lists that have ended."""
        self._usages[caller].in_flight -= num_lists

    def _usage(self, caller: str) -> _Usage:
        now = self._clock()
        usage = self._usages.get(caller)
        if usage is None:
            if len(self._usages) >= _MAX_IDLE_CALLERS:
                self._forget_idle(now)
            usage = self._usages[caller] = _Usage(0, self._burst, now)
        self._fill(usage, now)
        return usage

    def _fill(self, usage: _Usage, now: float) -> None:
        usage.allowance = min(self._burst, usage.allowance + self._rate * (now - usage.filled_at))
        usage.filled_at = now

    def _forget_idle(self, now: float) -> None:
        """Drops the callers whose usage equals the usage of a new caller."""
        for usage in self._usages.values():
            self._fill(usage, now)
        self._usages = {
            caller: usage for caller, usage in self._usages.items() if usage.in_flight or usage.allowance < self._burst
        }


class QuotaInterceptor(grpc.aio.ServerInterceptor):
    """Counts each caller's lists. Ends a call that exceeds the caller's quotas with RESOURCE_EXHAUSTED."""

    def __init__(self, quotas: Quotas, metrics: CallerMetrics, service: str) -> None:
        self._quotas = quotas
        self._metrics = metrics
        self._list_counts: dict[str, Callable[[Any], int]] = {
            f"/{service}/Rescore": lambda request: 1,
            f"/{service}/BatchRescore": _num_lists,
        }

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """The call's own handler, wrapped in the quota check."""
        handler = await continuation(handler_call_details)
        list_count = self._list_counts.get(handler_call_details.method)
        if handler is None or list_count is None:
            return handler
        # cast, because the stubs declare a blocking method
        answer = cast(Callable[[Any, Context], Awaitable[Any]], handler.unary_unary)

        async def with_quota(request: Any, context: Context) -> Any:  # noqa: ANN401
            caller, num_lists = caller_name(context), list_count(request)
            try:
                self._quotas.acquire(caller, num_lists)
            except Overloaded as error:
                self._metrics.count_limited(caller, num_lists)
                await abort(context, error)
            self._metrics.count_admitted(caller, num_lists)
            try:
                return await answer(request, context)
            finally:
                self._quotas.release(caller, num_lists)

        return grpc.unary_unary_rpc_method_handler(
            with_quota,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )


def _num_lists(request: pb.BatchRescoreRequest) -> int:
    return max(1, len(request.requests))
