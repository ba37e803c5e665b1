"""Answers of a newer server: clients and commands keep them, though they do not know the outcome or the reason."""

import asyncio
import json

import pytest

from lorb.ranked import FallbackReason, Outcome
from lorb_client import AioClient, Client
from lorb_client.load.cli import main as load_main
from lorb_client.rescore.cli import main as rescore_main
from support.servers.rescoring_server import ScriptedService, serving

OUTCOME, REASON = 71, 72


class NewerService(ScriptedService):
    """Sends an outcome and a reason that this release's schema does not have."""

    def Rescore(self, request, context):  # noqa: N802 - the schema's name
        """Answers one list."""
        return newer(super().Rescore(request, context))

    def BatchRescore(self, request, context):  # noqa: N802 - the schema's name
        """Answers many lists, the second with the outcome of this release."""
        response = super().BatchRescore(request, context)
        for result in response.results[::2]:
            newer(result.response)
        return response


def newer(response):
    """Sets the unknown values."""
    response.outcome, response.fallback_reason = OUTCOME, REASON
    return response


@pytest.fixture
def newer_target():
    """Address of the newer server."""
    with serving(NewerService()) as address:
        yield address


def kept(ranked, nbest):
    """Whether an answer holds the whole list and says that its outcome is unknown."""
    texts = [hypothesis.transcript for hypothesis in ranked.hypotheses]
    assert texts == [hypothesis.transcript for hypothesis in reversed(nbest.hypotheses)]
    return (ranked.outcome, ranked.fallback_reason) == (Outcome.UNKNOWN, FallbackReason.UNKNOWN)


def test_the_blocking_client_keeps_the_answers(newer_target, sample_lists):
    """Order and scores of single lists and batches arrive."""
    with Client(newer_target, timeout_seconds=60) as client:
        assert kept(client.rescore(sample_lists[0]), sample_lists[0])
        first, second = client.rescore_batch(sample_lists[:2])
    assert kept(first, sample_lists[0])
    assert second.outcome is Outcome.RESCORED


def test_the_asyncio_client_keeps_the_answers(newer_target, sample_lists):
    """Order and scores of single lists and batches arrive."""

    async def calls():
        async with AioClient(newer_target, timeout_seconds=60) as client:
            return await client.rescore(sample_lists[0]), *await client.rescore_batch(sample_lists[:2])

    single, first, second = asyncio.run(calls())
    assert kept(single, sample_lists[0])
    assert kept(first, sample_lists[0])
    assert second.outcome is Outcome.RESCORED


def test_lorb_rescore_writes_and_counts_them(newer_target, small_file, tmp_path, capsys):
    """Such lists are written, and count as not rescored in full."""
    out = tmp_path / "out.jsonl"
    assert rescore_main([str(small_file), "--target", newer_target, "-o", str(out)]) == 4
    assert [json.loads(line)["lorb"]["outcome"] for line in out.read_text().splitlines()] == ["unknown", "rescored"]
    printed = capsys.readouterr().out
    assert "unknown (unknown) 1" in printed
    assert "(1 of 1 lists not rescored in full)" in printed


def test_lorb_load_counts_them(newer_target, small_file, tmp_path):
    """Such calls are answered calls with an outcome of their own."""
    out = tmp_path / "load.json"
    quick = ["--rate", "100", "--duration-seconds", "0.1", "--warm-up-seconds", "0", "--deadline-seconds", "60"]
    assert load_main([str(small_file), "--target", newer_target, *quick, "--json", str(out)]) == 0
    assert json.loads(out.read_text())["endings"].keys() == {"unknown unknown"}
