"""lorb_server.rpc.rescoring: unexpected errors, error metrics and deadlines over the wire."""

import asyncio

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from lorb.v1 import admin_pb2
from lorb.v1 import rescoring_pb2 as pb
from support.servers.rescore_requests import detail, request
from support.servers.serving import WAIT_SECONDS, running_server


def test_an_unexpected_error_is_internal_and_reveals_nothing(server, monkeypatch, caplog):
    """An unexpected error gives the caller a fixed message; the log has type and place but no transcript.

    Other lists of the batch are answered, and each error is counted.
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


def test_an_unexpected_error_of_an_admin_call_is_counted(server, monkeypatch):
    """An unexpected error of an admin call is counted too."""

    def fail(_):
        raise KeyError("nobody knows")

    monkeypatch.setattr(server.app.store, "rollback", fail)
    before = server.sample("lorb_internal_errors_total")
    with pytest.raises(grpc.RpcError) as caught:
        server.admin.Rollback(admin_pb2.RollbackRequest(domain="voice"), timeout=WAIT_SECONDS)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert server.sample("lorb_internal_errors_total") == before + 1


def test_errors_are_counted_by_code(server):
    """Errors are counted by status code, without a label that the caller invented."""
    labels = {"domain": "", "outcome": "error", "reason": "not_found"}
    before = server.sample("lorb_rescore_requests_total", **labels)
    with pytest.raises(grpc.RpcError):
        server.rescore("the cat", domain="invented")
    assert server.sample("lorb_rescore_requests_total", **labels) == before + 1


def test_no_time_at_all_is_answered_in_first_pass_order(tiny_bert, store):
    """With a margin as long as the caller's deadline, nothing is scored and the list returns in first-pass order."""
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
    """A call for a domain that is still loading fails at its deadline and says to try again."""

    async def never(domain, routing_key):
        await asyncio.Event().wait()

    with running_server(tiny_bert, store.url, default_deadline_seconds=0.1) as server:
        monkeypatch.setattr(server.app.registry, "route", never)
        with pytest.raises(grpc.RpcError) as caught:
            server.rescore("the cat", "a cat", timeout=None)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "it is still loading: try again" in caught.value.details()
