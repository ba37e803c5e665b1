"""The rescoring service: decodes and validates requests, chooses the adapters, and returns the rescored lists."""

import asyncio
from collections.abc import Callable

from lorb import __version__
from lorb.error_status import status_code
from lorb.errors import DeadlineExceeded, InvalidInput, LorbError, Unavailable
from lorb.ranked import Ranked, RescoreOptions
from lorb.server_info import ServerInfo
from lorb.v1 import rescoring_pb2 as pb
from lorb.v1 import rescoring_pb2_grpc
from lorb.wire import (
    batch_result,
    nbest_from_request,
    options_from_request,
    response_from_info,
    response_from_ranked,
)
from lorb_server.adapter import BaseInfo, Route
from lorb_server.call import Priority, RescoreCall
from lorb_server.config import ServeConfig
from lorb_server.registry.router import Routing
from lorb_server.rescoring.rescorer import Rescorer
from lorb_server.rpc.callers import Caller, Callers
from lorb_server.rpc.errors import Context, for_caller, internal_error, map_errors
from lorb_server.telemetry.metrics import Metrics
from lorb_server.telemetry.tracing import Tracing, traced

# The server subtracts this share of a call's remaining time, because gRPC sends the time rounded up. In a test of 2,000
# random deadlines, it was rounded up by as much as 3.5 % (grpcio 1.85).
_DEADLINE_ROUNDING = 0.04

# Time to put one hypothesis of a batch into first-pass order and into the response, twice what a server's processor
# takes. 256 lists of 256 hypotheses get 0.7 s before the deadline, but at most this share of the call's time.
_ANSWER_SECONDS = 1e-5
_MAXIMUM_ANSWER_SHARE = 0.25


