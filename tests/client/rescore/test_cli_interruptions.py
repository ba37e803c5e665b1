"""lorb_client.rescore.cli: timeouts, lost and restarting servers, signals, full disks."""

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lorb.errors import DeadlineExceeded, Overloaded, Unavailable
from lorb_client.rescore.cli import main
from support.servers.rescoring_server import ScriptedService, serving
from support.signals import default_sigint_handler


def test_a_call_that_takes_too_long_says_what_to_change(target, service, small_file, failing):
    """A timeout ends with status 1 and names the flag to raise."""
    service.failures = [DeadlineExceeded("no time")]
    status, message = failing(small_file, "--target", target)
    assert status == 1
    assert "raise --timeout-seconds" in message


def test_a_lost_server_is_not_reported_as_a_timeout(small_file, failing):
    """A server killed during a call is reported as unreachable, and not as a timeout."""
    script = Path(__file__).parents[2] / "support/servers/holding_server.py"
    with (
        subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as server,  # noqa: S603
        ThreadPoolExecutor(1) as killer,
    ):
        address = server.stdout.readline().strip()

        def kill():
            for _ in ("GetServerInfo", "BatchRescore"):
                server.stdout.readline()
            server.kill()

        killer.submit(kill)
        status, message = failing(small_file, "--target", address, "--timeout-seconds", "3")
    assert status == 1
    assert message.startswith(f"no server answers at {address}: ")


def test_no_server_is_one_line_and_status_1(small_file, failing):
    """A server that cannot be reached ends with one line and status 1."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    status, message = failing(small_file, "--target", address)
    assert status == 1
    assert message.startswith(f"no server answers at {address}: ")


def test_a_server_that_restarts_is_waited_for(target, service, small_file, capsys):
    """A call that fails with UNAVAILABLE is retried."""
    service.failures = [Unavailable("draining"), Unavailable("draining")]
    assert main([str(small_file), "--target", target]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("WER ")


def test_a_server_that_limits_its_callers_is_waited_for(target, service, small_file, capsys):
    """A call that fails with RESOURCE_EXHAUSTED is retried."""
    service.failures = [Overloaded("send fewer")]
    assert main([str(small_file), "--target", target]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("WER ")
    assert service.methods() == ["GetServerInfo", "BatchRescore", "BatchRescore"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing_behind(test_file, tmp_path, number):
    """After SIGINT or SIGTERM the old output file is unchanged, no other file is left, and the status is 130."""
    service = ScriptedService()
    service.release.clear()
    out = tmp_path / "out.jsonl"
    out.write_text("old")
    with (
        serving(service) as address,
        default_sigint_handler(),
        command(test_file, "--target", address, "-o", out, stdout=subprocess.PIPE) as process,
    ):
        assert service.arrived.wait(60)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, b"")
    assert stderr == b"lorb-rescore: interrupted, nothing written\n"
    assert (os.listdir(tmp_path), out.read_text()) == (["out.jsonl"], "old")


def test_a_full_standard_output_is_one_line(target, small_file):
    """A full disk behind standard output ends with one line and status 1."""
    with (
        Path("/dev/full").open("wb") as full,
        command(small_file, "--target", target, "-o", "-", stdout=full) as process,
    ):
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert stderr == b"lorb-rescore: standard output cannot be written: No space left on device\n"


def test_a_closed_standard_output_is_silent(target, small_file):
    """A closed pipe, as with `| head`, ends with status 1 and no message."""
    reading, writing = os.pipe()
    os.close(reading)
    with command(small_file, "--target", target, "-o", "-", stdout=writing) as process:
        os.close(writing)
        _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (1, b"")


def command(*arguments, **settings):
    """Starts the command in its own process, with its standard error piped."""
    return subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "lorb_client.rescore.cli", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
        **settings,
    )
