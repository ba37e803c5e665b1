"""lorb_client.load.cli: the command lorb-load against a real server."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from lorb.errors import InvalidInput, Unauthenticated, UnknownDomain
from lorb_client.load.cli import main
from support.servers.rescoring_server import ScriptedService, serving
from support.signals import default_sigint_handler

QUICK = ["--rate", "200", "--duration-seconds", "0.1", "--warm-up-seconds", "0", "--deadline-seconds", "60"]
LINE = '{"id": "u1", "hyps": [{"text": "a c", "score": -1.0}, {"text": "a b", "score": -2.0}]}\n'


@pytest.fixture
def small_file(tmp_path):
    """A file of one list."""
    path = tmp_path / "in.jsonl"
    path.write_text(LINE)
    return path


def error_line(capsys):
    """Returns the one line on standard error."""
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("lorb-load: ")
    return line.removeprefix("lorb-load: ")


def test_a_load_prints_its_table_and_writes_its_files(target, test_file, tmp_path, capsys):
    """The table, the JSON file and the histogram hold the counts, and nothing is printed to standard error."""
    out, hgrm = tmp_path / "load.json", tmp_path / "load.hgrm"
    arguments = [*QUICK, "--arrivals", "constant", "--json", str(out), "--hgrm", str(hgrm)]
    assert main([str(test_file), "--target", target, *arguments]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    lines = [" ".join(line.split()) for line in captured.out.splitlines()]
    assert "measured 0.1 s, 20 calls due" in lines
    assert "rescored 20 100.00 %" in lines
    found = json.loads(out.read_text())
    assert (found["num_due"], found["endings"]) == (20, {"rescored": 20})
    assert (found["load"]["rate"], found["load"]["arrivals"], found["load"]["seed"]) == ("200", "constant", 0)
    assert "TotalCount     =       20.000" in hgrm.read_text()


def test_server_is_an_alias_of_target(target, small_file, tmp_path):
    """The older flag --server works, and the JSON file names the server under "server" with either flag."""
    out = tmp_path / "load.json"
    for flag in ("--server", "--target"):
        assert main([str(small_file), flag, target, *QUICK, "--json", str(out)]) == 0
        assert json.loads(out.read_text())["load"]["server"] == target


def test_steps_and_domains_reach_the_server(target, service, small_file, capsys):
    """Steps, domains, fallback policy and truncated lists are in the requests."""
    arguments = "--rate 100:0.1,300:0.1 --warm-up-seconds 0 --arrivals constant --domains a=1,b=1 --hypotheses 1"
    command = [str(small_file), "--target", target, *arguments.split(), "--fallback-policy", "fail"]
    assert main([*command, "--deadline-seconds", "60"]) == 0
    assert "40 calls due" in capsys.readouterr().out
    requests = [request for method, request, *_ in service.calls if method == "Rescore"][2:]
    assert len(requests) == 40
    assert {request.domain for request in requests} == {"a", "b"}
    assert {(len(request.hypotheses), request.fallback_policy) for request in requests} == {(1, 2)}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--rate", "x"], "--rate 'x' is neither a number nor steps"),
        (["--rate", "0"], "the rate is 0"),
        (["--rate", "nan"], "the rate is nan"),
        (["--rate", "1e12"], "too many"),
        (["--rate", "5:1"], "leave --duration-seconds out"),
        (["--duration-seconds", "-1"], "the duration in seconds is -1"),
        (["--warm-up-seconds", "-1"], "the warm-up is -1"),
        (["--deadline-seconds", "0"], "timeout_seconds is 0"),
        (["--domains", "a=x"], "has the share 'x'"),
        (["--domains", "../x"], "is not a name"),
        (["--target", "localhost"], "names no port"),
        (["--token-file", "/none"], "the token file /none: No such file"),
        (["--json", "/none/x.json"], "/none/x.json: cannot be written"),
        (["--hgrm", "/none/x.hgrm"], "/none/x.hgrm: cannot be written"),
    ],
)
def test_a_wrong_argument_is_one_line_and_status_2(target, service, small_file, capsys, flags, words):
    """A wrong argument ends with one line and status 2 before any call."""
    assert main([str(small_file), "--target", target, *QUICK, *flags]) == 2
    assert words in error_line(capsys)
    assert service.calls == []


def test_a_wrong_file_is_one_line_and_status_2(target, service, tmp_path, capsys):
    """A wrong file ends with one line that names its line, and status 2, before any call."""
    path = tmp_path / "in.jsonl"
    path.write_text(LINE + "{")
    assert main([str(path), "--target", target, *QUICK]) == 2
    assert error_line(capsys).startswith(f"{path}:2: not JSON")
    assert service.calls == []


@pytest.mark.parametrize("flags", [["--connections", "0"], ["--in-flight-limit", "x"], ["--arrivals", "bursty"]])
def test_argparse_refuses_with_status_2_as_well(target, small_file, capsys, flags):
    """Values that argparse refuses end with status 2 and name the flag."""
    with pytest.raises(SystemExit) as caught:
        main([str(small_file), "--target", target, *QUICK, *flags])
    assert caught.value.code == 2
    assert flags[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    "error", [UnknownDomain("no domain 'x'"), Unauthenticated("no token"), InvalidInput("no domain named")]
)
def test_errors_that_the_caller_can_correct_have_status_2(target, service, small_file, capsys, error):
    """Errors of the server that the caller can correct end with the server's message and status 2."""

    def answer(nbest, options):
        raise error

    service.answer = answer
    assert main([str(small_file), "--target", target, *QUICK]) == 2
    assert error_line(capsys) == error.message


def test_no_server_is_one_line_and_status_1(small_file, capsys):
    """A server that cannot be reached ends with one line and status 1."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    assert main([str(small_file), "--target", address, *QUICK]) == 1
    assert error_line(capsys).startswith(f"no server answers at {address}: ")


@pytest.mark.parametrize("num_processes", ["1", "2"])
def test_ctrl_c_prints_the_figures_so_far(small_file, num_processes):
    """After Ctrl-C the figures so far are printed, and the status is 130."""
    service = ScriptedService()
    enough = 20
    with serving(service) as address:
        command = [sys.executable, "-m", "lorb_client.load.cli", str(small_file), "--target", address]
        options = [
            "--rate",
            "100",
            "--duration-seconds",
            "3600",
            "--warm-up-seconds",
            "0",
            "--processes",
            num_processes,
        ]
        with (
            default_sigint_handler(),
            subprocess.Popen(  # noqa: S603 - our own command
                [*command, *options],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ) as process,
        ):
            service.wait_for_calls(enough)
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (130, "")
    assert "Interrupted: the figures cover the time before the interruption." in stdout
    assert "rescored" in stdout


def test_without_its_extra_the_command_says_what_to_install():
    """Without the `load` extra the command names the extra to install."""
    script = "import sys; sys.modules['hdrh'] = None; from lorb_client.load.cli import main"
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "lorb-load: hdrh is not installed: pip install 'lorb[load]'\n"