class RescoringService(rescoring_pb2_grpc.RescoringServiceServicer):
    """Implements lorb.v1.RescoringService. Belongs to the event loop."""

    def __init__(
        self,
        config: ServeConfig,
        base: BaseInfo,
        routing: Routing,
        rescorer: Rescorer,
        metrics: Metrics,
        callers: Callers,
        *,
        is_warm: Callable[[], bool],
        tracing: Tracing | None = None,
    ) -> None:
        """Calls fail with UNAVAILABLE until `is_warm` returns true."""
        self.tracing = tracing
        self.internal_errors = metrics.internal_errors
        self._config = config
        self._base = base
        self._routing = routing
        self._rescorer = rescorer
        self._metrics = metrics
        self._callers = callers
        self._is_warm = is_warm

    @map_errors
    @traced
    async def Rescore(self, request: pb.RescoreRequest, context: Context) -> pb.RescoreResponse:  # noqa: N802
        """Rescores one list."""
        started_at = asyncio.get_running_loop().time()
        answer_by = self._answer_by(context, started_at, self._config.default_deadline_seconds)
        caller = await self._callers.of_call(context)
        return response_from_ranked(await self._rescore(request, caller, started_at, answer_by, Priority.INTERACTIVE))

    @map_errors
    @traced
    async def BatchRescore(  # noqa: N802
        self, request: pb.BatchRescoreRequest, context: Context
    ) -> pb.BatchRescoreResponse:
        """Rescores many lists; each list gets its own response or error status."""
        started_at = asyncio.get_running_loop().time()
        if len(request.requests) > self._config.max_batch_lists:
            raise InvalidInput(
                f"requests has {len(request.requests)} lists: this server accepts "
                f"at most {self._config.max_batch_lists}",
                field="requests",
            )
        answer_by = self._answer_by(context, started_at, self._config.default_bulk_deadline_seconds)
        answer_by -= min(
            _ANSWER_SECONDS * sum(len(each.hypotheses) for each in request.requests),
            _MAXIMUM_ANSWER_SHARE * (answer_by - started_at),
        )
        caller = await self._callers.of_call(context)
        async with asyncio.TaskGroup() as group:
            tasks = []
            for list_request in request.requests:
                tasks.append(group.create_task(self._rescore_one(list_request, caller, started_at, answer_by)))
                await asyncio.sleep(0)  # lets Rescore calls run between the lists of this call
        response = pb.BatchRescoreResponse()
        for task in tasks:
            response.results.append(batch_result(task.result()))
            await asyncio.sleep(0)
        return response

    @map_errors
    async def GetServerInfo(  # noqa: N802
        self,
        request: pb.GetServerInfoRequest,
        context: Context,
    ) -> pb.GetServerInfoResponse:
        """Reports the server's version, base and limits, and the domains that the caller may use."""
        caller = await self._callers.of_call(context)
        default_domain = self._config.default_domain
        return response_from_info(
            ServerInfo(
                server_version=__version__,
                base_name=self._base.name,
                base_fingerprint=self._base.fingerprint,
                device=self._base.device,
                dtype=self._base.dtype,
                domains=tuple(domain for domain in self._routing.served_domains() if caller.may_use(domain)),
                default_domain=default_domain if caller.may_use(default_domain) else "",
                max_hypotheses=self._config.max_hypotheses,
                max_transcript_chars=self._config.max_transcript_chars,
                max_batch_lists=self._config.max_batch_lists,
            )
        )

    async def _rescore_one(
        self, request: pb.RescoreRequest, caller: Caller, started_at: float, answer_by: float
    ) -> Ranked | LorbError:
        try:
            return await self._rescore(request, caller, started_at, answer_by, Priority.BATCH)
        except LorbError as error:
            return for_caller(error)

    async def _rescore(
        self, request: pb.RescoreRequest, caller: Caller, started_at: float, answer_by: float, priority: Priority
    ) -> Ranked:
        call = None
        try:
            call = await self._admit(request, caller, started_at, answer_by, priority)
            return await self._rescorer.rescore(call)
        except LorbError as error:
            self._count_error(call, error)
            raise
        except Exception as error:
            failure = internal_error(
                error, "BatchRescore" if priority is Priority.BATCH else "Rescore", self.internal_errors
            )
            self._count_error(call, failure)
            raise failure from None

    def _count_error(self, call: RescoreCall | None, error: LorbError) -> None:
        domain, reason = call.adapter.ref.domain if call else "", status_code(error).name.lower()
        self._metrics.requests.labels(domain, "error", reason).inc()
        if call is not None:
            self._metrics.adapters.observe_alias(domain, call.compared_alias, "error", reason)

    async def _admit(
        self, request: pb.RescoreRequest, caller: Caller, started_at: float, answer_by: float, priority: Priority
    ) -> RescoreCall:
        """Decodes and validates a request, and chooses its adapters: later alias changes do not affect the call."""
        if not self._is_warm():
            raise Unavailable("this server is still warming up: try again soon, or try another server")
        if len(request.hypotheses) > self._config.max_hypotheses:  # checked before any hypothesis is decoded
            raise InvalidInput(
                f"hypotheses has {len(request.hypotheses)} entries: this server accepts "
                f"at most {self._config.max_hypotheses}",
                field="hypotheses",
            )
        options = options_from_request(request)
        caller.check_domain(options.domain, self._config.default_domain)
        nbest = nbest_from_request(request)
        nbest.check_limits(
            max_hypotheses=self._config.max_hypotheses, max_transcript_chars=self._config.max_transcript_chars
        )
        route = await self._route(options, options.routing_key or nbest.id, answer_by)
        call = RescoreCall(
            nbest=nbest,
            options=options,
            route=route,
            caller=caller.name,
            started_at=started_at,
            answer_by=answer_by,
            priority=priority,
        )
        call.decoded_at = asyncio.get_running_loop().time()
        return call

    async def _route(self, options: RescoreOptions, routing_key: str, answer_by: float) -> Route:
        """Returns the adapters for a call. If the adapter is not loaded yet, waits until it is loaded.

        Raises DeadlineExceeded if loading takes longer than the deadline, even under the fallback policy DEGRADE:
        until the adapter is loaded, the server does not know whether it can serve the domain.
        """
        try:
            async with asyncio.timeout_at(answer_by):
                return await self._routing.route(options.domain, routing_key)
        except TimeoutError:
            raise DeadlineExceeded(
                f"the adapter of {options.domain!r} was not loaded by the deadline; it is still loading: try again"
            ) from None

    def _answer_by(self, context: Context, now: float, default_seconds: float) -> float:
        """When the answer must be sent, in seconds on the event loop's clock: the deadline less the server's margin."""
        remaining: float | None = context.time_remaining()
        seconds = default_seconds if remaining is None else remaining * (1 - _DEADLINE_ROUNDING)
        return now + seconds - self._config.deadline_margin_seconds
