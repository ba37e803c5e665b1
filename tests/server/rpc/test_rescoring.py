"""lorb_server.rpc.rescoring: good, bad and malformed requests over the wire, and their statuses."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_status import rpc_status

from lorb.v1 import rescoring_pb2 as pb
from lorb.wire import batch_result
from lorb_server.rescoring.rescorer import Rescorer
from lorb_server.rpc import rescoring
from support.servers.rescore_requests import detail, request
from support.servers.serving import WAIT_SECONDS

NAN, INFINITY = float("nan"), float("inf")
RESCORE = "/lorb.v1.RescoringService/Rescore"


def with_score(*scores):
    return request(hypotheses=[pb.Hypothesis(transcript="the cat", first_pass_score=score) for score in scores])


def failed_status(server, message):
    """The status of a request that fails; asserts that Rescore and BatchRescore give the same."""
    with pytest.raises(grpc.RpcError) as caught:
        server.stub.Rescore(message, timeout=WAIT_SECONDS)
    status = rpc_status.from_call(caught.value)
    batch = pb.BatchRescoreRequest(requests=[request("the cat", "a cat"), message])
    fine, error = server.stub.BatchRescore(batch, timeout=WAIT_SECONDS).results
    assert fine.response.outcome == pb.OUTCOME_RESCORED
    assert error.error == status
    return status


BAD = {
    "no hypothesis": (request(), "hypotheses"),
    "10,000 hypotheses": (request(*["the cat"] * 10_000), "hypotheses"),
    "NaN": (with_score(-1.0, NAN), "hypotheses[1].first_pass_score"),
    "infinity": (with_score(INFINITY), "hypotheses[0].first_pass_score"),
    "minus infinity": (with_score(-1.0, -2.0, -INFINITY), "hypotheses[2].first_pass_score"),
    "scores on some only": (
        request(hypotheses=[pb.Hypothesis(transcript="a", first_pass_score=-1.0), pb.Hypothesis(transcript="b")]),
        "hypotheses[1].first_pass_score",
    ),
    "NaN component": (
        request(hypotheses=[pb.Hypothesis(transcript="a", component_scores={"lm": NAN})]),
        "hypotheses[0].component_scores",
    ),
    "65 components": (
        request(hypotheses=[pb.Hypothesis(transcript="a", component_scores={f"part-{i}": -1.0 for i in range(65)})]),
        "hypotheses[0].component_scores",
    ),
    "100,000 words": (request("the cat", "cat " * 100_000), "hypotheses[1].transcript"),
    "long context": (request("the cat", context="cat " * 100_000), "context"),
    "no domain": (request("the cat", domain=""), "domain"),
    "path as domain": (request("the cat", domain="../../etc"), "domain"),
    "control character in domain": (request("the cat", domain="voice\n"), "domain"),
    "control character in id": (request("the cat", request_id="a\x00b"), "request_id"),
    "long id": (request("the cat", request_id="a" * 257), "request_id"),
    "control character in routing key": (request("the cat", routing_key="\x1b[31m"), "routing_key"),
    "version not allowed": (request("the cat", domain="voice@1-0123456789ab"), "domain"),
    "negative weight": (request("the cat", rescoring_weight=-1.0), "rescoring_weight"),
    "NaN weight": (request("the cat", rescoring_weight=NAN), "rescoring_weight"),
    "unknown policy": (request("the cat", fallback_policy=9), "fallback_policy"),
    "unknown selection": (request("the cat", selection=9), "selection"),
}


@pytest.mark.parametrize(("message", "field"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_invalid_argument_with_the_field(server, message, field):
    """Bad input gives the same INVALID_ARGUMENT with the field's path in Rescore and in BatchRescore."""
    status = failed_status(server, message)
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    [violation] = detail(status, BadRequest).field_violations
    assert violation.field.startswith(field)
    assert detail(status, ErrorInfo).domain == "lorb"


@pytest.mark.parametrize(
    ("domain", "reason"),
    [("radio", "UNKNOWN_DOMAIN"), ("base", "UNKNOWN_DOMAIN"), ("voice@canary", "UNKNOWN_VERSION")],
)
def test_unknown_domains_are_not_found(server, domain, reason):
    """A domain or version that is not served is NOT_FOUND, with a reason that says which."""
    status = failed_status(server, request("the cat", domain=domain))
    assert status.code == grpc.StatusCode.NOT_FOUND.value[0]
    assert detail(status, ErrorInfo).reason == reason


@pytest.mark.parametrize("text", ["[SEP] [CLS] [MASK]", "the\x00cat\x1b[2J\n", "", " ", "\u202ecat", "🐈 sat"])
def test_any_text_is_a_transcript(server, text):
    """Special tokens, control characters and empty transcripts are rescored and returned unchanged."""
    answer = server.rescore(text, "the cat")
    assert answer.outcome == pb.OUTCOME_RESCORED
    assert {h.index: h.transcript for h in answer.hypotheses} == {0: text, 1: "the cat"}


def test_markup_scores_as_the_text_it_is(server):
    """A transcript with "[SEP]" is scored as plain characters, not with the separator token."""
    scores = {h.transcript: h.rescoring_score for h in server.rescore("the [SEP] cat", "the [sep] cat").hypotheses}
    assert scores["the [SEP] cat"] == pytest.approx(scores["the [sep] cat"], rel=1e-5)


def raw_call(server, payload):
    """The status code of a Rescore call with these bytes."""
    call = server.channel.unary_unary(RESCORE, request_serializer=bytes, response_deserializer=bytes)
    with pytest.raises(grpc.RpcError) as caught:
        call(payload, timeout=WAIT_SECONDS)
    return caught.value.code()


