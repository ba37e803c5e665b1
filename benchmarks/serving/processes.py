"""Starts and stops the processes of a run: offline systems and servers. Only one works at a time."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from calls import Caller, GrpcCaller, HttpCaller
from workload import TaggedList

HERE = Path(__file__).resolve().parent
START_SECONDS = 300.0
STOP_SECONDS = 30.0
LORB_SERVE = Path(sys.executable).parent / "lorb-serve"
# No score cache, because lists repeat; a long queue, so that 32 callers are not refused.
MEASURING_FLAGS = ("--score-cache-bytes", 0, "--max-queue-seconds", 1000)
_used_ports: set[int] = set()
# The floor's products in bfloat16 have more shapes than oneDNN caches by default; the engine's have fewer.
_FLOOR_ENVIRONMENT = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "65536"}
_ENVIRONMENT = {"OMP_NUM_THREADS": "2", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}


class _Process:
    """A child process whose errors go to a file."""

    def __init__(self, command: Sequence[object], environment: dict[str, str], **pipes: Any) -> None:
        self.name = Path(str(command[1] if command[0] == sys.executable else command[0])).stem
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop()
        self.child = subprocess.Popen(
            [str(part) for part in command],
            env=os.environ | _ENVIRONMENT | environment,
            stderr=self._errors,
            start_new_session=True,  # mosec has children: the whole group is ended
            **pipes,
        )

    def failure(self) -> str:
        """The last lines of its errors."""
        self._errors.seek(0)
        last = self._errors.read().decode(errors="replace").splitlines()[-15:]
        return "\n".join([f"{self.name} ended with status {self.child.poll()}:", *last])

    def stop(self) -> None:
        """Ends the process and its children."""
        if self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGTERM)
        try:
            self.child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()
        self._errors.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class OfflineProcess(_Process):
    """The process of offline.py; it waits for orders on its stdin."""

    def __init__(self, model: str, dtype: str) -> None:
        command = (sys.executable, HERE / "offline.py", "--model", model, "--dtype", dtype)
        super().__init__(command, _FLOOR_ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> "OfflineProcess":
        return self

    def ask(self, **order: object) -> dict[str, Any]:
        """Sends an order and returns the answer. Raises RuntimeError with the last errors if the process has ended."""
        pipe_in, pipe_out = self.child.stdin, self.child.stdout
        assert pipe_in is not None
        assert pipe_out is not None
        pipe_in.write(json.dumps(order).encode() + b"\n")
        pipe_in.flush()
        line = pipe_out.readline()
        if not line:
            self.child.wait(STOP_SECONDS)
            raise RuntimeError(self.failure())
        answer: dict[str, Any] = json.loads(line)
        return answer


class ServerProcess(_Process):
    """A running server under test."""

    def __init__(
        self,
        command: Sequence[object],
        environment: dict[str, str],
        port: int,
        make_caller: Callable[[int, Sequence[TaggedList]], Caller],
    ) -> None:
        super().__init__(command, environment, stdout=subprocess.DEVNULL)
        self._port = port
        self._make_caller = make_caller
        try:
            self._wait()
        except BaseException:  # on signals too
            self.stop()
            raise

    def __enter__(self) -> "ServerProcess":
        return self

    def caller(self, lists: Sequence[TaggedList]) -> Caller:
        """A caller with these lists. Create it in the event loop."""
        return self._make_caller(self._port, lists)

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._listens():
            if self.child.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(self.failure())
            time.sleep(0.2)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0


def lorb_server(base: Path, store: Path, dtype: str) -> ServerProcess:
    """Starts lorb-serve with default settings and MEASURING_FLAGS."""
    port = free_port()
    command = (
        LORB_SERVE, "--base", base, "--store", store, "--device", "cpu", "--dtype", dtype, "--port", port,
        "--metrics-port", 0, "--no-admin", "--drain-seconds", 0, "--log-level", "warning", *MEASURING_FLAGS,
    )  # fmt: skip
    return ServerProcess(command, {}, port, GrpcCaller)


def plain_server(model: str, dtype: str) -> ServerProcess:
    """Starts the server of plain_grpc.py."""
    port = free_port()
    command = (sys.executable, HERE / "plain_grpc.py", "--model", model, "--dtype", dtype, "--port", port)
    return ServerProcess(command, {}, port, GrpcCaller)


def mosec_server(model: str, dtype: str, batch_lists: int) -> ServerProcess:
    """Starts the server of mosec_server.py."""
    port = free_port()
    command = (
        sys.executable, HERE / "mosec_server.py", "--address", "127.0.0.1", "--port", port,
        "--timeout", 300_000,  # ms; the default of 3 s would refuse calls under load
    )  # fmt: skip
    environment = {
        "BENCHMARK_MODEL": model, "BENCHMARK_DTYPE": dtype, "BENCHMARK_BATCH_LISTS": str(batch_lists),
    }  # fmt: skip
    return ServerProcess(command, environment, port, HttpCaller)


def free_port() -> int:
    """A free port below the kernel's ephemeral ports."""
    for port in range(20_000 + os.getpid() % 10_000, 32_000):
        with socket.socket() as probe:
            if port not in _used_ports and probe.connect_ex(("127.0.0.1", port)) != 0:
                _used_ports.add(port)
                return port
    raise RuntimeError("no port is free")
