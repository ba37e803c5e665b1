"""Makes the calls of a load over gRPC (Connections), and classifies their results (CallOutcome)."""

import asyncio
import itertools
from dataclasses import dataclass
from enum import Enum

from grpc import aio

from lorb.error_status import DETAILS_KEY
from lorb.errors import Unavailable
from lorb.v1 import rescoring_pb2 as pb
from lorb.wire import ranked_from_response
from lorb_client.calls import CallSettings
from lorb_client.channel import open_aio_channel

_METHOD = "/lorb.v1.RescoringService/Rescore"


class OutcomeKind(Enum):
    """How a call ended."""

    RESCORED = "rescored"
    PARTIAL = "partial"
    FIRST_PASS = "first_pass"  # noqa: S105 - not a password
    UNKNOWN = "unknown"  # answered, with an outcome that this release does not know
    REFUSED = "refused"  # the server answered with an error status
    NO_ANSWER = "no_answer"  # gRPC ended the call, for instance because the deadline passed or the connection was lost


ANSWERED = frozenset({OutcomeKind.RESCORED, OutcomeKind.PARTIAL, OutcomeKind.FIRST_PASS, OutcomeKind.UNKNOWN})


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """How one call ended.

    Attributes:
        kind: how the call ended.
        reason: the fallback reason, or the gRPC status in lower case; empty if the list was rescored in full.
        num_scored: number of hypotheses with a rescoring score.
    """

    kind: OutcomeKind
    reason: str = ""
    num_scored: int = 0


class Connections:
    """Sends serialised RescoreRequests round-robin over several connections. Belongs to the running event loop."""

    def __init__(self, settings: CallSettings, num_connections: int) -> None:
        # No retries: a load generator measures single attempts.
        options = (
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_retries", 0),
            ("grpc.max_receive_message_length", 32 * 2**20),
        )
        self._channels = [open_aio_channel(settings, options) for _ in range(num_connections)]
        self._target = settings.target
        self._metadata = aio.Metadata(*settings.metadata)
        methods: list[aio.UnaryUnaryMultiCallable[bytes, bytes]] = [
            channel.unary_unary(_METHOD) for channel in self._channels
        ]
        self._methods = itertools.cycle(methods)

    async def open(self, timeout_seconds: float) -> None:
        """Connects, so that no latency includes the time to connect. Raises Unavailable after `timeout_seconds`."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await asyncio.gather(*(channel.channel_ready() for channel in self._channels))
        except TimeoutError:
            raise Unavailable(f"{self._target} accepted no connection within {timeout_seconds:g} s") from None

    async def send(self, request: bytes, timeout_seconds: float) -> CallOutcome:
        """Makes one call. Cancelling the coroutine cancels the call, also on the server."""
        try:
            response: bytes = await next(self._methods)(request, timeout=timeout_seconds, metadata=self._metadata)
        except aio.AioRpcError as error:
            return _outcome_of_error(error)
        return outcome_of_response(pb.RescoreResponse.FromString(response))

    async def close(self) -> None:
        """Cancels the calls under way and closes the connections."""
        for channel in self._channels:
            await channel.close()


def outcome_of_response(response: pb.RescoreResponse) -> CallOutcome:
    """Returns the outcome of an answered call. Raises LorbError if the response has no outcome."""
    ranked = ranked_from_response(
        pb.RescoreResponse(outcome=response.outcome, fallback_reason=response.fallback_reason)
    )
    reason = ranked.fallback_reason
    num_scored = sum(hypothesis.HasField("rescoring_score") for hypothesis in response.hypotheses)
    return CallOutcome(OutcomeKind(ranked.outcome.value), reason.value if reason else "", num_scored)


def _outcome_of_error(error: aio.AioRpcError) -> CallOutcome:
    by_server = any(key == DETAILS_KEY for key, _ in error.trailing_metadata() or ())
    return CallOutcome(OutcomeKind.REFUSED if by_server else OutcomeKind.NO_ANSWER, error.code().name.lower())
