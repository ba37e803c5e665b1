"""The engine's end of the connection to one front: runs the front's jobs, and cancels them when the front ends."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from prometheus_client import Counter

from lorb.errors import LorbError, Unavailable
from lorb_server.adapter import AdapterHandle, Route
from lorb_server.call import Call, ListScorer
from lorb_server.fronts.connection import Connection
from lorb_server.fronts.engine_state import EngineState
from lorb_server.fronts.frames import Kind, ProtocolError
from lorb_server.fronts.held_adapters import AdapterNumbers, FrontHolds
from lorb_server.fronts.messages import decode, decode_error, decode_job, encode, encode_error, encode_route
from lorb_server.fronts.samples import Samples, decode_samples
from lorb_server.rpc.errors import internal_error

# The engine stops reading from a front with this many jobs in progress: more lists than a queue usually holds.
MAX_JOBS = 8192

_log = logging.getLogger(__name__)


class FrontsRouting(Protocol):
    """What the fronts need of the registry (`lorb_server.registry.registry.Registry`)."""

    async def route(self, domain: str, routing_key: str) -> Route: ...  # noqa: D102
    def depends_on_key(self, domain: str) -> bool: ...  # noqa: D102
    def withdraw_canary(self, adapter: AdapterHandle, reason: str) -> None: ...  # noqa: D102
    def served_domains(self) -> Sequence[str]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class EngineServices:
    """What the engine process offers to all fronts.

    Attributes:
        scoring: scores lists.
        routing: chooses adapters.
        numbers: the numbers by which the fronts refer to adapters.
        state: returns the engine's current state.
        internal_errors: counts jobs that failed with an unexpected error.
    """

    scoring: ListScorer
    routing: FrontsRouting
    numbers: AdapterNumbers
    state: Callable[[], EngineState]
    internal_errors: Counter


class _Broadcast:
    """An event that can be set many times; each time, it wakes all waiters."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    async def wait(self) -> None:
        await self._event.wait()

    def notify_all(self) -> None:
        event, self._event = self._event, asyncio.Event()
        event.set()


