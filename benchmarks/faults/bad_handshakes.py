"""500 failed TLS handshakes at a server whose log nobody reads; calls must go on, and SIGTERM must end the server.

    python benchmarks/faults/bad_handshakes.py
    python benchmarks/faults/bad_handshakes.py --commands FOLDER --release before

stderr is a pipe that nobody reads, which holds 64 KiB. gRPC writes about 205 bytes for each failed handshake unless
GRPC_VERBOSITY is NONE. Repeats with two front processes. Adds to benchmarks/results/faults_of_issues.jsonl.
"""

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from fault_figures import FaultFigure, parse_arguments, report_figures
from server_process import ServerProcess, server_process, stalled_pipe

NUM_HANDSHAKES = 500
NUM_CALLS = 3
CALL_SECONDS = 5.0
STOP_SECONDS = 20.0


def bad_handshakes(commands: Path, num_fronts: int) -> Iterator[FaultFigure]:
    """The figures of a server with `num_fronts` front processes."""
    name = f"bad TLS handshakes, stalled log, {num_fronts} front processes"
    with tempfile.TemporaryDirectory() as folder, stalled_pipe() as stderr:
        certificate, key = Path(folder) / "server.crt", Path(folder) / "server.key"
        _make_certificate(certificate, key)
        flags = ("--tls-certificate", certificate, "--tls-key", key, "--front-processes", num_fronts)
        with server_process(commands, *flags, stderr=stderr) as server:
            _send_bad_handshakes(server.ports["port"])
            answered = sum(_is_healthy(commands, server, certificate) for _ in range(NUM_CALLS))
            yield FaultFigure(
                f"{name}: health", f"{answered} of {NUM_CALLS} checks answered in 5 s", None, answered == NUM_CALLS
            )
            seconds = server.stopped_after_seconds(STOP_SECONDS)
            measured = "process alive 20 s after SIGTERM" if seconds is None else f"process gone {seconds:.1f} s after"
            yield FaultFigure(f"{name}: SIGTERM", measured, seconds, seconds is not None)


def _send_bad_handshakes(port: int) -> None:
    """Opens connections that speak no TLS, and waits for the end of each."""
    for _ in range(NUM_HANDSHAKES):
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=0.1) as connection:
                connection.sendall(b"no TLS at all\r\n\r\n")
                connection.recv(100)
        except OSError:  # a frozen server accepts or answers no connection
            continue
    time.sleep(1.0)


def _is_healthy(commands: Path, server: ServerProcess, certificate: Path) -> bool:
    command = [commands / "lorb-health", "--target", server.target, "--tls-ca", certificate]
    try:
        return subprocess.run(command, capture_output=True, timeout=CALL_SECONDS).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _make_certificate(certificate: Path, key: Path) -> None:
    subprocess.run(
        ["openssl", "req",  # noqa: S607 - wherever openssl is
         "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-out", certificate, "-keyout", key],
        check=True, capture_output=True,
    )  # fmt: skip


if __name__ == "__main__":
    arguments = parse_arguments(__doc__)
    figures = [figure for fronts in (0, 2) for figure in bad_handshakes(arguments.commands, fronts)]
    sys.exit(report_figures(arguments.release, figures))
