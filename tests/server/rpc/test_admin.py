"""The operator's service, over the wire, on real stores."""

import json
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from lorb.v1 import admin_pb2 as pb
from lorb_adapters.store.store import Store
from lorb_server.registry.router import is_in_share
from support.adapters.publications import make_publication
from support.servers.serving import WAIT_SECONDS, running_server, selected


@pytest.fixture
def filled(tmp_path, publishing_base):
    """A store: voice with three versions, the second stable; radio with one that no alias points at."""
    folder = tmp_path / "filled"
    folder.mkdir()
    store = Store(str(folder))
    for seed in (1, 2, 3):
        store.publish(make_publication(publishing_base, "voice", seed=seed), set_stable=seed < 3)
    store.publish(make_publication(publishing_base, "radio", seed=4), set_stable=False)
    return store


@pytest.fixture
def served(filled, tiny_bert):
    """A server of it that looks at the store only when asked to."""
    with running_server(tiny_bert, filled.url, poll_seconds=1000.0) as server:
        yield server


def refused(call, message):
    """The code and reason that a call ends with."""
    with pytest.raises(grpc.RpcError) as caught:
        call(message, timeout=WAIT_SECONDS)
    status = rpc_status.from_call(caught.value)
    info = ErrorInfo()
    assert any(packed.Unpack(info) for packed in status.details)
    return caught.value.code(), info.reason


def break_file(store, domain, version, name="head.safetensors"):
    """Changes one byte of a published file."""
    path = Path(store.url) / domain / "versions" / version / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(content))


def test_versions_are_listed_with_their_state(served, filled):
    """The stable version and the one before are loaded, the others there to be asked for."""
    answer = served.admin.ListAdapters(pb.ListAdaptersRequest())
    states = [
        (info.domain, int(info.version.partition("-")[0]), info.state, list(info.aliases)) for info in answer.adapters
    ]
    assert states == [
        ("radio", 1, pb.ADAPTER_STATE_AVAILABLE, []),
        ("voice", 1, pb.ADAPTER_STATE_READY, []),
        ("voice", 2, pb.ADAPTER_STATE_READY, ["stable"]),
        ("voice", 3, pb.ADAPTER_STATE_AVAILABLE, []),
    ]
    assert answer.generation == filled.generation()
    for info in answer.adapters:
        assert info.digest == filled.manifest(info.domain, info.version).weights_digest
        assert info.created_time.seconds > 0
        assert (info.size_bytes > 0) == (info.state == pb.ADAPTER_STATE_READY)


def test_pages_cover_everything_once(served, filled):
    """Page by page gives the same as all at once, also where versions go between two pages."""
    everything = served.admin.ListAdapters(pb.ListAdaptersRequest()).adapters
    pages, token = [], ""
    while not pages or token:
        answer = served.admin.ListAdapters(pb.ListAdaptersRequest(page_size=1, page_token=token))
        pages += answer.adapters
        token = answer.next_page_token
    assert pages == list(everything)
    only = served.admin.ListAdapters(pb.ListAdaptersRequest(domain="voice", page_size=2))
    assert [info.domain for info in only.adapters] == ["voice", "voice"]
    filled.remove("radio", filled.versions("radio")[0])
    served.admin.RefreshRegistry(pb.RefreshRegistryRequest())
    after = served.admin.ListAdapters(pb.ListAdaptersRequest(page_size=2, page_token=only.next_page_token))
    assert [info.version for info in after.adapters] == filled.versions("voice")[2:]


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("ListAdapters", pb.ListAdaptersRequest(page_size=-1)),
        ("ListAdapters", pb.ListAdaptersRequest(page_token="what")),
        ("ListAdapters", pb.ListAdaptersRequest(domain="../x")),
        ("GetAdapter", pb.GetAdapterRequest(domain="")),
        ("GetAdapter", pb.GetAdapterRequest(domain="voice", version="../x")),
        ("SetAlias", pb.SetAliasRequest(domain="voice", alias="9lives", version="1-0123456789ab")),
        ("SetAlias", pb.SetAliasRequest(domain="voice", alias="stable", version="latest")),
        ("SetAlias", pb.SetAliasRequest(domain="voice", alias="stable")),
        ("Rollback", pb.RollbackRequest(domain="/etc")),
        ("UnloadAdapter", pb.UnloadAdapterRequest(domain="voice", version="1")),
    ],
)
def test_bad_requests_are_invalid_arguments(server, method, message):
    """Names, versions and tokens are checked before anything is done."""
    assert refused(getattr(server.admin, method), message) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_INPUT",
    )


