"""The engine process as a front sees it: settings, routes and scores, over one connection."""

import asyncio
import json
import math
from collections.abc import Sequence
from itertools import count
from typing import Any

from lorb.errors import LorbError, Overloaded, Unavailable
from lorb.ranked import AdapterRef
from lorb_server.adapter import AdapterHandle, Route
from lorb_server.call import Job, Priority, Scored
from lorb_server.fronts.adapter_codec import MAX_NUMBERED_ADAPTERS, decode_route
from lorb_server.fronts.connection import Connection
from lorb_server.fronts.engine_state import EngineState
from lorb_server.fronts.frames import Kind, ProtocolError
from lorb_server.fronts.job_codec import decode_error, decode_scored, encode_error, encode_job
from lorb_server.fronts.samples import encode_samples, samples_of
from lorb_server.rpc.health import Health
from lorb_server.telemetry.metrics import Metrics

# A queue that was full is taken to be full for this long: texts would be tokenised in vain.
FULL_SECONDS = 0.005


class EngineLink:
    """Scoring and routing in another process. Belongs to the event loop.

    Attributes:
        hello: the engine's settings, once they are there.
        drained: set when this front is to finish; the grace in seconds.
        lost: done when the engine process is gone.
    """

    def __init__(self, health: Health, metrics: Metrics) -> None:
        """`health` is made to say what the engine's says; `metrics` are told to the engine."""
        loop = asyncio.get_running_loop()
        self.connection = Connection(self._receive, on_close=self._lose)
        self.hello: asyncio.Future[dict[str, Any]] = loop.create_future()
        self.drained: asyncio.Future[float] = loop.create_future()
        self.lost: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._health = health
        self._metrics = metrics
        self._state = EngineState()
        self._domains: Sequence[str] = ()
        self._asks_domains = False
        self._routes: dict[str, Route] = {}  # those that hold for every routing key
        self._adapters: dict[int, AdapterHandle] = {}
        self._numbers: dict[AdapterRef, int] = {}
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._next = count(1)
        self._full_until: dict[tuple[str, Priority], float] = {}

    def check_room(self, domain: str, lane: Priority, *, minimum_tokens: int = 1, answer_by: float = math.inf) -> None:
        """See Scoring. Goes by what the engine has said lately, which tells nothing of lengths and deadlines."""
        if self.connection.is_closed:
            raise _gone()
        if self.connection.is_full or self._full_until.get((domain, lane), 0.0) > self._loop.time():
            raise Overloaded("the queue is full; try again, or accept the first-pass order (DEGRADE)")

    async def score(self, job: Job) -> Scored:
        """See Scoring."""
        number = self._numbers.get(job.adapter.ref)
        if number is None:
            raise _forgotten()
        try:
            scored: Scored = await self._ask(Kind.SUBMIT, encode_job(job, number))
        except Overloaded:
            self._full_until[job.adapter.ref.domain, job.lane] = self._loop.time() + FULL_SECONDS
            raise
        return scored

    async def route(self, domain: str, routing_key: str) -> Route:
        """See Routing. Asks the engine once in each of its states where the routing key makes no difference."""
        route = self._routes.get(domain)
        if route is None:
            question = json.dumps([domain, routing_key]).encode()
            route, state, is_fixed = await self._ask(Kind.ROUTE, question)
            if is_fixed and state == self._state.number:
                self._routes[domain] = route
        return route

    def withdraw_canary(self, adapter: AdapterHandle, reason: str) -> None:
        """See Routing."""
        self._routes.clear()
        self.connection.send(Kind.WITHDRAW, self._numbers.get(adapter.ref, 0), reason.encode())

    def served_domains(self) -> Sequence[str]:
        """See Routing. Follows the engine's within a round trip."""
        return self._domains

    def say_ready(self, port: int) -> None:
        """Tells the engine that calls are taken."""
        self.connection.send(Kind.READY, port)

    def say_refused(self, error: LorbError) -> None:
        """Tells the engine why no calls can be taken."""
        self.connection.send(Kind.REFUSED, 0, encode_error(error))

    def report(self) -> None:
        """Tells the engine what has been counted so far."""
        self.connection.send(Kind.MEASURED, 0, encode_samples(samples_of(self._metrics.registry)))

    async def _ask(self, kind: Kind, body: bytes) -> Any:  # noqa: ANN401
        """The answer to a question; one that nobody waits for any more is taken back."""
        if self.connection.is_closed:
            raise _gone()
        number = next(self._next)
        answer = self._waiting[number] = self._loop.create_future()
        self.connection.send(kind, number, body)
        try:
            return await answer
        except asyncio.CancelledError:
            self.connection.send(Kind.CANCEL, number)
            raise
        finally:
            del self._waiting[number]

    def _receive(self, kind: Kind, number: int, body: bytes) -> None:
        match kind:
            case Kind.SCORED:
                self._settle(number, decode_scored(body))
            case Kind.FAILED:
                self._fail(number, decode_error(body))
            case Kind.ROUTED:
                self._settle(number, decode_route(body, self._note_adapter))
            case Kind.STATE:
                self._follow(EngineState.decode(body))
            case Kind.DOMAINS_SERVED:
                self._note_domains(number, tuple(json.loads(body)))
            case Kind.MEASURE:
                self.report()
            case Kind.HELLO:
                self.hello.set_result(json.loads(body))
            case Kind.DRAIN:
                if not self.drained.done():
                    self.drained.set_result(number / 1000)
            case _:
                raise ProtocolError(f"an engine sends no {kind.name}")

    def _settle(self, number: int, result: object) -> None:
        answer = self._waiting.get(number)
        if answer is not None and not answer.done():  # else nobody waits any more
            answer.set_result(result)

    def _fail(self, number: int, error: LorbError) -> None:
        answer = self._waiting.get(number)
        if answer is not None and not answer.done():
            answer.set_exception(error)

    def _note_adapter(self, number: int, adapter: AdapterHandle) -> AdapterHandle:
        """One object for each adapter, however often the engine describes it."""
        known = self._adapters.setdefault(number, adapter)
        self._numbers[known.ref] = number
        if len(self._adapters) > MAX_NUMBERED_ADAPTERS:
            oldest = self._adapters.pop(next(iter(self._adapters)))
            self._numbers.pop(oldest.ref, None)
        return known

    def _follow(self, state: EngineState) -> None:
        self._state = state
        self._routes.clear()
        self._health.mirror(is_serving=state.is_serving, has_served=state.has_served)
        self.connection.send(Kind.STATE_SEEN, state.number)
        if not self._asks_domains:  # one question on the way, however fast the registry changes
            self._asks_domains = True
            self.connection.send(Kind.DOMAINS, state.number)

    def _note_domains(self, state_number: int, domains: Sequence[str]) -> None:
        self._domains = domains
        self._asks_domains = state_number != self._state.number
        if self._asks_domains:
            self.connection.send(Kind.DOMAINS, self._state.number)

    def _lose(self) -> None:
        if not self.lost.done():
            self.lost.set_result(None)
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(_gone())


def _gone() -> Unavailable:
    return Unavailable("this server's engine process is gone; try another")


def _forgotten() -> Unavailable:
    return Unavailable("this server has forgotten which adapter the call was admitted with; try again")
