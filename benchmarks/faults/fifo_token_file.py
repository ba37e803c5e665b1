"""A credential file of a running server becomes a named pipe without a writer, or its file system hangs.

    python benchmarks/faults/fifo_token_file.py
    python benchmarks/faults/fifo_token_file.py --commands FOLDER --release before

Calls, health checks and new connections must be answered with the previous tokens and certificate, the error must be
counted, and SIGTERM must end the process. The hanging file system is a FUSE folder whose process is stopped: it needs
root and Linux. Adds to benchmarks/results/faults_of_issues.jsonl.
"""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.request import urlopen

import grpc
from fault_figures import FaultFigure, parse_arguments, report_figures
from fuse_folder import fuse_folder
from grpc_health.v1 import health_pb2, health_pb2_grpc
from server_process import ServerProcess, server_process

from lorb_client import Client, Tls

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
from support.servers.certificates import Authority

CALLER = "good"
CALL_SECONDS = 5.0
GRACE_SECONDS = 5.0


def pipe_as_token_file(commands: Path, folder: Path) -> Iterator[FaultFigure]:
    """The figures of a server whose token file becomes a pipe."""
    tokens = folder / "tokens"
    tokens.write_text(f"kiosk:{CALLER}\n")
    yield from _token_file(commands, tokens, "a pipe as token file", lambda: replace_by_pipe(tokens))


def hung_token_file(commands: Path, folder: Path) -> Iterator[FaultFigure]:
    """The figures of a server whose token file lies in a file system that hangs."""
    (folder / "tokens").write_text(f"kiosk:{CALLER}\n")
    with tempfile.TemporaryDirectory() as mount_point, fuse_folder(folder, Path(mount_point)) as process:
        hang = partial(process.send_signal, signal.SIGSTOP)
        yield from _token_file(commands, Path(mount_point) / "tokens", "a hung token file", hang)


def _token_file(commands: Path, tokens: Path, fault: str, inject: Callable[[], object]) -> Iterator[FaultFigure]:
    with server_process(commands, "--token-file", tokens, "--grace-seconds", GRACE_SECONDS) as server:
        inject()
        time.sleep(1.5)  # the file is checked once a second
        with Client(server.target, token=CALLER, timeout_seconds=CALL_SECONDS) as client:
            yield _answered(f"{fault}: first call", client.server_info)
            yield _answered(f"{fault}: second call", client.server_info)
        with grpc.insecure_channel(server.target) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            request = health_pb2.HealthCheckRequest()
            yield _answered(f"{fault}: health", lambda: check(request, timeout=CALL_SECONDS))
        yield _counted(f"{fault}: metric", server)
        seconds = server.stopped_after_seconds(30.0)
        measured = "alive 30 s after SIGTERM" if seconds is None else f"process gone {seconds:.1f} s after SIGTERM"
        is_right = seconds is not None and seconds <= GRACE_SECONDS
        yield FaultFigure(f"{fault}: SIGTERM", measured, seconds, is_right)


def pipe_as_certificate(commands: Path, folder: Path) -> Iterator[FaultFigure]:
    """The figures of a server whose certificate becomes a pipe."""
    authority = Authority(folder, "ca")
    certificate, key = authority.issue("server")
    with server_process(commands, "--tls-certificate", certificate, "--tls-key", key) as server:
        replace_by_pipe(certificate)
        with Client(server.target, tls=Tls(authority.path), timeout_seconds=CALL_SECONDS) as client:
            yield _answered("a pipe as certificate: new connection", client.server_info)
        yield _counted("a pipe as certificate: metric", server)


def replace_by_pipe(path: Path) -> None:
    """Puts a named pipe without a writer in the place of a file, at once."""
    pipe = path.with_name("pipe")
    os.mkfifo(pipe)
    os.replace(pipe, path)


def _answered(fault: str, call) -> FaultFigure:
    began = time.monotonic()
    try:
        call()
    except Exception as error:
        return FaultFigure(fault, f"not answered: {type(error).__name__}", None, False)
    seconds = time.monotonic() - began
    return FaultFigure(fault, f"answered in {seconds:.2f} s", seconds, True)


def _counted(fault: str, server: ServerProcess) -> FaultFigure:
    try:
        with urlopen(f"http://127.0.0.1:{server.ports['metrics_port']}/metrics", timeout=CALL_SECONDS) as answer:
            page = answer.read().decode()
    except OSError:
        return FaultFigure(fault, "the metrics page is not answered", None, False)
    is_counted = any(line.startswith("lorb_credential_errors_total{") for line in page.splitlines())
    return FaultFigure(fault, "the error is counted" if is_counted else "no metric counts the error", None, is_counted)


if __name__ == "__main__":
    arguments = parse_arguments(__doc__)
    figures = []
    for measure in (pipe_as_token_file, hung_token_file, pipe_as_certificate):
        with tempfile.TemporaryDirectory() as folder:
            figures += measure(arguments.commands, Path(folder))
    sys.exit(report_figures(arguments.release, figures))
