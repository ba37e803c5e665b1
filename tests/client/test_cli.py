"""lorb_client.cli: the command as a person uses it, against a real server."""

import gzip
import json
import os
import pty
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from lorb.errors import (
    DeadlineExceeded,
    InvalidInput,
    Overloaded,
    Unauthenticated,
    Unavailable,
    UnknownDomain,
)
from lorb.formats import read_nbest_lists
from lorb.nbest import NBest
from lorb.ranked import (
    FallbackPolicy,
    FallbackReason,
    Outcome,
    Ranked,
    RankedHypothesis,
    RescoreOptions,
    Selection,
)
from lorb.wire import options_from_request
from lorb_client.cli import main
from rescoring_server import ADAPTER, INFO, ScriptedService, serving, turned_round

LINES = [
    '{"id": "u1", "ref": "a b", "hyps": [{"text": "a c", "score": -1.0}, {"text": "a b", "score": -2.0}]}',
    '{"id": "u2", "context": "hm?", "hyps": [{"text": "x", "score": -1.0, "words": 1}], "speaker": "s"}',
]


@pytest.fixture
def small_file(tmp_path):
    """Two lists, one of them with a reference."""
    path = tmp_path / "in.jsonl"
    path.write_text("\n".join(LINES) + "\n")
    return path


@pytest.fixture
def failing(capsys):
    """Runs the command and returns its exit status and its one line of complaint."""

    def run(*arguments):
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("lorb-rescore: ")
        assert len(captured.err.splitlines()) == 1
        return status, captured.err.removeprefix("lorb-rescore: ").rstrip("\n")

    return run


def written(path):
    """The records of a file of JSON lines."""
    content = path.read_bytes()
    return [json.loads(line) for line in (gzip.decompress(content) if path.suffix == ".gz" else content).splitlines()]


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz"])
def test_a_file_of_lists_comes_back_ranked(target, test_file, sample_lists, tmp_path, capsys, name):
    """Every list once, in order, best first, each field kept, and the word error rates in the last line."""
    out = tmp_path / name
    assert main([str(test_file), "--target", target, "--domain", "librispeech", "-o", str(out)]) == 0
    read, rescored = written(test_file), written(out)
    assert [record["id"] for record in rescored] == [record["id"] for record in read]
    for before, after in zip(read, rescored, strict=True):
        kept = [{k: v for k, v in h.items() if k in ("text", "score")} for h in after["hyps"]]
        assert kept == before["hyps"][::-1]
        assert all("rescoring_score" in h and "combined_score" in h and "posterior" in h for h in after["hyps"])
        assert after["lorb"]["adapter"]["version"] == ADAPTER.version
        assert {k: v for k, v in after.items() if k not in ("hyps", "lorb")} == {
            k: v for k, v in before.items() if k != "hyps"
        }
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.splitlines()[-1].startswith("WER first-pass ")
    assert os.listdir(tmp_path) == [name]


def test_what_was_written_can_be_read_again(target, small_file, tmp_path):
    """The output is a native file, so it can be rescored once more."""
    out, again = tmp_path / "out.jsonl", tmp_path / "again.jsonl"
    assert main([str(small_file), "--target", target, "-o", str(out)]) == 0
    assert main([str(out), "--target", target, "-o", str(again)]) == 0
    assert written(again)[0]["hyps"][0] == written(out)[0]["hyps"][1] | {
        "rescoring_score": 0.5,
        "combined_score": 1.0,
        "posterior": 1.0,
    }
    assert [nbest.id for nbest in read_nbest_lists([again])] == ["u1", "u2"]


def test_the_table_is_right(target, small_file, capsys):
    """Two lists, one reference of two words, one error before and none after."""
    assert main([str(small_file), "--target", target]) == 0
    assert capsys.readouterr().out == (
        "lists               2   changed 1\n"
        "outcomes    rescored 2\n"
        "adapters    librispeech 1-0123456789ab 2\n"
        "references          1   words 2\n"
        "\n"
        "                WER %   errors\n"
        "first pass      50.00        1\n"
        "rescored         0.00        0\n"
        "oracle           0.00        0\n"
        "\n"
        "WER first-pass 50.00 rescored 0.00 oracle 0.00\n"
    )


def test_standard_output_takes_the_lists_and_standard_error_the_table(target, small_file, capfdbinary):
    """So that the lists can be piped."""
    assert main([str(small_file), "--target", target, "-o", "-"]) == 0
    out, err = capfdbinary.readouterr()
    assert [json.loads(line)["id"] for line in out.splitlines()] == ["u1", "u2"]
    assert err.splitlines()[-1] == b"WER first-pass 50.00 rescored 0.00 oracle 0.00"


