"""No log line holds a caller's text: not of valid calls, invalid calls, or calls that break the server."""

import logging

import grpc
import pytest

from lorb.v1 import rescoring_pb2 as pb
from lorb.v1 import rescoring_pb2_grpc
from lorb_server.telemetry.logs import JsonFormatter, TextFormatter
from support.servers.serving import WAIT_SECONDS, lorb_serve, running_server

WORD = "xylograph"
GOOD = "good"


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
    tokens, log = tmp_path / "tokens", tmp_path / "log"
    tokens.write_text("kiosk:good\n")
    settings = {"log_level": "debug", "token_file": tokens, "front_processes": request.param}
    with (
        log.open("wb") as stderr,
        lorb_serve(
            tiny_bert, shared_store.url, tmp_path, stderr=stderr, environment={"GRPC_VERBOSITY": "INFO"}, **settings
        ) as (running, ports),
    ):
        running.address = f"127.0.0.1:{ports['port']}"

        def stopped_log():
            running.terminate()
            assert running.wait(WAIT_SECONDS) == 0
            return log.read_text()

        running.stopped_log = stopped_log
        yield running


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
