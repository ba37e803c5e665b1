"""How one call ended, as a load generator counts it, and the connections that it goes through."""

import asyncio
import itertools
from dataclasses import dataclass
from enum import Enum

from grpc import aio

from lorb.errors import Unavailable
from lorb.status import DETAILS_KEY
from lorb.v1 import rescoring_pb2 as pb
from lorb.wire import ranked_from_response
from lorb_client.calls import CallSettings
from lorb_client.channel import open_aio_channel

_METHOD = "/lorb.v1.RescoringService/Rescore"


class OutcomeKind(Enum):
    """What became of a call."""

    RESCORED = "rescored"
    PARTIAL = "partial"
    FIRST_PASS = "first_pass"  # noqa: S105 - a pass of a recogniser
    REFUSED = "refused"  # the server answered with a status of its own
    NO_ANSWER = "no_answer"  # gRPC gave up: time over, connection lost


ANSWERED = frozenset({OutcomeKind.RESCORED, OutcomeKind.PARTIAL, OutcomeKind.FIRST_PASS})


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """How one call ended.

    Attributes:
        ending: what became of it.
        reason: the fallback reason, or the gRPC status in lower case; empty where rescored in full.
        num_scored: hypotheses of the answer that carry a rescoring score.
    """

    ending: OutcomeKind
    reason: str = ""
    num_scored: int = 0


class Connections:
    """Sends serialised RescoreRequests over several connections in turn. Belongs to the running event loop."""

    def __init__(self, settings: CallSettings, num_connections: int) -> None:
        # Nothing is tried again: a load generator shows what one attempt meets.
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
        """Connects, so that no call pays for it. Raises Unavailable where that takes too long."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await asyncio.gather(*(channel.channel_ready() for channel in self._channels))
        except TimeoutError:
            raise Unavailable(f"{self._target} took no connection within {timeout_seconds:g} s") from None

    async def send(self, request: bytes, timeout_seconds: float) -> CallOutcome:
        """One call from its beginning to its end; cancelling this cancels the call, on the server too."""
        try:
            response: bytes = await next(self._methods)(request, timeout=timeout_seconds, metadata=self._metadata)
        except aio.AioRpcError as error:
            return _failed(error)
        return end_of(pb.RescoreResponse.FromString(response))

    async def close(self) -> None:
        """Cancels the calls under way and closes the connections."""
        for channel in self._channels:
            await channel.close()


def end_of(response: pb.RescoreResponse) -> CallOutcome:
    """What an answer amounts to. Raises LorbError where it says what this release does not know."""
    ranked = ranked_from_response(
        pb.RescoreResponse(outcome=response.outcome, fallback_reason=response.fallback_reason)
    )
    reason = ranked.fallback_reason
    num_scored = sum(hypothesis.HasField("rescoring_score") for hypothesis in response.hypotheses)
    return CallOutcome(OutcomeKind(ranked.outcome.value), reason.value if reason else "", num_scored)


def _failed(error: aio.AioRpcError) -> CallOutcome:
    by_server = any(key == DETAILS_KEY for key, _ in error.trailing_metadata() or ())
    return CallOutcome(OutcomeKind.REFUSED if by_server else OutcomeKind.NO_ANSWER, error.code().name.lower())