def test_every_option_reaches_the_server(target, service, small_file, tmp_path):
    """Weight, selection, policy, top-n, domain, token and deadline are in the calls."""
    token = tmp_path / "token"
    token.write_text("abc\n")
    arguments = "--domain librispeech@canary --weight 0.5 --selection mbr --fail --top-n 1 --timeout-seconds 5"
    out = tmp_path / "out.jsonl"
    command = [
        str(small_file),
        "--target",
        target,
        "-o",
        str(out),
        "--token-file",
        str(token),
        *arguments.split(),
    ]
    assert main([*command, "--concurrency", "1", "--lists-per-call", "1"]) == 0
    batches = [call for call in service.calls if call[0] == "BatchRescore"]
    assert len(batches) == 2
    for _, request, seconds, metadata in batches:
        expected = RescoreOptions("librispeech@canary", 0.5, FallbackPolicy.FAIL, 1, Selection.MBR)
        assert [options_from_request(each) for each in request.requests] == [expected]
        assert 0 < seconds < 5.5
        assert metadata["authorization"] == "Bearer abc"
    assert [len(record["hyps"]) for record in written(out)] == [1, 1]


@pytest.mark.parametrize(("flags", "context"), [([], "hm?"), (["--no-context"], "")])
def test_context_is_sent_unless_told_otherwise(target, service, small_file, tmp_path, flags, context):
    """And stays in the output either way."""
    out = tmp_path / "out.jsonl"
    assert main([str(small_file), "--target", target, "-o", str(out), *flags]) == 0
    (_, request, _, _) = service.calls[-1]
    assert request.requests[1].context == context
    assert written(out)[1]["context"] == "hm?"


def test_the_servers_batch_limit_is_kept(target, service, test_file):
    """The server says how many lists a call may have; more would be refused."""
    assert main([str(test_file), "--target", target, "--lists-per-call", "1000"]) == 0
    sizes = {len(request.requests) for method, request, _, _ in service.calls if method == "BatchRescore"}
    assert max(sizes) == 5


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ({"max_hypotheses": 1}, "in.jsonl:1: hypotheses has 2 entries, this server takes 1"),
        ({"max_transcript_chars": 2}, "in.jsonl:1: hypotheses[0].transcript has 3 characters, this server takes 2"),
    ],
)
def test_a_list_beyond_the_servers_limits_is_found_before_the_first_call(
    target, service, small_file, failing, limit, words
):
    """Wherever in the files it stands: not after the hours that those before it take."""
    service.info = replace(INFO, **limit)
    status, message = failing(small_file, "--target", target)
    assert (status, service.methods()) == (2, ["GetServerInfo"])
    assert words in message


def test_limits_that_a_server_does_not_tell_are_not_checked(target, service, small_file):
    """0 is a field that it has not."""
    service.info = replace(INFO, max_hypotheses=0, max_transcript_chars=0, max_batch_lists=0)
    assert main([str(small_file), "--target", target]) == 0


def test_other_formats_are_read_too(target, tmp_path):
    """HyPoradise and mlm-scoring in, native out."""
    hyporadise, mlm, out = tmp_path / "h.json", tmp_path / "m.json", tmp_path / "out.jsonl"
    hyporadise.write_text('[{"id": "h1", "input": ["a", "b"], "output": "b", "am_score": [-1, -2]}]')
    mlm.write_text('{"m1": {"hyp_1": {"score": -1, "text": " a"}, "ref": "a"}}')
    assert main([str(hyporadise), str(mlm), "--target", target, "-o", str(out)]) == 0
    assert [(record["id"], record["ref"]) for record in written(out)] == [("h1", "b"), ("m1", "a")]


def test_a_tools_folder_is_read_with_its_flags_and_what_was_changed_is_said_once(target, tmp_path, capsys):
    """Kaldi's archives in, native out, references from a file of their own; the word errors go to standard output."""
    out, formats = tmp_path / "out.jsonl", Path(__file__).parents[1] / "data" / "formats"
    flags = ["--acoustic-scale", "0.1", "--reference-text", str(formats / "references" / "text")]
    assert main([str(formats / "kaldi"), "--target", target, "-o", str(out), *flags]) == 0
    assert [record["ref"] for record in written(out)] == [
        "what that little cabin",
        "exclaimed trot of course",
        "of course it ain't said missus bozzle",
    ]
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [
        "lorb-rescore: 1 files or folders read as kaldi",
        "lorb-rescore: 8 scores made of costs: -(0.1 * acoustic + graph)",
    ]
    assert captured.out.splitlines()[-1].startswith("WER first-pass ")


