"""Runs the callers of a fault run, counts outcomes and checks every score."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

import grpc
from faulty_server import fingerprint_score

from lorb.nbest import NBest
from lorb.ranked import RescoreOptions
from lorb.v1 import rescoring_pb2 as pb
from lorb.v1.rescoring_pb2_grpc import RescoringServiceStub
from lorb.wire import request_from_nbest
from lorb_adapters.base.loader import load_base
from lorb_adapters.text import TextNormalization
from lorb_client.channel import CHANNEL_OPTIONS

DEADLINE_SECONDS = 2.0
CALLERS = 16


@dataclass
class RunOutcome:
    """The outcomes of a run.

    Attributes:
        calls: number of calls by outcome, or by gRPC status if failed.
        failed_begun_before: number of failed calls that were sent before the fault.
        past_deadline: number of calls that exceeded the client's deadline.
        wrong_scores: number of hypotheses with the score of another text.
        longest_seconds: duration of the slowest call.
        health: status of grpc.health at the end.
        exit_status: exit status of the server; None if it still ran.
        notes: further results of a fault, by name.
    """

    calls: Counter[str] = field(default_factory=Counter)
    failed_begun_before: int = 0
    past_deadline: int = 0
    wrong_scores: int = 0
    longest_seconds: float = 0.0
    health: str = ""
    exit_status: int | None = None
    notes: dict[str, object] = field(default_factory=dict)


class Callers:
    """Sixteen callers that pause only after an error.

    Attributes:
        outcome: the outcomes so far.
        checks_scores: whether the server returns fingerprints as scores, which are then checked.
        fault_at: time of the fault on the monotonic clock.
    """

    def __init__(self, lists: list[NBest], checks_scores: bool) -> None:
        self.outcome = RunOutcome()
        self.checks_scores = checks_scores
        self.fault_at = float("inf")
        self._requests = [request_from_nbest(each, RescoreOptions(domain="librispeech")) for each in lists]
        encoder = load_base("minilm").text_encoder
        normalization = TextNormalization()
        texts = {h.transcript for each in lists for h in each.hypotheses}
        self._expected = {
            text: fingerprint_score(encoder.encode([text], "", normalization, uses_context=False)[0].token_ids)
            for text in (texts if checks_scores else ())
        }

    async def call_until(self, target: str, until: float) -> None:
        """Calls the server until a time of the monotonic clock."""
        channels = [grpc.aio.insecure_channel(target, [*CHANNEL_OPTIONS, ("lorb.n", i)]) for i in range(4)]
        stubs = [RescoringServiceStub(channel) for channel in channels]
        await asyncio.gather(*(self._call_on(stubs[i % 4], i, until) for i in range(CALLERS)))
        for channel in channels:
            await channel.close()

    async def _call_on(self, stub, number: int, until: float) -> None:
        turn = number
        while (began := time.monotonic()) < until:
            request = self._requests[turn % len(self._requests)]
            turn += CALLERS
            try:
                response = await stub.Rescore(request, timeout=DEADLINE_SECONDS)
            except grpc.aio.AioRpcError as error:
                self._note_error(error, began)
                await asyncio.sleep(0.05)
            else:
                self._note_answer(response)
            self.outcome.longest_seconds = max(self.outcome.longest_seconds, time.monotonic() - began)

    def _note_error(self, error: grpc.aio.AioRpcError, began: float) -> None:
        self.outcome.calls[error.code().name] += 1
        self.outcome.failed_begun_before += began < self.fault_at
        self.outcome.past_deadline += error.code() is grpc.StatusCode.DEADLINE_EXCEEDED

    def _note_answer(self, response: pb.RescoreResponse) -> None:
        self.outcome.calls[pb.Outcome.Name(response.outcome)] += 1
        for one in response.hypotheses:
            expected = self._expected.get(one.transcript)
            if expected is not None and one.HasField("rescoring_score"):
                self.outcome.wrong_scores += abs(one.rescoring_score - expected) > 1e-6
