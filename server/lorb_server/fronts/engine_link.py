"""A front's end of the connection to the engine process, which sends settings, routes and scores."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from lorb.errors import LorbError, Overloaded, Unavailable
from lorb_server.adapter import AdapterHandle, Route
from lorb_server.call import Call, Priority, Scored
from lorb_server.fronts.connection import HEARTBEAT_SECONDS, Connection
from lorb_server.fronts.engine_state import EngineState
from lorb_server.fronts.frames import Kind, ProtocolError
from lorb_server.fronts.held_adapters import HeldAdapters
from lorb_server.fronts.messages import decode, decode_error, decode_route, encode, encode_error, encode_job
from lorb_server.fronts.samples import encode_samples, samples_of
from lorb_server.rpc.health import Health
from lorb_server.telemetry.metrics import Metrics

# When the engine has refused a list because its queue is full, the front refuses lists of the same domain and priority
# for this time, before it tokenises them.
FULL_SECONDS = 0.005

_log = logging.getLogger(__name__)


class EngineLink:
    """Lets the engine process score lists and choose their adapters. Belongs to the event loop.

    Attributes:
        hello: a future of the front's settings as JSON values.
        drained: a future of the grace time in seconds; resolved when the engine tells this front to finish.
        lost: a future that is resolved when the connection has ended.
    """

    def __init__(self, health: Health, metrics: Metrics) -> None:
        """`health` is changed to mirror the engine's health; samples of `metrics` are sent to the engine."""
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
        self._routes: dict[str, Route] = {}  # only routes that do not depend on the routing key
        self._adapters = HeldAdapters(lambda number, uses: self._call_loop(self._release, number, uses))
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._next = count(1)
        self._full_until: dict[tuple[str, Priority], float] = {}

    def check_admission(self, call: Call, minimum_tokens: int) -> None:
        """Raises Unavailable if the engine process is gone or does not answer.

        Raises Overloaded if the engine's queue was full just now, or if the engine reads frames too slowly.

        `minimum_tokens` is not used: only the engine process can tell whether the list meets its deadline.
        """
        self._check_engine()
        full_until = self._full_until.get((call.adapter.ref.domain, call.priority), 0.0)
        if self.connection.is_full or full_until > self._loop.time():
            raise Overloaded("the queue is full: try again, or use the fallback policy DEGRADE")

    async def score(self, call: Call) -> Scored:
        """Sends a tokenised list to the engine process, which scores it.

        Raises Unavailable if the engine process is gone or does not answer. Otherwise raises the LorbError with which
        the engine process refuses or fails the list.
        """
        try:
            scored: Scored = await self._ask(Kind.SUBMIT, encode_job(call, self._adapters.number(call.adapter)))
        except Overloaded:
            self._full_until[call.adapter.ref.domain, call.priority] = self._loop.time() + FULL_SECONDS
            raise
        return scored

    async def route(self, domain: str, routing_key: str) -> Route:
        """The adapters for a call to `domain`. Routes that do not depend on the routing key are cached."""
        route = self._routes.get(domain)
        if route is None:
            route, state, is_fixed = await self._ask(Kind.ROUTE, encode((domain, routing_key)))
            if is_fixed and state == self._state.number:
                self._routes[domain] = route
        return route

    def withdraw_canary(self, adapter: AdapterHandle, reason: str) -> None:
        """Stops sending calls to this canary."""
        self._routes.clear()
        self.connection.send(Kind.WITHDRAW, self._adapters.number(adapter), reason.encode())

    def served_domains(self) -> Sequence[str]:
        """The domains that a request may name, sorted. Changes in the engine arrive a round trip later."""
        return self._domains

    def say_ready(self, port: int) -> None:
        """Tells the engine that this front takes calls."""
        self.connection.send(Kind.READY, port)

    def say_refused(self, error: LorbError) -> None:
        """Tells the engine why this front cannot take calls."""
        self.connection.send(Kind.REFUSED, 0, encode_error(error))

    async def watch_engine(self) -> None:
        """Reports NOT_SERVING and refuses calls while the engine process does not answer. Runs until it is cancelled.

        The engine's requests for samples are its heartbeat.
        """
        was_silent = False
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            self.connection.count_heartbeat()
            if self.connection.is_silent != was_silent:
                was_silent = not was_silent
                _log.error("the engine process " + ("does not answer" if was_silent else "answers again"))
                self._mirror_health()

    def report(self) -> None:
        """Sends the samples of the metrics to the engine."""
        self.connection.send(Kind.MEASURED, 0, encode_samples(samples_of(self._metrics.registry)))

    async def _ask(self, kind: Kind, body: bytes) -> Any:  # noqa: ANN401
        """Sends a frame and returns the engine's answer. If the caller is cancelled, cancels the engine's work."""
        self._check_engine()
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
                self._resolve(number, decode(body, Scored))
            case Kind.FAILED:
                self._fail(number, decode_error(body))
            case Kind.ROUTED:
                self._resolve(number, decode_route(body, self._adapters.receive))
            case Kind.STATE:
                self._follow(decode(body, EngineState))
            case Kind.DOMAINS_SERVED:
                self._note_domains(number, decode(body, tuple[str, ...]))
            case Kind.MEASURE:
                self.report()
            case Kind.HELLO:
                self.hello.set_result(decode(body, dict[str, Any]))
            case Kind.DRAIN:
                if not self.drained.done():
                    self.drained.set_result(number / 1000)
            case _:
                raise ProtocolError(f"unexpected {kind.name} frame from the engine")

    def _resolve(self, number: int, result: object) -> None:
        answer = self._waiting.get(number)
        if answer is not None and not answer.done():  # else the call was cancelled
            answer.set_result(result)

    def _fail(self, number: int, error: LorbError) -> None:
        answer = self._waiting.get(number)
        if answer is not None and not answer.done():
            answer.set_exception(error)

    def _release(self, number: int, uses: int) -> None:
        self.connection.send(Kind.RELEASE, number, encode(uses))

    def _call_loop(self, function: Callable[..., None], *arguments: int) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop is closed: the front ends
            self._loop.call_soon_threadsafe(function, *arguments)

    def _follow(self, state: EngineState) -> None:
        self._state = state
        self._routes.clear()
        self._mirror_health()
        self.connection.send(Kind.STATE_SEEN, state.number)
        if not self._asks_domains:  # one question at a time, however fast the registry changes
            self._asks_domains = True
            self.connection.send(Kind.DOMAINS, state.number)

    def _mirror_health(self) -> None:
        is_serving = self._state.is_serving and not self.connection.is_silent
        self._health.mirror(is_serving=is_serving, has_served=self._state.has_served)

    def _check_engine(self) -> None:
        if self.connection.is_closed:
            raise _engine_gone()
        if self.connection.is_silent:
            raise Unavailable("this server's engine process does not answer: try another server")

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
                answer.set_exception(_engine_gone())


def _engine_gone() -> Unavailable:
    return Unavailable("this server's engine process is gone: try another server")
