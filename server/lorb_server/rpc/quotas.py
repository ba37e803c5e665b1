"""How many lists one caller may have under way, and send a second; counted for each caller that has a name."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import grpc

from lorb.errors import Overloaded
from lorb.v1 import rescoring_pb2 as pb
from lorb_server.rpc.errors import Context, refuse
from lorb_server.rpc.tokens import caller_name
from lorb_server.telemetry.caller_metrics import CallerMetrics

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]  # generic in the stubs alone

_MAX_IDLE_ACCOUNTS = 1000


@dataclass(slots=True)
class _Account:
    """One caller's lists under way, and how many it may still send: below 0 after a large batch."""

    under_way: int
    balance: float
    counted_at: float


class Quotas:
    """Counts each caller's lists. Belongs to the event loop."""

    def __init__(
        self, max_lists: int, max_lists_per_second: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """0: no limit."""
        self._max_lists = max_lists
        self._rate = max_lists_per_second
        self._burst = max(1.0, max_lists_per_second)
        self._clock = clock
        self._accounts: dict[str, _Account] = {}

    def enter(self, caller: str, num_lists: int) -> None:
        """Counts lists that begin; raises Overloaded, and counts none, where the caller has too many.

        A batch beyond either limit is taken where its caller has no other list under way and none too many sent:
        it could never be taken otherwise.
        """
        account = self._account(caller)
        if self._max_lists and account.under_way and account.under_way + num_lists > self._max_lists:
            raise Overloaded(
                f"caller {caller!r} has {account.under_way} lists under way, and {num_lists} more would be over the "
                f"{self._max_lists} that it may have: wait for answers"
            )
        if self._rate and account.balance < min(num_lists, self._burst):
            raise Overloaded(
                f"caller {caller!r} sends more than the {self._rate:g} lists a second that it may: send fewer"
            )
        account.under_way += num_lists
        if self._rate:
            account.balance -= num_lists

    def leave(self, caller: str, num_lists: int) -> None:
        """Counts lists that have ended."""
        self._accounts[caller].under_way -= num_lists

    def _account(self, caller: str) -> _Account:
        now = self._clock()
        account = self._accounts.get(caller)
        if account is None:
            if len(self._accounts) >= _MAX_IDLE_ACCOUNTS:
                self._forget_idle(now)
            account = self._accounts[caller] = _Account(0, self._burst, now)
        self._fill(account, now)
        return account

    def _fill(self, account: _Account, now: float) -> None:
        account.balance = min(self._burst, account.balance + self._rate * (now - account.counted_at))
        account.counted_at = now

    def _forget_idle(self, now: float) -> None:
        """Those that are as a new one would be."""
        for account in self._accounts.values():
            self._fill(account, now)
        self._accounts = {
            caller: account
            for caller, account in self._accounts.items()
            if account.under_way or account.balance < self._burst
        }


class QuotaInterceptor(grpc.aio.ServerInterceptor):
    """Counts each caller's lists, and turns away those beyond its limits."""

    def __init__(self, limits: Quotas, metrics: CallerMetrics, service: str) -> None:
        self._limits = limits
        self._metrics = metrics
        self._counts: dict[str, Callable[[Any], int]] = {
            f"/{service}/Rescore": lambda request: 1,
            f"/{service}/BatchRescore": _num_lists,
        }

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """The call's own handler, with the counting around it."""
        handler = await continuation(handler_call_details)
        count = self._counts.get(handler_call_details.method)
        if handler is None or count is None:
            return handler
        answer = cast(Callable[[Any, Context], Awaitable[Any]], handler.unary_unary)  # the stubs' is a blocking one

        async def counted(request: Any, context: Context) -> Any:  # noqa: ANN401
            caller, num_lists = caller_name(context), count(request)
            try:
                self._limits.enter(caller, num_lists)
            except Overloaded as error:
                self._metrics.limited(caller, num_lists)
                await refuse(context, error)
            self._metrics.admitted(caller, num_lists)
            try:
                return await answer(request, context)
            finally:
                self._limits.leave(caller, num_lists)

        return grpc.unary_unary_rpc_method_handler(
            counted,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )


def _num_lists(request: pb.BatchRescoreRequest) -> int:
    return max(1, len(request.requests))
