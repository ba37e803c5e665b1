"""The store of a running server hangs: a FUSE folder that takes requests and answers none, and a stopped S3 server.

    python benchmarks/faults/hung_store.py
    python benchmarks/faults/hung_store.py --commands FOLDER --release before

Calls must be answered as before, the error must be counted, an operator's request must end, and SIGTERM must end the
process. A server that is started while its store hangs must end with an error. FUSE needs root and Linux. Adds to
benchmarks/results/faults_of_issues.jsonl.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import grpc
import s3fs
from fault_figures import FaultFigure, parse_arguments, report_figures
from fuse_folder import fuse_folder
from server_process import STORE, ServerProcess, server_process

from lorb import Hypothesis, NBest, RescoreOptions
from lorb.v1 import admin_pb2, admin_pb2_grpc
from lorb_client import Client
from serving_process import free_port

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
from support.servers.s3_server import ENVIRONMENT

STORE_TIMEOUT_SECONDS = 2
ANSWER_SECONDS = 10.0
STOP_SECONDS = 20.0
START_SECONDS = 40.0
LIST = NBest((Hypothesis("the cat sat", -1.0), Hypothesis("the cat sad", -2.0)))


@dataclass(frozen=True, slots=True)
class HangingStore:
    """A store that a process serves.

    Attributes:
        url: the store.
        process: the process.
        hang: the signal that makes it hang.
        end: the signal that ends all its requests.
    """

    url: str
    process: "subprocess.Popen[bytes]"
    hang: signal.Signals
    end: signal.Signals


@contextmanager
def fuse_store() -> Iterator[HangingStore]:
    """The sample store as a FUSE folder."""
    with tempfile.TemporaryDirectory() as mount_point, fuse_folder(STORE, Path(mount_point)) as process:
        yield HangingStore(mount_point, process, signal.SIGUSR1, signal.SIGKILL)


@contextmanager
def s3_store() -> Iterator[HangingStore]:
    """The sample store in a bucket of moto's server."""
    port = free_port()
    command = [Path(sys.executable).parent / "moto_server", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.environ.update(ENVIRONMENT, AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}")
    try:
        wait_for(lambda: urlopen(f"http://127.0.0.1:{port}", timeout=1).status == 200, 30.0)
        files = s3fs.S3FileSystem(skip_instance_cache=True)
        files.mkdir("store")
        files.put(f"{STORE}/", "store/", recursive=True)
        yield HangingStore("s3://store", process, signal.SIGSTOP, signal.SIGCONT)
    finally:
        process.kill()
        process.wait()


def hung_store(commands: Path, name: str, store: HangingStore, *flags: object) -> Iterator[FaultFigure]:
    """The figures of a server whose store hangs while it serves."""
    with server_process(commands, "--store", store.url, *_timeout_flags(commands), *flags) as server:
        store.process.send_signal(store.hang)
        counted = wait_for(lambda: errors_counted(server) > 0, ANSWER_SECONDS)
        yield _figure(f"{name}: error counted", "counted", counted, ANSWER_SECONDS)
        is_rescored = _is_rescored(server)
        yield FaultFigure(f"{name}: calls", "rescored" if is_rescored else "not rescored", None, is_rescored)
        ended = wait_for(lambda: _admin_request_ends(server), ANSWER_SECONDS)
        yield _figure(f"{name}: admin request", "ended with an error", ended, ANSWER_SECONDS)
        stopped = server.stopped_after_seconds(STOP_SECONDS)
        yield _figure(f"{name}: SIGTERM", "process gone", stopped, STOP_SECONDS)
        store.process.send_signal(store.end)  # Linux ends no process that waits for a read which FUSE has accepted


def hung_at_start(commands: Path, name: str, store: HangingStore) -> Iterator[FaultFigure]:
    """The figure of a server that is started while its store hangs."""
    store.process.send_signal(store.hang)
    command = [str(commands / "lorb-serve"), "--store", store.url, "--port", "0", "--no-admin", "--metrics-port", "0"]
    command += [str(flag) for flag in _timeout_flags(commands)]
    began = time.monotonic()
    child = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        _, errors = child.communicate(timeout=START_SECONDS)
        status = child.returncode
        print("   ", errors.decode(errors="replace").splitlines()[-1][:200])
    except subprocess.TimeoutExpired:
        status = None
    finally:
        store.process.send_signal(store.end)
        child.kill()
        child.wait()
    seconds = time.monotonic() - began if status is not None else None
    figure = _figure(f"{name}: start", f"ended with status {status}", seconds, START_SECONDS)
    yield FaultFigure(figure.fault, figure.measured, figure.seconds, status == 2)


def has_flag(commands: Path, flag: str) -> bool:
    """Whether this release's lorb-serve has a flag."""
    usage = subprocess.run([commands / "lorb-serve", "--help"], capture_output=True, text=True, check=True).stdout
    return flag in usage


def _timeout_flags(commands: Path) -> tuple[object, ...]:
    flag = "--store-timeout-seconds"
    return (flag, STORE_TIMEOUT_SECONDS) if has_flag(commands, flag) else ()


def errors_counted(server: ServerProcess) -> float:
    """How many failed readings of the store the server has counted."""
    with urlopen(f"http://127.0.0.1:{server.ports['metrics_port']}/metrics", timeout=5) as response:
        lines = response.read().decode().splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith("lorb_registry_errors_total"))


def _is_rescored(server: ServerProcess) -> bool:
    with Client(server.target) as client:
        return client.rescore(LIST, RescoreOptions(domain="librispeech")).outcome.value == "rescored"


def _admin_request_ends(server: ServerProcess) -> bool:
    with grpc.insecure_channel(f"127.0.0.1:{server.ports['admin_port']}") as channel:
        stub = admin_pb2_grpc.AdapterAdminServiceStub(channel)
        try:
            stub.GetAdapter(admin_pb2.GetAdapterRequest(domain="librispeech"), timeout=ANSWER_SECONDS)
        except grpc.RpcError as error:
            return error.code() is grpc.StatusCode.UNAVAILABLE
    return True


def wait_for(condition: Callable[[], bool], timeout_seconds: float) -> float | None:
    """Seconds until the condition holds; None if it does not hold in time."""
    began = time.monotonic()
    while time.monotonic() < began + timeout_seconds:
        try:
            if condition():
                return time.monotonic() - began
        except OSError:
            pass
        time.sleep(0.05)
    return None


def _figure(fault: str, event: str, seconds: float | None, limit_seconds: float) -> FaultFigure:
    measured = f"not within {limit_seconds:.0f} s" if seconds is None else f"{event} after {seconds:.1f} s"
    return FaultFigure(fault, measured, seconds, seconds is not None)


def main() -> int:
    """Runs both kinds of store. Returns the exit status."""
    arguments = parse_arguments(__doc__)
    figures: list[FaultFigure] = []
    for name, opened in (("hung FUSE store", fuse_store), ("hung S3 store", s3_store)):
        for fault in (hung_store, hung_at_start):
            with opened() as store:
                figures += fault(arguments.commands, name, store)
    with fuse_store() as store:
        figures += hung_store(arguments.commands, "hung FUSE store, 2 fronts", store, "--front-processes", 2)
    return report_figures(arguments.release, figures)


if __name__ == "__main__":
    sys.exit(main())
