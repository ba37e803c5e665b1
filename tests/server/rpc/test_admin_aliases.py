"""lorb_server.rpc.admin: aliases, canaries and rollbacks over the wire, on real stores."""

import grpc
import pytest

from lorb.v1 import admin_pb2 as pb
from lorb_server.registry.router import is_in_share
from support.servers.admin_calls import break_file, refused_status
from support.servers.serving import selected


def test_an_alias_change_serves_at_once(served, filled):
    """The next call after SetAlias gets the new version, and after Rollback the old one, without loading."""
    second, third = filled.versions("voice")[1:]
    before = selected(served.app.registry, "voice")
    message = pb.SetAliasRequest(domain="voice", alias="stable", version=third)
    answer = served.admin.SetAlias(message)
    assert (answer.previous_version, answer.generation) == (second, filled.generation())
    assert served.rescore("the cat").adapter.version == third
    back = served.admin.Rollback(pb.RollbackRequest(domain="voice"))
    assert (back.version, back.previous_version) == (second, third)
    assert served.rescore("the cat").adapter.version == second
    assert selected(served.app.registry, "voice") is before


def test_a_canary_alias_needs_a_share(served, filled):
    """A canary needs a share, is served by name, and can be removed."""
    third = filled.versions("voice")[2]
    message = pb.SetAliasRequest(domain="voice", alias="canary", version=third)
    assert refused_status(served.admin.SetAlias, message)[0] is grpc.StatusCode.INVALID_ARGUMENT
    served.admin.SetAlias(pb.SetAliasRequest(domain="voice", alias="canary", version=third, share=0.1))
    assert filled.aliases("voice").by_name["canary"].share == 0.1
    assert served.rescore("the cat", domain="voice@canary").adapter.version == third
    served.admin.SetAlias(pb.SetAliasRequest(domain="voice", alias="canary"))
    with pytest.raises(grpc.RpcError) as caught:
        served.rescore("the cat", domain="voice@canary")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_an_alias_is_not_set_to_a_version_that_cannot_serve(served, filled):
    """SetAlias to a broken version fails and leaves the store unchanged."""
    third = filled.versions("voice")[2]
    break_file(filled, "voice", third)
    generation = filled.generation()
    message = pb.SetAliasRequest(domain="voice", alias="stable", version=third)
    assert refused_status(served.admin.SetAlias, message) == (grpc.StatusCode.FAILED_PRECONDITION, "INVALID_ADAPTER")
    assert filled.generation() == generation


def test_a_withdrawn_canary_is_listed_with_the_reason(served, filled):
    """A withdrawn canary is listed with its reason and gets calls again after a refresh."""
    second, third = filled.versions("voice")[1:]
    served.admin.SetAlias(pb.SetAliasRequest(domain="voice", alias="canary", version=third, share=1.0))
    assert served.rescore("the cat", "a cat").adapter.version == third

    async def withdraw():
        registry = served.app.registry
        registry.withdraw_canary((await registry.route("voice", "")).adapter, "the model failed")

    served.do(withdraw)
    info = served.admin.GetAdapter(pb.GetAdapterRequest(domain="voice", version="canary")).adapter
    assert (info.state, info.reason) == (pb.ADAPTER_STATE_REFUSED, "withdrawn: the model failed")
    assert served.rescore("the cat", "a cat").adapter.version == second
    assert served.rescore("the cat", "a cat", domain="voice@canary").adapter.version == third
    served.admin.RefreshRegistry(pb.RefreshRegistryRequest())
    assert served.rescore("the cat", "a cat").adapter.version == third


def test_the_canary_share_splits_callers_by_routing_key(served, filled):
    """A routing key decides the version of its calls; without one, the request id does."""
    second, third = filled.versions("voice")[1:]
    served.admin.SetAlias(pb.SetAliasRequest(domain="voice", alias="canary", version=third, share=0.5))
    for number in range(20):
        key = f"speaker-{number}"
        expected = third if is_in_share("voice", key, 0.5) else second
        assert served.rescore("the cat", "a cat", routing_key=key).adapter.version == expected
        assert served.rescore("the cat", "a cat", request_id=key).adapter.version == expected
