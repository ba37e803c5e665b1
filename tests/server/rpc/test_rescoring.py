"""The rescoring service over the wire: what is wrong with a request, and with which status it is told."""

import asyncio

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from lorb.v1 import admin_pb2
from lorb.v1 import rescoring_pb2 as pb
from support.servers.serving import WAIT_SECONDS, running_server

NAN, INFINITY = float("nan"), float("inf")
RESCORE = "/lorb.v1.RescoringService/Rescore"


def request(*transcripts, **fields):
    hypotheses = [pb.Hypothesis(transcript=text, first_pass_score=-float(i)) for i, text in enumerate(transcripts)]
    return pb.RescoreRequest(**{"domain": "voice", "hypotheses": hypotheses, **fields})


def with_score(*scores):
    return request(hypotheses=[pb.Hypothesis(transcript="the cat", first_pass_score=score) for score in scores])


def fails(server, message):
    """The status with which Rescore ends, and the status that a batch gives the same list: they agree."""
    with pytest.raises(grpc.RpcError) as caught:
        server.stub.Rescore(message, timeout=WAIT_SECONDS)
    status = rpc_status.from_call(caught.value)
    batch = pb.BatchRescoreRequest(requests=[request("the cat", "a cat"), message])
    fine, error = server.stub.BatchRescore(batch, timeout=WAIT_SECONDS).results
    assert fine.response.outcome == pb.OUTCOME_RESCORED
    assert error.error == status
    return status


def detail(status: Status, kind):
    for packed in status.details:
        if packed.Is(kind.DESCRIPTOR):
            message = kind()
            packed.Unpack(message)
            return message
    return None


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
    """Code, ErrorInfo and BadRequest agree, alone and in a batch."""
    status = fails(server, message)
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    [violation] = detail(status, BadRequest).field_violations
    assert violation.field.startswith(field)
    assert detail(status, ErrorInfo).domain == "lorb"


@pytest.mark.parametrize(
    ("domain", "reason"),
    [("radio", "UNKNOWN_DOMAIN"), ("base", "UNKNOWN_DOMAIN"), ("voice@canary", "UNKNOWN_VERSION")],
)
def test_unknown_domains_are_not_found(server, domain, reason):
    """A domain that is not served is told apart from a name that is none."""
    status = fails(server, request("the cat", domain=domain))
    assert status.code == grpc.StatusCode.NOT_FOUND.value[0]
    assert detail(status, ErrorInfo).reason == reason


@pytest.mark.parametrize("text", ["[SEP] [CLS] [MASK]", "the\x00cat\x1b[2J\n", "", " ", "\u202ecat", "🐈 sat"])
def test_any_text_is_a_transcript(server, text):
    """Markup of the tokenizer, control characters and emptiness are text, handed back untouched."""
    answer = server.rescore(text, "the cat")
    assert answer.outcome == pb.OUTCOME_RESCORED
    assert {h.index: h.transcript for h in answer.hypotheses} == {0: text, 1: "the cat"}


def test_markup_scores_as_the_text_it_is(server):
    """ "[SEP]" does not end a segment: it scores as its characters do, not as the separator."""
    scores = {h.transcript: h.rescoring_score for h in server.rescore("the [SEP] cat", "the [sep] cat").hypotheses}
    assert scores["the [SEP] cat"] == pytest.approx(scores["the [sep] cat"], rel=1e-5)


def raw_call(server, payload):
    """Sends bytes as they are."""
    call = server.channel.unary_unary(RESCORE, request_serializer=bytes, response_deserializer=bytes)
    with pytest.raises(grpc.RpcError) as caught:
        call(payload, timeout=WAIT_SECONDS)
    return caught.value.code()


def test_text_that_is_not_utf8_has_grpcs_own_status(server):
    """The message cannot be decoded; the server lives on."""
    broken = request("cat?").SerializeToString().replace(b"cat?", b"ca\xff\xfe")
    assert raw_call(server, broken) is grpc.StatusCode.UNKNOWN
    assert server.rescore("the cat", "a cat").outcome == pb.OUTCOME_RESCORED


def test_bytes_that_are_no_message_have_grpcs_own_status(server):
    """Garbage is refused; the server lives on."""
    assert raw_call(server, b"\xff" * 100) is grpc.StatusCode.UNKNOWN
    assert server.rescore("the cat", "a cat").outcome == pb.OUTCOME_RESCORED


