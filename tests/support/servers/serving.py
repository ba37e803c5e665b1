"""Runs a real server on free ports, in this process or as a process, with helpers that the server tests share."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import grpc
import torch

from lorb.nbest import Hypothesis, NBest
from lorb.v1 import admin_pb2_grpc, rescoring_pb2_grpc
from lorb.v1 import rescoring_pb2 as pb
from lorb_adapters.base.loader import load_base
from lorb_adapters.store.store import Store
from lorb_server.adapter import AdapterHandle
from lorb_server.app import App, Ports
from lorb_server.config import ServeConfig
from lorb_server.engine.device import choose_placement
from lorb_server.parts import ServerParts
from lorb_server.registry.registry import Registry
from lorb_server.setting import flag

WAIT_SECONDS = 120.0  # the timeout of every wait in a test, long enough for a busy machine; no test measures it


def scored_list(*transcripts: str, id: str = "u") -> NBest:  # noqa: A002
    """An N-best list with decreasing first-pass scores."""
    return NBest(tuple(Hypothesis(text, -float(i)) for i, text in enumerate(transcripts)), id=id)


def free_port() -> int:
    """A free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def selected(registry: Registry, domain: str, routing_key: str = "caller") -> AdapterHandle:
    """The adapter that a loaded domain routes to. Fails if the route has to wait."""
    routing = registry.route(domain, routing_key)
    try:
        routing.send(None)
    except StopIteration as done:
        adapter: AdapterHandle = done.value.adapter
        return adapter
    finally:
        routing.close()
    raise AssertionError(f"{domain} is not loaded")


class SimulatedClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time in seconds."""
        return self.now


class RunningServer:
    """A server on an event loop in its own thread, with gRPC stubs to call it."""

    def __init__(self, config: ServeConfig) -> None:
        self.config = config
        self.app: App
        self.ports: Ports
        self.exit_status: int | None = None
        self._error: BaseException | None = None
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._thread = threading.Thread(target=self._run, name="server under test")
        self._channels: list[grpc.Channel] = []

    def start(self) -> None:
        """Returns when the server serves; raises the error that kept it from starting."""
        self._thread.start()
        assert self._ready.wait(WAIT_SECONDS)
        if self._error is not None:
            self._thread.join()
            raise self._error
        target = f"127.0.0.1:{self.ports.port}"
        self.channel = self._open(target)
        self.stub = rescoring_pb2_grpc.RescoringServiceStub(self.channel)
        if self.ports.admin_port is not None:
            self.admin_channel = self._open(f"127.0.0.1:{self.ports.admin_port}")
            self.admin = admin_pb2_grpc.AdapterAdminServiceStub(self.admin_channel)

    @property
    def target(self) -> str:
        """The server's address, "host:port"."""
        return f"127.0.0.1:{self.ports.port}"

    def rescore(self, *transcripts: str, **fields: Any) -> pb.RescoreResponse:
        """Rescores a list with decreasing first-pass scores."""
        hypotheses = [pb.Hypothesis(transcript=t, first_pass_score=-float(i)) for i, t in enumerate(transcripts)]
        timeout = fields.pop("timeout", WAIT_SECONDS)
        metadata = fields.pop("metadata", ())
        request = pb.RescoreRequest(hypotheses=hypotheses, **{"domain": "voice", **fields})
        return self.stub.Rescore(request, timeout=timeout, metadata=metadata)

    def do(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Runs a coroutine on the server's event loop and returns its result."""
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(WAIT_SECONDS)

    def sample(self, name: str, **labels: str) -> float:
        """A metric's current value; 0 if it has no series yet."""
        return self.app.metrics.registry.get_sample_value(name, labels) or 0.0

    def stop(self) -> int:
        """Stops the server and returns its exit status."""
        for channel in self._channels:
            channel.close()
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self.app.stop)
        return self.join()

    def join(self) -> int:
        """Waits until the server has ended and returns its exit status."""
        self._thread.join(WAIT_SECONDS)
        assert not self._thread.is_alive()
        assert self.exit_status is not None
        return self.exit_status

    def _open(self, target: str) -> grpc.Channel:
        channel = grpc.insecure_channel(
            target,
            options=[("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)],
        )
        self._channels.append(channel)
        return channel

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            placement = choose_placement(self.config)
            dtype = placement.dtype if placement.device == "cuda" else torch.float32
            base = load_base(self.config.base, device=placement.device, dtype=dtype)
            parts = ServerParts.of(self.config, base, placement, Store(self.config.store))
            self.app = App(self.config, parts)
            self.ports = await self.app.start()
        except BaseException as error:
            self._error = error
            return
        finally:
            self._ready.set()
        self.exit_status = await self.app.wait()


@contextmanager
def running_server(base_folder: Path, store_folder: Path, **settings: Any) -> Iterator[RunningServer]:
    """A server of `store_folder`, stopped afterwards. It polls the store every 20 ms."""
    defaults = {
        "base": str(base_folder),
        "store": str(store_folder),
        "device": "cpu",
        "workers": 2,
        "threads_per_worker": 1,
        "port": 0,
        "admin_port": 0,
        "metrics_port": 0,
        "drain_seconds": 0.0,
        "poll_seconds": 0.02,
        "default_deadline_seconds": WAIT_SECONDS,
    }
    server = RunningServer(ServeConfig(**{**defaults, **settings}))
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def lorb_serve(
    base_folder: Path,
    store_folder: Path | str,
    folder: Path,
    *,
    stderr: int | IO[bytes] = subprocess.DEVNULL,
    environment: Mapping[str, str] | None = None,
    **settings: Any,
) -> Iterator[tuple["subprocess.Popen[bytes]", dict[str, int]]]:
    """A lorb-serve process that serves, and its ports by name; killed at the end. Its ready file is in `folder`."""
    ready_file = folder / "ready.json"
    defaults = {"port": 0, "admin_port": 0, "metrics_port": 0, "device": "cpu", "drain_seconds": 0}
    settings = defaults | {"base": base_folder, "store": store_folder, "ready_file": ready_file} | settings
    command = [sys.executable, "-m", "lorb_server.cli", *(f"{flag(name)}={value}" for name, value in settings.items())]
    inherited = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
    variables = inherited | {"OMP_NUM_THREADS": "1"} | dict(environment or {})
    process = subprocess.Popen(command, stderr=stderr, env=variables)  # noqa: S603 - our own server
    try:
        limit = time.monotonic() + WAIT_SECONDS
        while not ready_file.exists():
            assert process.poll() is None
            assert time.monotonic() < limit
            time.sleep(0.02)
        yield process, json.loads(ready_file.read_text())
    finally:
        process.kill()
        process.wait()
