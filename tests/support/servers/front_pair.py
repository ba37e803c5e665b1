"""Both ends of a front's connection in one process, with scoring and routing that a test controls."""

import asyncio
import socket
from contextlib import asynccontextmanager

from lorb_server.adapter import Route
from lorb_server.call import Call, Scored
from lorb_server.fronts.engine_link import EngineLink
from lorb_server.fronts.engine_state import EngineState
from lorb_server.fronts.front_peer import EngineServices, FrontPeer
from lorb_server.fronts.held_adapters import AdapterNumbers
from lorb_server.rpc.health import Health
from lorb_server.telemetry.metrics import Metrics
from support.servers.serving import WAIT_SECONDS
from support.servers.stub_model import adapter_handle, row


class HeldScoring:
    """Scores a hypothesis by its first token once `gate` is open, or raises `trouble`."""

    def __init__(self):
        self.jobs = []
        self.cancelled = 0
        self.trouble = None
        self.gate = asyncio.Event()
        self.gate.set()

    def check_admission(self, call, minimum_tokens):
        """Admits every call."""

    async def score(self, job):
        """Waits for the gate, then scores or raises."""
        self.jobs.append(job)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.trouble is not None:
            raise self.trouble
        return Scored(tuple(float(row.token_ids[0]) for row in job.hypotheses), 0.25, 0.5, 1)


class ScriptedRouting:
    """Routes every domain to `adapters[domain]`; records what it was asked."""

    def __init__(self):
        self.adapters = {"voice": adapter_handle(1), "radio": adapter_handle(2, "radio")}
        self.canaries = {}
        self.asked = []
        self.withdrawn = []
        self.trouble = None

    async def route(self, domain, routing_key):
        """Routing keys among the canary's keys get the canary."""
        self.asked.append((domain, routing_key))
        if self.trouble is not None:
            raise self.trouble
        canary, keys = self.canaries.get(domain, (None, ()))
        if routing_key in keys:
            return Route(canary, stable=self.adapters[domain])
        return Route(self.adapters[domain])

    def depends_on_key(self, domain):
        """Whether the domain has a canary."""
        return domain in self.canaries

    def withdraw_canary(self, adapter, reason):
        """Records the canary and the reason."""
        self.withdrawn.append((adapter, reason))

    def served_domains(self):
        """All domains, sorted."""
        return sorted(self.adapters)


class Pair:
    """The front's end, `link`, and the engine's end, `peer`."""

    def __init__(self):
        self.scoring = HeldScoring()
        self.routing = ScriptedRouting()
        self.numbers = AdapterNumbers()
        self.state = EngineState(1, is_serving=True, has_served=True)
        self.health = Health(("lorb.v1.RescoringService",))
        self.metrics = Metrics()
        self.link = EngineLink(self.health, self.metrics)
        services = EngineServices(
            self.scoring, self.routing, self.numbers, lambda: self.state, self.metrics.internal_errors
        )
        self.peer = FrontPeer(services)

    async def connect(self):
        """Returns when the front follows the engine's state."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        await loop.create_unix_connection(lambda: self.peer.connection, sock=ours)
        await loop.create_unix_connection(lambda: self.link.connection, sock=theirs)
        self.peer.send_settings({"slot": 0})
        await self.peer.wait_for_state(1)

    async def change(self, **fields):
        """Changes the engine's state; returns when the front follows it."""
        fields = {"is_serving": self.state.is_serving, "has_served": self.state.has_served, **fields}
        self.state = EngineState(self.state.number + 1, **fields)
        self.peer.send_state()
        await self.peer.wait_for_state(self.state.number)


async def until(condition):
    """Returns when `condition()` is true."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():
            await asyncio.sleep(0.001)


@asynccontextmanager
async def connected():
    """A connected Pair, with a timeout."""
    pair = Pair()
    async with asyncio.timeout(WAIT_SECONDS):
        await pair.connect()
        try:
            yield pair
        finally:
            pair.link.connection.close()
            pair.peer.connection.close()
            await pair.link.lost
            await until(lambda: pair.peer.num_jobs == 0)


async def job(pair, *first_tokens, domain="voice"):
    """A job with one hypothesis for each first token, routed by the front."""
    route = await pair.link.route(domain, "")
    return Call(hypotheses=[row(token, 2, 3) for token in first_tokens], adapter=route.adapter, answer_by=1e12)
