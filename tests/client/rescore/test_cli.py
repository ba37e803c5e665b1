"""lorb_client.rescore.cli: the command lorb-rescore against a real server."""

import gzip
import json
import os
import pty
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lorb.formats import read_nbest_lists
from lorb.nbest import NBest
from lorb.ranked import FallbackPolicy, FallbackReason, Outcome, Ranked, RankedHypothesis, RescoreOptions, Selection
from lorb.wire import options_from_request
from lorb_client.rescore.cli import main
from support.servers.rescoring_server import ADAPTER, INFO, reversed_ranking


def written(path):
    """Returns the records of a file of JSON lines."""
    content = path.read_bytes()
    return [json.loads(line) for line in (gzip.decompress(content) if path.suffix == ".gz" else content).splitlines()]


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz"])
def test_a_file_of_lists_comes_back_ranked(target, test_file, sample_lists, tmp_path, capsys, name):
    """Every list is written once, in order, re-ranked, with all fields, and the last line has word error rates."""
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
    """The output is a native file that can be rescored again."""
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
    """The table has the exact counts and rates of two lists."""
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
    """With "-o -" the lists go to standard output and the table to standard error."""
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
def test_context_is_sent_by_default(target, service, small_file, tmp_path, flags, context):
    """Context is sent unless --no-context is given, and is written in either case."""
    out = tmp_path / "out.jsonl"
    assert main([str(small_file), "--target", target, "-o", str(out), *flags]) == 0
    (_, request, _, _) = service.calls[-1]
    assert request.requests[1].context == context
    assert written(out)[1]["context"] == "hm?"


def test_the_servers_batch_limit_is_kept(target, service, test_file):
    """Calls have at most as many lists as the server allows."""
    assert main([str(test_file), "--target", target, "--lists-per-call", "1000"]) == 0
    sizes = {len(request.requests) for method, request, _, _ in service.calls if method == "BatchRescore"}
    assert max(sizes) == 5


def test_limits_of_0_are_not_checked(target, service, small_file):
    """Limits of 0, which a server does not set, are not checked."""
    service.info = replace(INFO, max_hypotheses=0, max_transcript_chars=0, max_batch_lists=0)
    assert main([str(small_file), "--target", target]) == 0


def test_other_formats_are_read_too(target, tmp_path):
    """HyPoradise and mlm-scoring files are read and written in the native format."""
    hyporadise, mlm, out = tmp_path / "h.json", tmp_path / "m.json", tmp_path / "out.jsonl"
    hyporadise.write_text('[{"id": "h1", "input": ["a", "b"], "output": "b", "am_score": [-1, -2]}]')
    mlm.write_text('{"m1": {"hyp_1": {"score": -1, "text": " a"}, "ref": "a"}}')
    assert main([str(hyporadise), str(mlm), "--target", target, "-o", str(out)]) == 0
    assert [(record["id"], record["ref"]) for record in written(out)] == [("h1", "b"), ("m1", "a")]


def test_a_kaldi_folder_is_read_with_its_flags(target, tmp_path, capsys):
    """A Kaldi folder with separate references is rescored, and each notice is printed once."""
    out, formats = tmp_path / "out.jsonl", Path(__file__).parents[2] / "data" / "formats"
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
        "lorb-rescore: 8 scores computed from costs: -(0.1 * acoustic + graph)",
    ]
    assert captured.out.splitlines()[-1].startswith("WER first-pass ")


def test_a_fallback_is_counted(target, service, small_file, capsys):
    """A list in first-pass order is counted with its reason, and the status says that lists were not rescored."""

    def answer(nbest, options):
        return reversed_ranking(nbest, options) if nbest.id == "u1" else first_pass(nbest)

    service.answer = answer
    assert main([str(small_file), "--target", target]) == 4
    assert "rescored 1, first_pass (deadline) 1" in capsys.readouterr().out


def first_pass(nbest: NBest):
    """Returns the list in first-pass order, as after a missed deadline."""
    hypotheses = tuple(RankedHypothesis(i, h.transcript) for i, h in enumerate(nbest.hypotheses))
    return Ranked(hypotheses, Outcome.FIRST_PASS, nbest.id, FallbackReason.DEADLINE)


def test_the_progress_bar_is_for_terminals(target, test_file):
    """On a terminal the progress bar shows count and time left, unless --quiet is given."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TERM": "xterm", "COLUMNS": "100"}
    command = [sys.executable, "-m", "lorb_client.rescore.cli", str(test_file), "--target", target]
    shown = on_a_terminal(command, environment)
    assert "446/446" in shown
    assert "0:00:00" in shown
    assert on_a_terminal([*command, "--quiet"], environment) == ""


def on_a_terminal(command, environment):
    """Returns what a command writes to a standard error that is a terminal."""
    terminal, command_end = pty.openpty()
    with subprocess.Popen(  # noqa: S603 - our own command
        command, env=environment, stdout=subprocess.DEVNULL, stderr=command_end
    ) as process:
        os.close(command_end)
        shown = bytearray()
        while True:
            try:
                part = os.read(terminal, 4096)
            except OSError:  # Linux reports a closed terminal as an error
                break
            if not part:
                break
            shown += part
        assert process.wait() == 0
    os.close(terminal)
    return shown.decode()
