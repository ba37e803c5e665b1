"""Builds the server from its settings, runs it, and takes it down in order."""

import asyncio
import logging
import signal
from dataclasses import asdict, dataclass
from pathlib import Path

import grpc
from prometheus_client import CollectorRegistry

from lorb import __version__
from lorb.errors import InvalidInput
from lorb.v1 import admin_pb2_grpc
from lorb_adapters.base.loader import Base, load_base
from lorb_adapters.process_memory import keep_freed_pages
from lorb_adapters.store.choose_base import choose_base
from lorb_adapters.store.store import Store
from lorb_server.base_info import base_info
from lorb_server.build import ModelRuntime
from lorb_server.config import ServeConfig
from lorb_server.engine.device import Placement, choose_placement, use_threads
from lorb_server.fronts.fronts import Fronts
from lorb_server.fronts.summed_metrics import SummedMetrics
from lorb_server.ready_file import ReadyFile
from lorb_server.rpc.admin import AdapterAdminService
from lorb_server.rpc.call_server import CallServer
from lorb_server.rpc.health import Health
from lorb_server.rpc.interceptors import admin_interceptors, check_files, trusted_keys
from lorb_server.rpc.server import ADMIN, RESCORING, listen, make_server
from lorb_server.rpc.tls import TlsFiles
from lorb_server.telemetry.logs import log_unawaited
from lorb_server.telemetry.metrics import Metrics, MetricsServer
from lorb_server.thread_pool import full_pool