def test_text_that_is_not_utf8_has_grpcs_own_status(server):
    """A request that is not UTF-8 fails with UNKNOWN, and the server goes on serving."""
    broken = request("cat?").SerializeToString().replace(b"cat?", b"ca\xff\xfe")
    assert raw_call(server, broken) is grpc.StatusCode.UNKNOWN
    assert server.rescore("the cat", "a cat").outcome == pb.OUTCOME_RESCORED


def test_bytes_that_are_no_message_have_grpcs_own_status(server):
    """Bytes that are no protobuf message fail with UNKNOWN, and the server goes on serving."""
    assert raw_call(server, b"\xff" * 100) is grpc.StatusCode.UNKNOWN
    assert server.rescore("the cat", "a cat").outcome == pb.OUTCOME_RESCORED


def test_a_message_too_large_has_grpcs_own_status(server):
    """A request of 50 MB fails with RESOURCE_EXHAUSTED, and the server goes on serving."""
    payload = request("cat " * (50 * 1024 * 1024 // 4)).SerializeToString()
    assert raw_call(server, payload) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert server.rescore("the cat", "a cat").outcome == pb.OUTCOME_RESCORED


def test_an_answer_tells_where_it_comes_from(server):
    """A response carries the request id, the component scores, the adapter and the timings."""
    hypotheses = [
        pb.Hypothesis(transcript="the seventh cat", first_pass_score=-1, component_scores={"lm": -0.5}),
        pb.Hypothesis(transcript="a seventh cat", first_pass_score=-2),  # in no other test, so that no score is cached
    ]
    answer = server.stub.Rescore(request(hypotheses=hypotheses, request_id="u 1"), timeout=WAIT_SECONDS)
    assert answer.request_id == "u 1"
    assert answer.adapter == server.rescore("the cat").adapter
    assert answer.adapter.digest[:12] == answer.adapter.version.partition("-")[2]
    assert {h.index: dict(h.component_scores) for h in answer.hypotheses} == {0: {"lm": -0.5}, 1: {}}
    assert answer.timings.total_seconds > answer.timings.infer_seconds > 0
    assert sum(h.posterior for h in answer.hypotheses) == pytest.approx(1)


def test_a_batch_answers_each_list_in_order(server):
    """A bad list in a batch has a status of its own, and the others have their responses in order."""
    messages = [request("the cat", "a cat", request_id=f"{i}") for i in range(20)]
    messages[7] = request(request_id="7")
    results = server.stub.BatchRescore(pb.BatchRescoreRequest(requests=messages), timeout=WAIT_SECONDS).results
    assert [r.response.request_id for r in results] == [f"{i}" if i != 7 else "" for i in range(20)]
    assert [i for i, r in enumerate(results) if r.HasField("error")] == [7]


def test_an_empty_batch_is_an_empty_answer(server):
    """A batch without lists has no results and no error."""
    assert len(server.stub.BatchRescore(pb.BatchRescoreRequest(), timeout=WAIT_SECONDS).results) == 0


def test_too_many_lists_are_refused(server):
    """A batch with more lists than the limit is refused as a whole, with the field's name."""
    message = pb.BatchRescoreRequest(requests=[request("the cat")] * 257)
    with pytest.raises(grpc.RpcError) as caught:
        server.stub.BatchRescore(message, timeout=WAIT_SECONDS)
    status = rpc_status.from_call(caught.value)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert detail(status, BadRequest).field_violations[0].field == "requests"


def test_server_info_tells_what_is_served_and_accepted(server):
    """GetServerInfo reports the domains, the device, the base and the limits."""
    info = server.stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=WAIT_SECONDS)
    assert list(info.domains) == ["voice"]
    assert (info.device, info.dtype, info.default_domain) == ("cpu", "float32", "")
    assert (info.max_hypotheses, info.max_transcript_chars, info.max_batch_lists) == (256, 2000, 256)
    assert len(info.base_fingerprint) == 64


def test_the_answers_of_a_batch_are_built_one_at_a_time(server, monkeypatch):
    """While the response to a batch of 20 lists is built, other work of the event loop runs between two lists."""
    events = []

    def recorded(result):
        events.append("list")
        return batch_result(result)

    async def other_work():
        while events.count("list") < 20:
            events.append("other")
            await asyncio.sleep(0)

    monkeypatch.setattr(rescoring, "batch_result", recorded)
    with ThreadPoolExecutor() as threads:
        working = threads.submit(server.do, other_work)
        message = pb.BatchRescoreRequest(requests=[request("the cat", "a cat")] * 20)
        assert len(server.stub.BatchRescore(message, timeout=WAIT_SECONDS).results) == 20
        working.result(WAIT_SECONDS)
    assert ("list", "list") not in pairwise(events)


def test_a_batch_leaves_time_to_build_its_answer(server, monkeypatch):
    """Each list of a batch is answered so much before the deadline as the response to all hypotheses takes."""
    calls, rescore = [], Rescorer.rescore
    monkeypatch.setattr(Rescorer, "rescore", lambda self, call: calls.append(call) or rescore(self, call))
    for num_lists in (1, 100):
        message = pb.BatchRescoreRequest(requests=[request("the cat", "a cat")] * num_lists)
        server.stub.BatchRescore(message)
    few, many = calls[0], calls[-1]
    assert (few.answer_by - few.started_at) - (many.answer_by - many.started_at) == pytest.approx(99 * 2 * 1e-5)
