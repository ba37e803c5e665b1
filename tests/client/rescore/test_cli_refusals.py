"""lorb_client.rescore.cli: wrong files, arguments and lists end with one line."""

import gzip
import os
from dataclasses import replace
from pathlib import Path

import pytest

from lorb.errors import DeadlineExceeded, InvalidInput, Overloaded, Unauthenticated, UnknownDomain
from lorb_client.rescore.cli import main
from support.lists.two_lists import LINES
from support.servers.rescoring_server import INFO


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ({"max_hypotheses": 1}, "in.jsonl:1: hypotheses has 2 entries: this server accepts at most 1"),
        (
            {"max_transcript_chars": 2},
            "in.jsonl:1: hypotheses[0].transcript has 3 characters: this server accepts at most 2",
        ),
    ],
)
def test_a_list_beyond_the_servers_limits_is_found_before_the_first_call(
    target, service, small_file, failing, limit, words
):
    """A list beyond the server's limits is refused with its line before any list is sent."""
    service.info = replace(INFO, **limit)
    status, message = failing(small_file, "--target", target)
    assert (status, service.methods()) == (2, ["GetServerInfo"])
    assert words in message


def test_a_missing_option_is_one_line(target, service, failing):
    """A missing option of a format is refused before any call, and the message names the flag."""
    status, message = failing(Path(__file__).parents[2] / "data" / "formats" / "kaldi", "--target", target)
    assert status == 2
    assert "give --acoustic-scale" in message
    assert service.calls == []


def broken_files():
    """Returns broken files by name: content and words of the message."""
    lines = [f'{{"id": "u{i}", "ref": "a", "hyps": [{{"text": "a"}}]}}' for i in range(10)]
    packed = gzip.compress("\n".join(lines).encode())
    broken = [*lines[:6], lines[6][:-9], *lines[7:]]
    return {
        "truncated.gz": (packed[:-10], "truncated"),
        "broken.jsonl": ("\n".join(broken).encode(), "broken.jsonl:7: not JSON"),
        "empty.jsonl": (b"", "empty.jsonl:1: the file is empty"),
        "twice.jsonl": ("\n".join([*lines, lines[2]]).encode(), "twice.jsonl:11: id 'u2' is repeated"),
        "rubbish.bin": (b"\x00\xff\xfe" * 100, "rubbish.bin:1: not UTF-8"),
        "scored.jsonl": (
            b'{"id": "u", "hyps": [{"text": "a", "score": 1}, {"text": "b"}]}',
            "scored.jsonl:1: ",
        ),
    }


@pytest.mark.parametrize("name", list(broken_files()))
def test_a_bad_file_is_one_line_with_its_path_and_status_2(target, service, tmp_path, failing, name):
    """A bad file ends with one line that names it, and status 2, before any call and without output."""
    content, words = broken_files()[name]
    path = tmp_path / name
    path.write_bytes(content)
    status, message = failing(path, "--target", target, "-o", tmp_path / "out.jsonl")
    assert status == 2
    assert message.startswith(f"{path}:")
    assert words in message
    assert service.calls == []
    assert os.listdir(tmp_path) == [name]


def test_lists_without_references_need_an_output(target, service, tmp_path, failing):
    """Without references and without -o the command ends with status 2 before any call."""
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
    """A wrong argument ends with one line and status 2 before any list is sent."""
    status, message = failing(small_file, "--target", target, *flags)
    assert status == 2
    assert words in message
    assert "BatchRescore" not in service.methods()


@pytest.mark.parametrize("flags", [["--concurrency", "0"], ["--lists-per-call", "x"], ["--format", "htk"]])
def test_argparse_refuses_with_status_2_as_well(target, small_file, capsys, flags):
    """Values that argparse refuses end with status 2 and name the flag."""
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
    """An error of the server ends with one line and no output: status 2 if the caller can correct it, 1 otherwise."""

    def answer(nbest, options):
        raise error

    service.answer = answer
    command = [small_file, "--target", target, "-o", tmp_path / "out.jsonl", "--timeout-seconds", "1"]
    code, message = failing(*command)
    assert (code, os.listdir(tmp_path)) == (status, ["in.jsonl"])
    assert words in message


def test_a_deadline_of_one_list_is_no_timeout_of_the_call(target, service, small_file, failing):
    """The deadline error of one list is printed as it is, without advice on the call's timeout."""

    def answer(nbest, options):
        raise DeadlineExceeded("no time for this list")

    service.answer = answer
    status, message = failing(small_file, "--target", target, "--fail")
    assert (status, message) == (1, f"{small_file}:1: no time for this list")
