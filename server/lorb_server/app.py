"""One server: starts its parts in order, serves until `stop`, and shuts the parts down in order."""

import asyncio
import logging
import signal
from dataclasses import asdict

import grpc
from prometheus_client import CollectorRegistry

from lorb import __version__
from lorb.errors import StoreUnavailable
from lorb.names import BASE_DOMAIN
from lorb.v1 import admin_pb2_grpc
from lorb_server.build import ModelRuntime
from lorb_server.config import ServeConfig
from lorb_server.fronts.fronts import Fronts
from lorb_server.fronts.summed_metrics import SummedMetrics
from lorb_server.garbage_collection import shorten_collections, without_collections
from lorb_server.parts import ServerParts, base_info, load_parts
from lorb_server.ready_file import Ports, ReadyFile
from lorb_server.rpc.admin import AdapterAdminService
from lorb_server.rpc.call_server import CallServer
from lorb_server.rpc.errors import hide_places
from lorb_server.rpc.health import Health
from lorb_server.rpc.interceptors import admin_interceptors, check_credential_files
from lorb_server.rpc.server import ADMIN, RESCORING, listen, make_server
from lorb_server.rpc.tls import TlsFiles
from lorb_server.telemetry.logs import count_dropped_lines, log_event_loop_error
from lorb_server.telemetry.metrics import Metrics
from lorb_server.telemetry.metrics_server import MetricsServer
from lorb_server.thread_pool import full_pool

_DEFAULT_THREADS = 2  # of the event loop, for the shutdown; the store has threads of its own
_MINIMUM_ENGINE_SECONDS = 1.0  # for the running batch, if the calls have taken the whole grace time

_log = logging.getLogger(__name__)


class StoppedEarly(Exception):
    """`stop` was called before the start was complete."""


