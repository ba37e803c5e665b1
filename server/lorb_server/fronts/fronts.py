"""Starts a server's front processes, replaces dead and hung ones, informs fronts of changes, and drains them."""

import asyncio
import logging
import socket
import sys
from collections.abc import Callable
from dataclasses import replace

from lorb.errors import LorbError, Unavailable
from lorb_adapters.text import TextEncoder
from lorb_server.adapter import BaseInfo
from lorb_server.call import ListScorer
from lorb_server.config import ServeConfig
from lorb_server.fronts.connection import HEARTBEAT_SECONDS
from lorb_server.fronts.engine_state import EngineState
from lorb_server.fronts.front_peer import EngineServices, FrontPeer, FrontsRouting
from lorb_server.fronts.held_adapters import AdapterNumbers
from lorb_server.fronts.restarts import LONGEST_PAUSE_SECONDS, Restarts
from lorb_server.fronts.samples import Samples, total
from lorb_server.fronts.settings import FrontSettings
from lorb_server.fronts.shared_port import SharedPort
from lorb_server.rpc.health import Health
from lorb_server.telemetry.metrics import Metrics

STATE_WAIT_SECONDS = 1.0
_EXIT_SECONDS = 5.0  # a front that has not exited this long after the grace time is killed

_log = logging.getLogger(__name__)


