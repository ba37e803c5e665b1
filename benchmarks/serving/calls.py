"""Calls servers under test. Requests are serialised before the timing, and answers parsed after it."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Protocol

from grpc import aio

from lorb.ranked import RescoreOptions
from lorb.v1 import rescoring_pb2 as pb
from lorb.wire import request_from_nbest
from workload import TaggedList, domain_name

METHOD = "/lorb.v1.RescoringService/Rescore"
TIMEOUT_SECONDS = 300.0  # long enough to rescore every list


class Caller(Protocol):
    """Sends prepared requests to one server."""

    async def call(self, number: int) -> bytes:
        """Sends the `number`-th request and returns its answer; raises if it fails."""

    def scores(self, number: int, answer: bytes) -> list[float]:
        """The scores in an answer, in the request's order; raises ValueError if it was not rescored in full."""

    async def close(self) -> None:
        """Closes the connections."""


class GrpcCaller:
    """Calls LoRB's Rescore method over gRPC. Create it in the event loop."""

    def __init__(self, port: int, lists: Sequence[TaggedList], domain_name: Callable[[int], str] = domain_name) -> None:
        self._requests = [
            request_from_nbest(each.nbest, RescoreOptions(domain=domain_name(each.domain))).SerializeToString()
            for each in lists
        ]
        self._channel = aio.insecure_channel(f"127.0.0.1:{port}")
        self._method = self._channel.unary_unary(METHOD)

    async def call(self, number: int) -> bytes:
        """Sends the `number`-th request and returns its answer; raises if it fails."""
        answer: bytes = await self._method(self._requests[number % len(self._requests)], timeout=TIMEOUT_SECONDS)
        return answer

    def scores(self, number: int, answer: bytes) -> list[float]:
        """The scores in an answer, in the request's order; raises ValueError if it was not rescored in full."""
        response = pb.RescoreResponse.FromString(answer)
        if response.outcome != pb.OUTCOME_RESCORED:
            raise ValueError(f"call {number}: {pb.Outcome.Name(response.outcome)}")
        by_index = sorted(response.hypotheses, key=lambda hypothesis: hypothesis.index)
        return [hypothesis.rescoring_score for hypothesis in by_index]

    async def close(self) -> None:
        """Closes the connections."""
        await self._channel.close()


class HttpCaller:
    """Posts JSON over persistent connections, without an HTTP library."""

    def __init__(self, port: int, lists: Sequence[TaggedList]) -> None:
        self._port = port
        self._requests = [_post({"texts": each.texts, "domain": each.domain}) for each in lists]
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def call(self, number: int) -> bytes:
        """Sends the `number`-th request and returns its answer; raises if it fails."""
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(self._requests[number % len(self._requests)])
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        [length] = [int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")]
        body = await reader.readexactly(length)
        if b" 200 " not in lines[0]:
            raise OSError(f"{lines[0].decode()}: {body[:200]!r}")
        self._idle.append((reader, writer))
        return body

    def scores(self, number: int, answer: bytes) -> list[float]:
        """The scores in an answer, in the request's order; raises ValueError if it was not rescored in full."""
        scores: list[float] = json.loads(answer)["scores"]
        return scores

    async def close(self) -> None:
        """Closes the connections."""
        for _, writer in self._idle:
            writer.close()


def _post(content: object) -> bytes:
    body = json.dumps(content).encode()
    head = (
        f"POST /inference HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    )
    return f"{head}\r\n\r\n".encode() + body