def test_a_missing_option_is_one_line(target, service, failing):
    """Before any call; the message names the flag."""
    status, message = failing(Path(__file__).parents[1] / "data" / "formats" / "kaldi", "--target", target)
    assert status == 2
    assert "give --acoustic-scale" in message
    assert service.calls == []


def broken_files():
    """Files that cannot be used: by name, their content and words of the complaint."""
    lines = [f'{{"id": "u{i}", "ref": "a", "hyps": [{{"text": "a"}}]}}' for i in range(10)]
    packed = gzip.compress("\n".join(lines).encode())
    broken = [*lines[:6], lines[6][:-9], *lines[7:]]
    return {
        "truncated.gz": (packed[:-10], "truncated"),
        "broken.jsonl": ("\n".join(broken).encode(), "broken.jsonl:7: not JSON"),
        "empty.jsonl": (b"", "empty.jsonl:1: the file is empty"),
        "twice.jsonl": ("\n".join([*lines, lines[2]]).encode(), "twice.jsonl:11: id 'u2' comes twice"),
        "rubbish.bin": (b"\x00\xff\xfe" * 100, "rubbish.bin:1: not UTF-8"),
        "scored.jsonl": (
            b'{"id": "u", "hyps": [{"text": "a", "score": 1}, {"text": "b"}]}',
            "scored.jsonl:1: ",
        ),
    }


@pytest.mark.parametrize("name", list(broken_files()))
def test_a_bad_file_is_one_line_with_its_place_and_status_2(target, service, tmp_path, failing, name):
    """Found before any call is made, and the output is not begun."""
    content, words = broken_files()[name]
    path = tmp_path / name
    path.write_bytes(content)
    status, message = failing(path, "--target", target, "-o", tmp_path / "out.jsonl")
    assert status == 2
    assert message.startswith(f"{path}:")
    assert words in message
    assert service.calls == []
    assert os.listdir(tmp_path) == [name]


def test_lists_without_references_need_a_place_to_go(target, service, tmp_path, failing):
    """Without -o the word errors are the result; where there can be none the command says so at once."""
    path = tmp_path / "in.jsonl"
    path.write_text(LINES[1])
    status, message = failing(path, "--target", target)
    assert status == 2
    assert message.startswith(f"{path}: the lists have no references")
    assert service.calls == []


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--domain", "../../etc"], "is not a name"),
        (["--weight", "-1"], "rescoring_weight is -1.0"),
        (["--weight", "nan"], "rescoring_weight is nan"),
        (["--top-n", "-1"], "top_n is -1"),
        (["--timeout-seconds", "0"], "timeout_seconds is 0"),
        (["--token-file", "/none"], "the token file /none: No such file"),
        (["-o", "/none/out.jsonl"], "/none/out.jsonl: cannot be written: no folder /none"),
        (["-o", "/dev/null"], "/dev/null: not a regular file"),
        (["--target", "localhost"], "names no port"),
    ],
)
def test_a_wrong_argument_is_one_line_and_status_2(target, service, small_file, failing, flags, words):
    """Each says which argument and what is wrong with it, before any list is sent."""
    status, message = failing(small_file, "--target", target, *flags)
    assert status == 2
    assert words in message
    assert "BatchRescore" not in service.methods()


@pytest.mark.parametrize("flags", [["--concurrency", "0"], ["--lists-per-call", "x"], ["--format", "htk"]])
def test_argparse_refuses_with_status_2_as_well(target, small_file, capsys, flags):
    """Counts are 1 or more, formats are those there are."""
    with pytest.raises(SystemExit) as caught:
        main([str(small_file), "--target", target, *flags])
    assert caught.value.code == 2
    assert flags[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (UnknownDomain("no domain 'x' here"), 2, "no domain 'x' here"),
        (Unauthenticated("no token"), 2, "no token"),
        (InvalidInput("hypotheses has 200 entries", field="hypotheses"), 2, "in.jsonl:1: hypotheses has 200"),
        (Overloaded("the queue is full"), 1, "in.jsonl:1: the queue is full"),
    ],
)
def test_what_the_server_refuses_is_one_line(target, service, small_file, tmp_path, failing, error, status, words):
    """What the caller can put right has status 2, the rest 1, and nothing is written."""

    def answer(nbest, options):
        raise error

    service.answer = answer
    code, message = failing(small_file, "--target", target, "-o", tmp_path / "out.jsonl")
    assert (code, os.listdir(tmp_path)) == (status, ["in.jsonl"])
    assert words in message


def test_a_call_that_takes_too_long_says_what_to_change(target, service, small_file, failing):
    """The deadline is the caller's, so the way out is an option."""
    service.failures = [DeadlineExceeded("no time")]
    status, message = failing(small_file, "--target", target)
    assert status == 1
    assert "raise --timeout-seconds" in message