class Fronts:
    """Starts and supervises the front processes, which take the calls. Belongs to the event loop."""

    def __init__(
        self,
        config: ServeConfig,
        base: BaseInfo,
        text_encoder: TextEncoder,
        routing: FrontsRouting,
        scoring: ListScorer,
        metrics: Metrics,
        health: Health,
        *,
        on_failure: Callable[[], None],
    ) -> None:
        """`on_failure` is called when a front dies so often that it is not restarted."""
        self._config = config
        self._base = base
        self._text_encoder = text_encoder
        self._metrics = metrics
        self._health = health
        self._on_failure = on_failure
        self._services = EngineServices(scoring, routing, AdapterNumbers(), self._state, metrics.internal_errors)
        self._state_number = 0
        self._running: dict[int, tuple[asyncio.subprocess.Process, FrontPeer]] = {}  # by slot
        self._ended_samples: Samples = {}  # the last samples of the fronts that have ended
        self._supervisors: list[asyncio.Task[None]] = []
        self._measuring: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._port: SharedPort | None = None

    async def listen(self) -> int:
        """Starts all fronts. Returns the port on which they listen.

        Raises InvalidInput if the address is taken or invalid, and another LorbError if a front cannot start.
        """
        loop = asyncio.get_running_loop()
        self._port = SharedPort(self._config.host, self._config.port)
        self._config = replace(self._config, port=self._port.port)
        first_ready = [loop.create_future() for _ in range(self._config.front_processes)]
        self._supervisors = [loop.create_task(self._supervise(slot, ready)) for slot, ready in enumerate(first_ready)]
        self._measuring = loop.create_task(self._watch_fronts())
        await asyncio.gather(*first_ready)
        return self._port.port

    async def stop(self, grace_seconds: float) -> None:
        """Refuses new calls, waits up to `grace_seconds` for calls in flight, and ends all fronts."""
        self._stopping.set()
        for process, peer in self._running.values():
            if peer.is_ready:
                peer.drain(grace_seconds)
            else:
                _kill(process)
        if self._supervisors:
            await asyncio.wait(self._supervisors, timeout=grace_seconds + _EXIT_SECONDS)
            for process, _ in self._running.values():
                _kill(process)
            await asyncio.gather(*self._supervisors)
        if self._measuring is not None:
            self._measuring.cancel()
        if self._port is not None:
            self._port.close()

    def note_change(self) -> None:
        """Tells the fronts that health or the registry has changed."""
        self._state_number += 1
        for _, peer in self._running.values():
            peer.send_state()

    async def wait_for_state(self) -> None:
        """Waits until all fronts follow the current state, but at most STATE_WAIT_SECONDS."""
        waits = [asyncio.ensure_future(peer.wait_for_state(self._state_number)) for _, peer in self._running.values()]
        if waits:
            _, late = await asyncio.wait(waits, timeout=STATE_WAIT_SECONDS)
            for each in late:
                each.cancel()

    async def measure(self) -> Samples:
        """Asks the fronts for samples and returns their sum. If a front answers too late, its last samples count."""
        waits = [asyncio.ensure_future(peer.fetch_samples()) for _, peer in self._running.values()]
        if waits:
            _, late = await asyncio.wait(waits, timeout=HEARTBEAT_SECONDS / 2)
            for each in late:
                each.cancel()
        return self.samples()

    def samples(self) -> Samples:
        """The sum of the last samples of all fronts, ended fronts included. May be called on any thread."""
        return total([self._ended_samples, *(peer.samples for _, peer in list(self._running.values()))])

    @property
    def process_ids(self) -> list[int]:
        """The process ids of the running fronts, by slot."""
        return [process.pid for _, (process, _) in sorted(self._running.items())]

    @property
    def num_jobs(self) -> int:
        """How many of the fronts' jobs and questions about routes are in progress."""
        return sum(peer.num_jobs for _, peer in self._running.values())

    def _state(self) -> EngineState:
        return EngineState(self._state_number, self._health.serving, self._health.has_served)

    async def _supervise(self, slot: int, first_ready: asyncio.Future[int]) -> None:
        """Keeps one front running until `stop`."""
        restarts = Restarts()
        while True:
            status = await self._run_front(slot, first_ready)
            if self._stopping.is_set():
                return
            self._metrics.front_restarts.inc()
            if isinstance(status, LorbError):  # a TLS file has become unusable: it may be replaced at any time
                pause_seconds: float | None = LONGEST_PAUSE_SECONDS
                status = status.message
            else:
                pause_seconds = restarts.pause_seconds(asyncio.get_running_loop().time())
            fields = {"front": slot, "exit_status": status, "restart_in_seconds": pause_seconds}
            _log.error("a front process died", extra={"fields": fields})
            if pause_seconds is None:
                self._on_failure()
                return
            await _pause(self._stopping, pause_seconds)
            if self._stopping.is_set():
                return

    async def _run_front(self, slot: int, first_ready: asyncio.Future[int]) -> int | str | LorbError:
        """Runs one front from start to end.

        Returns its exit status, the reason that it could not be started, or the error with which it refused to start.
        """
        peer = FrontPeer(self._services)
        peer.ready.add_done_callback(lambda ready: _copy_result(ready, first_ready))
        try:
            process = await _start(peer)
        except OSError as error:
            _copy_error(Unavailable(f"a front process cannot be started: {error.strerror}"), first_ready)
            return str(error.strerror)
        self._running[slot] = process, peer
        self._metrics.watch_fronts(self._num_ready)
        peer.send_settings(FrontSettings(slot, self._config, self._base, self._text_encoder).to_json())
        if self._stopping.is_set():
            _kill(process)
        status = await process.wait()
        await peer.close_after_exit(_EXIT_SECONDS)
        del self._running[slot]
        self._ended_samples = total([self._ended_samples, peer.samples])
        return status if peer.refusal is None else peer.refusal

    def _num_ready(self) -> float:
        return float(sum(peer.is_ready for _, peer in list(self._running.values())))

    async def _watch_fronts(self) -> None:
        """Asks for samples, which are the fronts' heartbeat, and kills fronts that do not answer.

        A killed front is started again. The counts since its last samples are lost.
        """
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            for slot, (process, peer) in self._running.items():
                if peer.is_ready:
                    peer.connection.count_heartbeat()
                if peer.connection.is_silent and process.returncode is None:
                    _log.error("a front process does not answer, and is killed", extra={"fields": {"front": slot}})
                    process.kill()
                peer.request_samples()


async def _start(peer: FrontPeer) -> asyncio.subprocess.Process:
    """Starts a front process that is connected to `peer` by a new socket pair."""
    ours, theirs = socket.socketpair()
    with theirs:
        await asyncio.get_running_loop().create_unix_connection(lambda: peer.connection, sock=ours)
        command = (sys.executable, "-P", "-m", "lorb_server.fronts.front", str(theirs.fileno()))
        try:
            return await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, pass_fds=(theirs.fileno(),)
            )
        except OSError:
            peer.connection.close()
            raise


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()


async def _pause(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return


def _copy_result(ready: asyncio.Future[int], to: asyncio.Future[int]) -> None:
    error = ready.exception()
    if error is not None:
        _copy_error(error, to)
    elif not to.done():
        to.set_result(ready.result())


def _copy_error(error: BaseException, to: asyncio.Future[int]) -> None:
    if not to.done():
        to.set_exception(error)