_STORE_THREADS = 4  # for the store's picture and what operators ask

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the server listens; None where it does not."""

    port: int
    admin_port: int | None
    metrics_port: int | None


class StoppedEarly(Exception):
    """The server was told to end before it served."""


class App:
    """One server. Construct, then `run`, or `start` and `wait`; all on one event loop."""

    def __init__(self, config: ServeConfig, base: Base, placement: Placement, store: Store) -> None:
        """Raises InvalidInput where the settings do not fit the base, or a file they name cannot be what it should."""
        self.config = config
        check_files(config)
        self.metrics = Metrics()
        self.health = Health((RESCORING, ADMIN))
        self.metrics.watch_health(lambda: self.health.serving)
        self.store = store
        self._room = ModelRuntime(config, base, placement, store, self.metrics, on_death=self._fail)
        self.engine = self._room.engine
        self.residents = self._room.residents
        self.registry = self._room.registry
        self._base = base_info(base)
        self.fronts = self._make_fronts(base) if config.front_processes else None
        self._calls = self.fronts or CallServer(
            config, self._base, base.text_encoder, self.registry, self._room.scorer, self.metrics, self.health
        )
        self._admin_server: grpc.aio.Server | None = None
        self._metrics_server: MetricsServer | None = None
        self._polling: asyncio.Task[None] | None = None
        self._ready_file = ReadyFile(config.ready_file)
        self._stop_asked = asyncio.Event()
        self._hurry = asyncio.Event()
        self._exit_status = 0

    def _make_fronts(self, base: Base) -> Fronts:
        fronts = Fronts(
            self.config,
            self._base,
            base.text_encoder,
            self.registry,
            self._room.scorer,
            self.metrics,
            self.health,
            on_failure=self._fail,
        )
        self.health.on_change = fronts.note_change
        self.registry.domains.watch(fronts.note_change)
        return fronts

    async def run(self) -> int:
        """Starts, then as `wait`; a `stop` before it serves ends it too. Raises LorbError where it cannot start."""
        try:
            await self.start()
        except StoppedEarly:
            return self._exit_status
        return await self.wait()

    async def start(self) -> Ports:
        """Listens, loads the adapters, warms up, then says SERVING.

        Raises LorbError where that cannot be, and StoppedEarly after a `stop` before; all is taken down then.
        """
        try:
            return await self._start_unless_stopped()
        except BaseException:
            self._hurry.set()
            await self.close()
            raise

    async def _start_unless_stopped(self) -> Ports:
        starting = asyncio.create_task(self._start())
        stopping = asyncio.create_task(self._stop_asked.wait())
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
        asyncio.get_running_loop().set_default_executor(full_pool(_STORE_THREADS, "store"))
        generation = await asyncio.to_thread(self.store.generation)  # a store that cannot be read ends it here
        self._show_build()
        self.engine.start()
        ports = await self._listen()
        self._ready_file.clear()  # not before: the ports may be those of the server that wrote it
        await self.registry.refresh_if_possible()
        await self._room.warm_up()
        self._polling = asyncio.create_task(self.registry.poll(self.config.poll_seconds))
        self.health.serve()
        domains = self.registry.served_domains()
        fields = {**asdict(ports), "domains": len(domains), "generation": generation}
        _log.info("serving", extra={"fields": fields})
        if not domains:
            _log.warning("the store holds nothing that can serve yet", extra={"fields": {"store": self.config.store}})
        if self.config.default_domain and self.config.default_domain not in domains:
            _log.warning(
                "the default domain is not served yet",
                extra={"fields": {"domain": self.config.default_domain}},
            )
        self._ready_file.write(asdict(ports))
        return ports

    async def wait(self) -> int:
        """Serves until `stop` or until the model thread dies, takes it all down, returns the exit status."""
        await self._stop_asked.wait()
        await self.close()
        return self._exit_status

    def stop(self) -> None:
        """Begins the end: once to drain, twice to hurry."""
        if self._stop_asked.is_set():
            self._hurry.set()
        self._stop_asked.set()

    async def close(self) -> None:
        """Takes the server down: health first, then new calls, then those in flight, then the model."""
        self.health.drain()
        if not self._hurry.is_set():
            _log.info("draining", extra={"fields": {"seconds": self.config.drain_seconds}})
            await self._pause(self.config.drain_seconds)
        if self._polling is not None:
            self._polling.cancel()
        self.health.close()
        stops = [self._calls.stop(self.config.grace_seconds)]
        if self._admin_server is not None:
            stops.append(self._admin_server.stop(self.config.grace_seconds))
        await asyncio.gather(*stops)
        await self._room.close()
        if self._metrics_server is not None:
            await asyncio.to_thread(self._metrics_server.close)
        self._ready_file.remove()
        _log.info("stopped", extra={"fields": {"exit_status": self._exit_status}})

    async def _listen(self) -> Ports:
        config = self.config
        port = await self._calls.listen()
        admin_port = await self._listen_for_operators() if config.admin else None
        if config.metrics_port:
            self._metrics_server = MetricsServer(self._all_metrics(), config.metrics_address, config.metrics_port)
        return Ports(port, admin_port, config.metrics_port or None)

    async def _listen_for_operators(self) -> int:
        config = self.config
        guards = admin_interceptors(config, self.metrics.callers)
        server = self._admin_server = make_server(config, ADMIN, self.health, guards)
        service = AdapterAdminService(
            self.store, self.registry, self.residents, self.metrics.internal_errors, settle=self._settle
        )
        admin_pb2_grpc.add_AdapterAdminServiceServicer_to_server(service, server)  # type: ignore[no-untyped-call]
        return await listen(server, config.admin_host, config.admin_port, "admin_port", TlsFiles.of_admin(config))

    def _all_metrics(self) -> CollectorRegistry:
        """What this server has counted, in all of its processes."""
        if self.fronts is None:
            return self.metrics.registry
        return SummedMetrics(self.metrics.registry, self.fronts, asyncio.get_running_loop()).registry

    async def _settle(self) -> None:
        """Returns when calls that come from now on go by what serves now."""
        if self.fronts is not None:
            await self.fronts.settle()

    def _show_build(self) -> None:
        base = self._base
        self.metrics.build_info.labels(__version__, base.name, base.fingerprint, base.device, base.dtype).set(1)

    def _fail(self) -> None:
        """Nothing can be scored, or no call be taken, any more: say so, let failed calls be answered, end with 1."""
        self.health.drain()
        self._exit_status = 1
        self._hurry.set()
        self._stop_asked.set()

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._hurry.wait(), seconds)
        except TimeoutError:
            return


def serve(config: ServeConfig) -> int:
    """Runs a server until it is told to end; returns the exit status. Raises LorbError if it cannot start."""
    keep_freed_pages()
    placement = choose_placement(config)
    use_threads(1)  # for this thread, which is not the model's
    _check_store(config.store)
    store = Store(config.store)
    chosen = choose_base(config.base, store, trusted_keys(config))
    base = load_base(chosen, device=placement.device, dtype=placement.dtype)
    return asyncio.run(_serve(config, base, placement, store))


async def _serve(config: ServeConfig, base: Base, placement: Placement, store: Store) -> int:
    app = App(config, base, placement, store)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(log_unawaited)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, app.stop)
    return await app.run()


def _check_store(store: str) -> None:
    """An empty store may fill up later; a folder that is not there is most likely a slip of the keyboard."""
    if "://" not in store and not Path(store).expanduser().is_dir():
        raise InvalidInput(f"--store {store}: there is no such folder", field="store")