def test_a_message_too_large_has_grpcs_own_status(server):
    """50 MB never reach the decoder; the server lives on."""
    payload = request("cat " * (50 * 1024 * 1024 // 4)).SerializeToString()
    assert raw_call(server, payload) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert server.rescore("the cat", "a cat").outcome == pb.OUTCOME_RESCORED


def test_an_answer_tells_where_it_comes_from(server):
    """Request id, component scores, adapter and times come back."""
    hypotheses = [
        pb.Hypothesis(transcript="the seventh cat", first_pass_score=-1, component_scores={"lm": -0.5}),
        pb.Hypothesis(transcript="a seventh cat", first_pass_score=-2),  # no other test's: the scores are not cached
    ]
    answer = server.stub.Rescore(request(hypotheses=hypotheses, request_id="u 1"), timeout=WAIT_SECONDS)
    assert answer.request_id == "u 1"
    assert answer.adapter == server.rescore("the cat").adapter
    assert answer.adapter.digest[:12] == answer.adapter.version.partition("-")[2]
    assert {h.index: dict(h.component_scores) for h in answer.hypotheses} == {0: {"lm": -0.5}, 1: {}}
    assert answer.timings.total_seconds > answer.timings.infer_seconds > 0
    assert sum(h.posterior for h in answer.hypotheses) == pytest.approx(1)


def test_a_batch_answers_each_list_in_order(server):
    """Good and bad lists side by side, each with its own answer."""
    messages = [request("the cat", "a cat", request_id=f"{i}") for i in range(20)]
    messages[7] = request(request_id="7")
    results = server.stub.BatchRescore(pb.BatchRescoreRequest(requests=messages), timeout=WAIT_SECONDS).results
    assert [r.response.request_id for r in results] == [f"{i}" if i != 7 else "" for i in range(20)]
    assert [i for i, r in enumerate(results) if r.HasField("error")] == [7]


def test_an_empty_batch_is_an_empty_answer(server):
    """No lists, no results, no error."""
    assert len(server.stub.BatchRescore(pb.BatchRescoreRequest(), timeout=WAIT_SECONDS).results) == 0


def test_too_many_lists_are_refused(server):
    """The whole batch, naming the field."""
    message = pb.BatchRescoreRequest(requests=[request("the cat")] * 257)
    with pytest.raises(grpc.RpcError) as caught:
        server.stub.BatchRescore(message, timeout=WAIT_SECONDS)
    status = rpc_status.from_call(caught.value)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert detail(status, BadRequest).field_violations[0].field == "requests"


def test_server_info_tells_what_is_served_and_accepted(server):
    """What a client needs to know before it sends anything."""
    info = server.stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=WAIT_SECONDS)
    assert list(info.domains) == ["voice"]
    assert (info.device, info.dtype, info.default_domain) == ("cpu", "float32", "")
    assert (info.max_hypotheses, info.max_transcript_chars, info.max_batch_lists) == (256, 2000, 256)
    assert len(info.base_fingerprint) == 64


def test_an_unforeseen_error_is_internal_and_tells_nothing(server, monkeypatch, caplog):
    """A fixed message for the caller; type and place, and no transcript, for the log. A batch's others go on.

    Each is counted, by itself and among the lists that ended in an error.
    """

    def fail(_):
        raise KeyError("the secret transcript")

    def counted():
        of_lists = {"domain": "", "outcome": "error", "reason": "internal"}
        return server.sample("lorb_internal_errors_total"), server.sample("lorb_rescore_requests_total", **of_lists)

    monkeypatch.setattr("lorb_server.call.RescoreCall.__post_init__", fail)
    before = counted()
    with pytest.raises(grpc.RpcError) as caught:
        server.rescore("the secret transcript", "a cat")
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in caught.value.details()
    batch = pb.BatchRescoreRequest(requests=[request("the secret transcript"), request()])
    first, second = server.stub.BatchRescore(batch, timeout=WAIT_SECONDS).results
    assert first.error.code == grpc.StatusCode.INTERNAL.value[0]
    assert second.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    records = [record for record in caplog.records if record.message == "a call failed unexpectedly"]
    assert len(records) == 2
    assert all(record.fields["error"] == "KeyError" for record in records)
    assert "secret" not in repr([vars(record) for record in records])
    assert [record.fields["method"] for record in records] == ["Rescore", "BatchRescore"]
    assert counted() == (before[0] + 2, before[1] + 2)


def test_an_unforeseen_error_of_an_operator_s_call_is_counted(server, monkeypatch):
    """As those of callers are."""

    def fail(_):
        raise KeyError("nobody knows")

    monkeypatch.setattr(server.app.store, "rollback", fail)
    before = server.sample("lorb_internal_errors_total")
    with pytest.raises(grpc.RpcError) as caught:
        server.admin.Rollback(admin_pb2.RollbackRequest(domain="voice"), timeout=WAIT_SECONDS)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert server.sample("lorb_internal_errors_total") == before + 1


def test_errors_are_counted_by_code(server):
    """With the domain where it is a known one, and no label from the caller."""
    labels = {"domain": "", "outcome": "error", "reason": "not_found"}
    before = server.sample("lorb_rescore_requests_total", **labels)
    with pytest.raises(grpc.RpcError):
        server.rescore("the cat", domain="invented")
    assert server.sample("lorb_rescore_requests_total", **labels) == before + 1


def test_no_time_at_all_is_answered_in_first_pass_order(tiny_bert, store):
    """With a margin as long as the caller's deadline nothing is scored, and the caller still gets its list."""
    with running_server(tiny_bert, store.url, deadline_margin_seconds=5.0) as server:
        answer = server.rescore("the cat", "a cat", timeout=5.0)
        assert (answer.outcome, answer.fallback_reason) == (
            pb.OUTCOME_FIRST_PASS,
            pb.FALLBACK_REASON_DEADLINE,
        )
        assert [h.index for h in answer.hypotheses] == [0, 1]
        with pytest.raises(grpc.RpcError) as caught:
            server.rescore("the cat", "a cat", timeout=5.0, fallback_policy=pb.FALLBACK_POLICY_FAIL)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert detail(rpc_status.from_call(caught.value), ErrorInfo).reason == "DEADLINE_EXCEEDED"


def test_a_domain_that_does_not_load_by_the_deadline_says_so(tiny_bert, store, monkeypatch):
    """The caller of a cold domain is answered in time, and told that asking again helps."""

    async def never(domain, routing_key):
        await asyncio.Event().wait()

    with running_server(tiny_bert, store.url, default_deadline_seconds=0.1) as server:
        monkeypatch.setattr(server.app.registry, "route", never)
        with pytest.raises(grpc.RpcError) as caught:
            server.rescore("the cat", "a cat", timeout=None)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "it is still loading: try again" in caught.value.details()