@pytest.mark.parametrize(
    ("method", "message", "reason"),
    [
        ("GetAdapter", pb.GetAdapterRequest(domain="tv"), "UNKNOWN_DOMAIN"),
        ("GetAdapter", pb.GetAdapterRequest(domain="voice", version="9-0123456789ab"), "UNKNOWN_VERSION"),
        ("GetAdapter", pb.GetAdapterRequest(domain="voice", version="canary"), "UNKNOWN_VERSION"),
        (
            "SetAlias",
            pb.SetAliasRequest(domain="voice", alias="stable", version="9-0123456789ab"),
            "UNKNOWN_VERSION",
        ),
        ("SetAlias", pb.SetAliasRequest(domain="voice", alias="canary"), "UNKNOWN_VERSION"),
        ("Rollback", pb.RollbackRequest(domain="tv"), "UNKNOWN_DOMAIN"),
        ("UnloadAdapter", pb.UnloadAdapterRequest(domain="tv", version="1-0123456789ab"), "UNKNOWN_DOMAIN"),
    ],
)
def test_what_is_not_there_is_not_found(server, method, message, reason):
    """Domains, versions and aliases alike."""
    assert refused(getattr(server.admin, method), message) == (grpc.StatusCode.NOT_FOUND, reason)


def test_a_version_is_told_in_full_without_its_texts(served, filled):
    """The manifest comes along, the golden lists' words do not."""
    answer = served.admin.GetAdapter(pb.GetAdapterRequest(domain="voice"))
    stable = filled.versions("voice")[1]
    assert answer.adapter.version == stable
    manifest = json.loads(answer.manifest_json)
    assert manifest["version"] == stable
    [golden] = manifest["golden_lists"]
    assert golden["num_hypotheses"] == 4
    assert "cat" not in answer.manifest_json
    assert served.admin.GetAdapter(pb.GetAdapterRequest(domain="voice", version=stable)) == answer


def test_setting_an_alias_serves_at_once(served, filled):
    """The store has it, and so does the next call; a rollback takes it back, without loading."""
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


def test_a_canary_alias_takes_a_share(served, filled):
    """It needs one, is served by name, and can be taken away."""
    third = filled.versions("voice")[2]
    message = pb.SetAliasRequest(domain="voice", alias="canary", version=third)
    assert refused(served.admin.SetAlias, message)[0] is grpc.StatusCode.INVALID_ARGUMENT
    served.admin.SetAlias(pb.SetAliasRequest(domain="voice", alias="canary", version=third, share=0.1))
    assert filled.aliases("voice").by_name["canary"].share == 0.1
    assert served.rescore("the cat", domain="voice@canary").adapter.version == third
    served.admin.SetAlias(pb.SetAliasRequest(domain="voice", alias="canary"))
    with pytest.raises(grpc.RpcError) as caught:
        served.rescore("the cat", domain="voice@canary")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_an_alias_is_not_set_to_what_cannot_serve(served, filled):
    """A broken version is refused before the store is touched."""
    third = filled.versions("voice")[2]
    break_file(filled, "voice", third)
    generation = filled.generation()
    message = pb.SetAliasRequest(domain="voice", alias="stable", version=third)
    assert refused(served.admin.SetAlias, message) == (grpc.StatusCode.FAILED_PRECONDITION, "INVALID_ADAPTER")
    assert filled.generation() == generation


