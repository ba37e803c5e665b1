"""No log line holds a caller's text: not of valid calls, invalid calls, or calls that break the server."""

import json
import logging
import os
import signal
import subprocess
import sys
import time

import grpc
import pytest

from lorb.v1 import rescoring_pb2 as pb
from lorb.v1 import rescoring_pb2_grpc
from lorb_server.telemetry.logs import JsonFormatter, TextFormatter
from support.servers.serving import WAIT_SECONDS, running_server

WORD = "xylograph"
GOOD = "good"
START_SECONDS = 300.0  # long enough for a busy machine


def hypotheses(*texts, scores=(-1.0, -2.0)):
    return [pb.Hypothesis(transcript=t, first_pass_score=s) for t, s in zip(texts, scores, strict=True)]


def requests():
    """Valid requests, and requests that are invalid in every way that an error message could quote."""
    texts = (f"the {WORD}", f"a {WORD} cat")
    good = {
        "domain": "voice",
        "hypotheses": hypotheses(*texts),
        "context": WORD,
        "routing_key": WORD,
        "request_id": WORD,
    }
    yield pb.RescoreRequest(**good)
    yield pb.RescoreRequest(**good, fallback_policy=2, selection=2)
    yield pb.RescoreRequest(**{**good, "hypotheses": hypotheses(*texts, scores=(float("nan"), 0.0))})
    yield pb.RescoreRequest(**{**good, "hypotheses": hypotheses(WORD * 1000, WORD)})
    yield pb.RescoreRequest(**{**good, "hypotheses": [*hypotheses(*texts)[:1], pb.Hypothesis(transcript=WORD)]})
    yield pb.RescoreRequest(**{**good, "domain": f"voice@{WORD}"})
    yield pb.RescoreRequest(**{**good, "domain": f"No {WORD}!"})
    yield pb.RescoreRequest(**{**good, "rescoring_weight": float("inf")})
    scored = pb.Hypothesis(transcript=WORD, first_pass_score=0.0, component_scores={WORD: float("nan")})
    yield pb.RescoreRequest(**{**good, "hypotheses": [scored]})


@pytest.fixture(params=[0, 1], ids=["one process", "fronts"])
def process(request, tiny_bert, shared_store, tmp_path):
    """A lorb-serve process at log level debug, with its `address`; `stopped_log()` stops it and returns its log."""
    ready, tokens, log = tmp_path / "ready", tmp_path / "tokens", tmp_path / "log"
    tokens.write_text("kiosk:good\n")
    flags = {
        "base": tiny_bert, "store": shared_store.url, "port": 0, "admin-port": 0, "metrics-port": 0, "device": "cpu",
        "drain-seconds": 0, "log-level": "debug", "token-file": tokens, "ready-file": ready,
        "front-processes": request.param,
    }  # fmt: skip
    command = [sys.executable, "-m", "lorb_server.cli", *(f"--{name}={value}" for name, value in flags.items())]
    with log.open("wb") as stderr:
        settings = {**os.environ, "GRPC_VERBOSITY": "INFO"}
        running = subprocess.Popen(command, stderr=stderr, env=settings)  # noqa: S603 - our own server
    try:
        limit = time.monotonic() + START_SECONDS
        while not ready.exists():
            assert running.poll() is None, log.read_text()
            assert time.monotonic() < limit
            time.sleep(0.05)
        running.address = f"127.0.0.1:{json.loads(ready.read_text())['port']}"

        def stopped_log():
            running.send_signal(signal.SIGTERM)
            assert running.wait(START_SECONDS) == 0
            return log.read_text()

        running.stopped_log = stopped_log
        yield running
    finally:
        running.kill()
        running.wait()


def test_a_running_server_logs_no_text(process):
    """No request leaves its text in the log, whatever its token, content and outcome."""
    endings = set()

    def call(method, content, token=GOOD, timeout=WAIT_SECONDS):
        try:
            method(content, timeout=timeout, metadata=(("authorization", f"Bearer {token}"),))
            endings.add("OK")
        except grpc.RpcError as error:
            endings.add(error.code().name)

    with grpc.insecure_channel(process.address) as channel:
        stub = rescoring_pb2_grpc.RescoringServiceStub(channel)
        raw = channel.unary_unary("/lorb.v1.RescoringService/Rescore", request_serializer=bytes)
        for request in requests():
            call(stub.Rescore, request)
            call(stub.Rescore, request, token=WORD)
            call(stub.Rescore, request, timeout=0.001)
            call(raw, request.SerializeToString()[:-1])
        call(stub.BatchRescore, pb.BatchRescoreRequest(requests=list(requests())))
    log = process.stopped_log()
    assert {"OK", "INVALID_ARGUMENT", "UNAUTHENTICATED"} <= endings
    assert "serving" in log
    assert WORD not in log


def test_an_unexpected_error_logs_no_text(tiny_bert, shared_store, caplog, monkeypatch):
    """An unexpected error whose message quotes a transcript is logged without it, and the caller does not get it."""
    caplog.set_level(logging.DEBUG)

    async def rescore(self, call):
        raise ValueError(f"cannot cope with {call.nbest.hypotheses[0].transcript!r}")

    monkeypatch.setattr("lorb_server.rescoring.rescorer.Rescorer.rescore", rescore)
    with running_server(tiny_bert, shared_store.url) as server:
        with pytest.raises(grpc.RpcError) as caught:
            server.rescore(f"the {WORD}", "a cat")
        batch = pb.BatchRescoreRequest(requests=[next(requests())])
        [result] = server.stub.BatchRescore(batch, timeout=WAIT_SECONDS).results
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert WORD not in caught.value.details() + result.error.message
    lines = [form.format(record) for form in (JsonFormatter(), TextFormatter()) for record in caplog.records]
    assert any("ValueError" in line for line in lines)
    assert not any(WORD in line for line in lines)