class App:
    """One server. Call `run`, or `start` and then `wait`. Belongs to one event loop.

    Attributes:
        config: the server's settings.
        store: the adapter store.
        metrics: all metrics of this process.
        health: the health service.
        engine: the workers and their queue.
        registry: the adapter versions that serve.
        fronts: the front processes; None if this process takes the calls itself.
    """

    def __init__(self, config: ServeConfig, parts: ServerParts) -> None:
        """Raises InvalidInput if a setting does not fit the base, or if a file that a setting names is not usable."""
        check_credential_files(config)
        hide_places(config.store, parts.base.name)
        self.config = config
        self.store = parts.store
        self.metrics = Metrics()
        self.health = Health((RESCORING, ADMIN))
        self.metrics.watch_health(lambda: self.health.serving)
        self._runtime = ModelRuntime(config, parts, self.metrics, on_death=self._fail)
        self.engine = self._runtime.engine
        self.registry = self._runtime.registry
        self._base = base_info(parts.base)
        scorer, text_encoder = self._runtime.scorer, parts.base.text_encoder
        dependencies = (config, self._base, text_encoder, self.registry, scorer, self.metrics, self.health)
        self.fronts = Fronts(*dependencies, on_failure=self._fail) if config.front_processes else None
        self._calls = self.fronts or CallServer(*dependencies)
        if self.fronts is not None:
            self.health.on_change = self.fronts.note_change
            self.registry.domains.add_listener(self.fronts.note_change)
        self._admin_server: grpc.aio.Server | None = None
        self._metrics_server: MetricsServer | None = None
        self._polling: asyncio.Task[None] | None = None
        self._ready_file = ReadyFile(config.ready_file)
        self._stop_requested = asyncio.Event()
        self._skip_drain = asyncio.Event()
        self._exit_status = 0

    async def run(self) -> int:
        """Starts the server, serves until `stop`, shuts the server down, and returns the exit status.

        A `stop` during the start ends the start. Raises LorbError if the server cannot start.
        """
        try:
            await self.start()
        except StoppedEarly:
            return self._exit_status
        return await self.wait()

    async def start(self) -> Ports:
        """Opens the ports, loads the adapters, warms up the model, then reports SERVING. Returns the open ports.

        Raises LorbError if a step fails, and StoppedEarly if `stop` is called during the start. Before it raises an
        error, it shuts the server down.
        """
        try:
            return await self._start_unless_stopped()
        except BaseException:
            self._skip_drain.set()
            await self.close()
            raise

    async def wait(self) -> int:
        """Serves until `stop` is called, a worker dies, or a front keeps dying. Returns the exit status."""
        await self._stop_requested.wait()
        await self.close()
        return self._exit_status

    def stop(self) -> None:
        """Begins the shutdown. A second call skips the rest of the drain."""
        if self._stop_requested.is_set():
            self._skip_drain.set()
        self._stop_requested.set()

    async def close(self) -> None:
        """Reports NOT_SERVING, drains, refuses new calls, waits for calls in flight, and ends the workers."""
        self.health.drain()
        if not self._skip_drain.is_set():
            _log.info("draining", extra={"fields": {"seconds": self.config.drain_seconds}})
            await self._drain()
        if self._polling is not None:
            self._polling.cancel()
        self.health.close()
        loop = asyncio.get_running_loop()
        stop_at = loop.time() + self.config.grace_seconds
        stops = [self._calls.stop(self.config.grace_seconds)]
        if self._admin_server is not None:
            stops.append(self._admin_server.stop(self.config.grace_seconds))
        await asyncio.gather(*stops)
        await self._runtime.close(timeout_seconds=max(_MINIMUM_ENGINE_SECONDS, stop_at - loop.time()))
        if self._metrics_server is not None:
            await asyncio.to_thread(self._metrics_server.close)
        self._ready_file.remove()
        _log.info("stopped", extra={"fields": {"exit_status": self._exit_status}})

    async def _start_unless_stopped(self) -> Ports:
        starting = asyncio.create_task(self._start())
        stopping = asyncio.create_task(self._stop_requested.wait())
        try:
            await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                raise StoppedEarly
            return starting.result()
        finally:
            starting.cancel()
            stopping.cancel()
            await asyncio.gather(starting, stopping, return_exceptions=True)

    async def _start(self) -> Ports:
        asyncio.get_running_loop().set_default_executor(full_pool(_DEFAULT_THREADS, "default"))
        base = self._base
        self.metrics.build_info.labels(__version__, base.name, base.fingerprint, base.device, base.dtype).set(1)
        self.engine.start()
        ports = await self._open_ports()
        self._ready_file.clear()  # not before it holds the ports: another server's file may be here
        await self.registry.try_refresh()
        if not self.registry.has_read:
            raise StoreUnavailable(f"the store cannot be read: {self.registry.last_error}", field="store")
        await self._runtime.warm_up()
        self._polling = asyncio.create_task(self.registry.poll(self.config.poll_seconds))
        self.registry.domains.add_listener(self._serve_once_ready)
        self._serve_once_ready()
        self._log_start(ports)
        self._ready_file.write(ports)
        return ports

    def _serve_once_ready(self) -> None:
        """Reports SERVING once --minimum-domains are served. Domains that leave later do not change that."""
        from_store = [name for name in self.registry.served_domains() if name != BASE_DOMAIN]
        if not self.health.has_served and len(from_store) >= self.config.minimum_domains:
            self.health.serve()

    def _log_start(self, ports: Ports) -> None:
        domains, default = self.registry.served_domains(), self.config.default_domain
        generation = max(0, self.registry.domains.generation)
        fields = {**asdict(ports), "domains": len(domains), "generation": generation}
        _log.info("serving", extra={"fields": fields})
        if not domains:
            _log.warning("the store has no version to serve yet", extra={"fields": {"store": self.config.store}})
        if default and default not in domains:
            _log.warning("the default domain is not served yet", extra={"fields": {"domain": default}})

    async def _open_ports(self) -> Ports:
        config = self.config
        port = await self._calls.listen()
        admin_port = await self._open_admin_port() if config.admin else None
        if config.metrics_port:
            self._metrics_server = MetricsServer(self._all_metrics(), config.metrics_host, config.metrics_port)
        return Ports(port, admin_port, config.metrics_port or None)

    async def _open_admin_port(self) -> int:
        config = self.config
        interceptors = admin_interceptors(config, self.metrics.callers)
        server = self._admin_server = make_server(config, ADMIN, self.health, interceptors)
        service = AdapterAdminService(
            self.store,
            self.registry,
            self._runtime.adapter_cache,
            self.metrics.internal_errors,
            threads=self._runtime.store_threads,
            wait_for_fronts=self.fronts.wait_for_state if self.fronts else None,
        )
        admin_pb2_grpc.add_AdapterAdminServiceServicer_to_server(service, server)  # type: ignore[no-untyped-call]
        tls = TlsFiles.of_admin(config)
        return await listen(server, config.admin_host, config.admin_port, "admin_port", tls, self.metrics.callers)

    def _all_metrics(self) -> CollectorRegistry:
        """The metrics of all processes of this server."""
        if self.fronts is None:
            return self.metrics.registry
        return SummedMetrics(self.metrics.registry, self.fronts, asyncio.get_running_loop()).registry

    def _fail(self) -> None:
        """Shuts down with exit status 1 and without a drain, because calls can no longer be answered."""
        self.health.drain()
        self._exit_status = 1
        self._skip_drain.set()
        self._stop_requested.set()

    async def _drain(self) -> None:
        """Waits for --drain-seconds, or until `_skip_drain` is set."""
        try:
            await asyncio.wait_for(self._skip_drain.wait(), self.config.drain_seconds)
        except TimeoutError:
            return


def serve(config: ServeConfig) -> int:
    """Runs a server until SIGTERM or SIGINT; returns the exit status. Raises LorbError if the server cannot start."""
    with without_collections():  # the base imports its family from transformers
        parts = load_parts(config)
    shorten_collections()
    # The runner is not closed: it would wait for the event loop's threads, and one that reads a file may never end.
    return asyncio.Runner().run(_serve(config, parts))


async def _serve(config: ServeConfig, parts: ServerParts) -> int:
    app = App(config, parts)
    count_dropped_lines(app.metrics.log_lines_dropped)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(log_event_loop_error)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, app.stop)
    return await app.run()