def test_a_refresh_tells_what_it_found(served, filled):
    """Loaded and refused versions by name, with the reason; refused ones are tried again on the next."""
    third, [radio] = filled.versions("voice")[2], filled.versions("radio")
    break_file(filled, "voice", third)
    filled.set_alias("voice", "stable", third)
    filled.set_alias("radio", "stable", radio)
    for _ in range(2):
        answer = served.admin.RefreshRegistry(pb.RefreshRegistryRequest())
        [bad] = answer.refused
        assert (bad.domain, bad.version, bad.state) == ("voice", third, pb.ADAPTER_STATE_REFUSED)
        assert "head.safetensors" in bad.reason
        assert list(bad.aliases) == ["stable"]
    assert answer.generation == filled.generation()
    assert served.rescore("the cat", domain="radio").adapter.version == radio
    assert served.sample("lorb_adapter_refused", domain="voice", version=third) == 1
    assert served.sample("lorb_adapter_loads_total", domain="voice", result="refused") == 2


def test_unloading_takes_a_version_off(served, filled):
    """Not the one that serves; the one before, until a refresh asks for it again."""
    first, second, _ = filled.versions("voice")
    assert refused(served.admin.UnloadAdapter, pb.UnloadAdapterRequest(domain="voice", version=second))[0] is (
        grpc.StatusCode.INVALID_ARGUMENT
    )
    served.admin.UnloadAdapter(pb.UnloadAdapterRequest(domain="voice", version=first))
    listed = served.admin.ListAdapters(pb.ListAdaptersRequest(domain="voice")).adapters[0]
    assert (listed.version, listed.state) == (first, pb.ADAPTER_STATE_AVAILABLE)
    served.admin.RefreshRegistry(pb.RefreshRegistryRequest())
    assert served.admin.ListAdapters(pb.ListAdaptersRequest(domain="voice")).adapters[0].state == pb.ADAPTER_STATE_READY


def test_a_withdrawn_canary_is_listed_with_the_reason(served, filled):
    """It gets no calls but those that name it, until a refresh gives it another chance."""
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


def test_a_canarys_share_splits_callers_by_routing_key(served, filled):
    """Each stays on its side, which the domain's name and its key decide; the request id stands in for the key."""
    second, third = filled.versions("voice")[1:]
    served.admin.SetAlias(pb.SetAliasRequest(domain="voice", alias="canary", version=third, share=0.5))
    for number in range(20):
        key = f"speaker-{number}"
        expected = third if is_in_share("voice", key, 0.5) else second
        assert served.rescore("the cat", "a cat", routing_key=key).adapter.version == expected
        assert served.rescore("the cat", "a cat", request_id=key).adapter.version == expected


def test_cold_versions_are_available_and_take_no_memory(filled, tiny_bert):
    """Until a call loads one; what then has to leave for another is ready still, with no bytes on the device."""
    with running_server(tiny_bert, filled.url, poll_seconds=1000.0, preload=False, max_adapter_bytes=1) as server:

        def states():
            listed = server.admin.ListAdapters(pb.ListAdaptersRequest(domain="voice")).adapters
            return [(info.state, info.size_bytes > 0) for info in listed]

        available, ready = pb.ADAPTER_STATE_AVAILABLE, pb.ADAPTER_STATE_READY
        assert states() == [(available, False)] * 3
        server.rescore("the cat", "a cat")
        assert states() == [(available, False), (ready, True), (available, False)]
        third = filled.versions("voice")[2]
        server.admin.SetAlias(pb.SetAliasRequest(domain="voice", alias="canary", version=third, share=0.1))
        assert states() == [(available, False), (ready, False), (ready, True)]
        assert server.rescore("the dog", "a dog", domain="voice@stable").adapter.version == filled.versions("voice")[1]
        assert states() == [(available, False), (ready, True), (ready, False)]