class FrontPeer:
    """The engine's end of a front's connection. Belongs to the event loop.

    Attributes:
        ready: a future of the port once the front listens, or of the error that keeps the front from listening.
        refusal: the error with which the front refused to start; None if it did not refuse.
        samples: the last samples of its metrics that the front sent.
    """

    def __init__(self, services: EngineServices) -> None:
        self._loop = asyncio.get_running_loop()
        self.connection = Connection(self._receive, on_close=self._end, on_room=self._catch_up)
        self.ready: asyncio.Future[int] = self._loop.create_future()
        self.refusal: LorbError | None = None
        self.samples: Samples = {}
        self._services = services
        self._holds = FrontHolds(services.numbers)
        self._jobs: dict[int, asyncio.Task[None]] = {}
        self._is_paused = False
        self._seen_state = -1
        self._news = _Broadcast()
        self._ended = asyncio.Event()

    def send_settings(self, settings: dict[str, Any]) -> None:
        """Sends the settings and the state that the front needs before it listens."""
        self.connection.send(Kind.HELLO, 0, encode(settings))
        self.send_state()

    def send_state(self) -> None:
        """Sends the engine's state. A front that reads too slowly gets the latest state when it has caught up."""
        if not self.connection.is_full:
            state = self._services.state()
            self.connection.send(Kind.STATE, state.number, encode(state))

    async def wait_for_state(self, state_number: int) -> None:
        """Waits until the front follows the state `state_number` or a later state, or has ended."""
        while self._seen_state < state_number and not self._ended.is_set():
            await self._news.wait()

    def request_samples(self) -> None:
        """Asks for the samples of the front's metrics."""
        if not self.connection.is_full:
            self.connection.send(Kind.MEASURE, 0)

    async def fetch_samples(self) -> None:
        """Asks for samples, and waits until they have arrived or the front has ended."""
        before = self.samples
        self.request_samples()
        while self.samples is before and not self._ended.is_set():
            await self._news.wait()

    def drain(self, grace_seconds: float) -> None:
        """Tells the front to finish its calls in flight and to exit."""
        self.connection.send(Kind.DRAIN, round(grace_seconds * 1000))

    async def close_after_exit(self, timeout_seconds: float) -> None:
        """Waits until the last frames of an exited front are read; closes the connection after a timeout."""
        try:
            await asyncio.wait_for(self._ended.wait(), timeout_seconds)
        except TimeoutError:
            self.connection.close()

    @property
    def is_ready(self) -> bool:
        """Whether the front takes calls."""
        return self.ready.done() and self.ready.exception() is None and not self._ended.is_set()

    @property
    def num_jobs(self) -> int:
        """How many of the front's jobs and questions about routes are in progress."""
        return len(self._jobs)

    def _receive(self, kind: Kind, number: int, body: bytes) -> None:
        match kind:
            case Kind.SUBMIT:
                self._submit(number, body)
            case Kind.CANCEL:
                if number in self._jobs:
                    self._jobs[number].cancel()
            case Kind.ROUTE:
                domain, routing_key = decode(body, tuple[str, str])
                self._run(number, self._route(number, domain, routing_key))
            case Kind.DOMAINS:
                self.connection.send(Kind.DOMAINS_SERVED, number, encode(self._services.routing.served_domains()))
            case Kind.WITHDRAW:
                adapter = self._services.numbers.get(number)
                if adapter is not None:
                    self._services.routing.withdraw_canary(adapter, body.decode(errors="replace"))
            case Kind.RELEASE:
                self._holds.release(number, decode(body, int))
            case Kind.STATE_SEEN:
                self._seen_state = number
                self._news.notify_all()
            case Kind.MEASURED:
                self.samples = decode_samples(body)
                self._news.notify_all()
            case Kind.READY:
                if not self.ready.done():
                    self.ready.set_result(number)
            case Kind.REFUSED:
                self.refusal = decode_error(body)
                if not self.ready.done():
                    self.ready.set_exception(self.refusal)
            case _:
                raise ProtocolError(f"unexpected {kind.name} frame from a front")

    def _submit(self, number: int, body: bytes) -> None:
        try:
            job = decode_job(body, self._adapter)
        except Unavailable as error:
            self._fail(number, error)
        else:
            self._run(number, self._score(number, job))

    def _adapter(self, number: int) -> AdapterHandle:
        adapter = self._services.numbers.get(number)
        if adapter is None:
            raise Unavailable("this server no longer knows the adapter of this call: try again")
        return adapter

    def _run(self, number: int, work: Coroutine[Any, Any, None]) -> None:
        if number in self._jobs:
            work.close()
            raise ProtocolError(f"a front used the number {number} twice")
        task = self._jobs[number] = self._loop.create_task(work)
        task.add_done_callback(lambda _: self._finish(number))
        self._regulate()

    def _finish(self, number: int) -> None:
        del self._jobs[number]
        self._regulate()

    async def _score(self, number: int, job: Call) -> None:
        try:
            scored = await self._services.scoring.score(job)
        except LorbError as error:
            self._fail(number, error)
        except Exception as error:
            self._fail(number, internal_error(error, "score", self._services.internal_errors))
        else:
            self.connection.send(Kind.SCORED, number, encode(scored))

    async def _route(self, number: int, domain: str, routing_key: str) -> None:
        routing = self._services.routing
        try:
            route = await routing.route(domain, routing_key)
        except LorbError as error:
            self._fail(number, error)
        except Exception as error:
            self._fail(number, internal_error(error, "route", self._services.internal_errors))
        else:  # no await between the route and the state's number, so both belong to the same state
            is_fixed = not routing.depends_on_key(domain)
            answer = encode_route(route, self._holds.hold, state=self._services.state().number, is_fixed=is_fixed)
            self.connection.send(Kind.ROUTED, number, answer)

    def _fail(self, number: int, error: LorbError) -> None:
        self.connection.send(Kind.FAILED, number, encode_error(error))

    def _catch_up(self) -> None:
        self.send_state()
        self._regulate()

    def _regulate(self) -> None:
        """Pauses reading while the front has too many jobs or does not read its answers. Otherwise resumes reading."""
        must_wait = self.connection.is_full or len(self._jobs) >= MAX_JOBS
        if must_wait and not self._is_paused:
            self.connection.pause_reading()
        elif not must_wait and self._is_paused:
            self.connection.resume_reading()
        self._is_paused = must_wait

    def _end(self) -> None:
        for task in self._jobs.values():
            task.cancel()
        self._holds.release_all()
        self._ended.set()
        self._news.notify_all()
        if not self.ready.done():
            self.ready.set_exception(Unavailable("a front process ended before it served"))
            self.ready.exception()  # marks the error as retrieved, in case nobody waits for it