def test_a_server_that_dies_is_not_the_timeouts_fault(small_file, failing):
    """Killed with a call under way: the call waits for its return until the deadline, and nobody is there."""
    script = Path(__file__).parents[1] / "holding_server.py"
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


def test_a_list_without_time_has_its_own_words(target, service, small_file, failing):
    """The call was answered in time, so that its deadline is not the matter."""

    def answer(nbest, options):
        raise DeadlineExceeded("no time for this list")

    service.answer = answer
    status, message = failing(small_file, "--target", target, "--fail")
    assert (status, message) == (1, f"{small_file}:1: no time for this list")


def test_no_server_is_one_line_and_status_1(small_file, failing):
    """At once, with the address."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    status, message = failing(small_file, "--target", address)
    assert status == 1
    assert message.startswith(f"no server answers at {address}: ")


def test_a_server_that_restarts_is_waited_for(target, service, small_file, capsys):
    """UNAVAILABLE in the middle of a run is tried again."""
    service.failures = [Unavailable("draining"), Unavailable("draining")]
    assert main([str(small_file), "--target", target]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("WER ")


def test_a_server_that_limits_its_callers_is_waited_for(target, service, small_file, capsys):
    """RESOURCE_EXHAUSTED of a whole call is no end of the run."""
    service.failures = [Overloaded("send fewer")]
    assert main([str(small_file), "--target", target]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("WER ")
    assert service.methods() == ["GetServerInfo", "BatchRescore", "BatchRescore"]


def test_a_list_the_server_had_no_time_for_is_counted(target, service, small_file, capsys):
    """A fallback is not hidden in the rates."""
    answers = iter(["rescored", "first_pass"])

    def answer(nbest, options):
        return turned_round(nbest, options) if next(answers) == "rescored" else first_pass(nbest)

    service.answer = answer
    assert main([str(small_file), "--target", target]) == 0
    assert "rescored 1, first_pass (deadline) 1" in capsys.readouterr().out


def first_pass(nbest: NBest):
    """The list as it came, for want of time."""
    hypotheses = tuple(RankedHypothesis(i, h.transcript) for i, h in enumerate(nbest.hypotheses))
    return Ranked(hypotheses, Outcome.FIRST_PASS, nbest.id, FallbackReason.DEADLINE)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing_behind(test_file, tmp_path, number):
    """Ctrl-C or `docker stop`: the old file stays, no unfinished one lies beside it, the exit status is 130."""
    service = ScriptedService()
    service.release.clear()
    out = tmp_path / "out.jsonl"
    out.write_text("old")
    with (
        serving(service) as address,
        hearing_ctrl_c(),
        command(test_file, "--target", address, "-o", out, stdout=subprocess.PIPE) as process,
    ):
        assert service.arrived.wait(60)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, b"")
    assert stderr == b"lorb-rescore: interrupted, nothing written\n"
    assert (os.listdir(tmp_path), out.read_text()) == (["out.jsonl"], "old")


def test_standard_output_that_takes_no_more_is_one_line(target, small_file):
    """A full disk, status 1; /dev/full is always one."""
    with (
        Path("/dev/full").open("wb") as full,
        command(small_file, "--target", target, "-o", "-", stdout=full) as process,
    ):
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert stderr == b"lorb-rescore: standard output cannot be written: No space left on device\n"


def test_a_reader_that_goes_away_is_told_nothing(target, small_file):
    """As `| head` does: status 1 and no trace."""
    reading, writing = os.pipe()
    os.close(reading)
    with command(small_file, "--target", target, "-o", "-", stdout=writing) as process:
        os.close(writing)
        _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (1, b"")


@contextmanager
def hearing_ctrl_c():
    """Whoever runs the tests in the background has them ignore Ctrl-C, and so would the processes begun here."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def command(*arguments, **settings):
    """The command in a process of its own, its standard error piped."""
    return subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "lorb_client.cli", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
        **settings,
    )


def test_the_progress_bar_is_for_terminals(target, test_file):
    """There it shows count and time left, unless told to be quiet; other tests see it nowhere else."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TERM": "xterm", "COLUMNS": "100"}
    command = [sys.executable, "-m", "lorb_client.cli", str(test_file), "--target", target]
    shown = on_a_terminal(command, environment)
    assert "446/446" in shown
    assert "0:00:00" in shown
    assert on_a_terminal([*command, "--quiet"], environment) == ""


def on_a_terminal(command, environment):
    """What a command writes to a standard error that is a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(  # noqa: S603 - our own command
        command, env=environment, stdout=subprocess.DEVNULL, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = bytearray()
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # Linux's word for the end of a terminal
                break
            if not part:
                break
            shown += part
        assert process.wait() == 0
    os.close(ours)
    return shown.decode()
