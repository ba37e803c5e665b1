"""lorb_server.rpc.admin: versions listed, refreshed and unloaded over the wire, on real stores."""

import json

import grpc
import pytest

from lorb.v1 import admin_pb2 as pb
from support.servers.admin_calls import break_file, refused_status
from support.servers.serving import running_server


def test_versions_are_listed_with_their_state(served, filled):
    """The stable version and the previous one are READY, the others AVAILABLE."""
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


def test_pages_cover_every_version_once(served, filled):
    """All pages together list every version once, also if versions are removed between two pages."""
    all_versions = served.admin.ListAdapters(pb.ListAdaptersRequest()).adapters
    pages, token = [], ""
    while not pages or token:
        answer = served.admin.ListAdapters(pb.ListAdaptersRequest(page_size=1, page_token=token))
        pages += answer.adapters
        token = answer.next_page_token
    assert pages == list(all_versions)
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
    """Invalid names, versions and page tokens are INVALID_ARGUMENT."""
    assert refused_status(getattr(server.admin, method), message) == (
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
def test_unknown_domains_versions_and_aliases_are_not_found(server, method, message, reason):
    """Unknown domains, versions and aliases are NOT_FOUND with a reason."""
    assert refused_status(getattr(server.admin, method), message) == (grpc.StatusCode.NOT_FOUND, reason)


def test_get_adapter_returns_the_manifest_without_texts(served, filled):
    """GetAdapter returns the manifest without the texts of the golden lists."""
    answer = served.admin.GetAdapter(pb.GetAdapterRequest(domain="voice"))
    stable = filled.versions("voice")[1]
    assert answer.adapter.version == stable
    manifest = json.loads(answer.manifest_json)
    assert manifest["version"] == stable
    [golden] = manifest["golden_lists"]
    assert golden["num_hypotheses"] == 4
    assert "cat" not in answer.manifest_json
    assert served.admin.GetAdapter(pb.GetAdapterRequest(domain="voice", version=stable)) == answer


def test_a_refresh_returns_loaded_and_refused_versions(served, filled):
    """RefreshRegistry returns loaded and refused versions with the reason, and verifies refused ones again."""
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


def test_unload_drops_a_version_that_does_not_serve(served, filled):
    """UnloadAdapter refuses the stable version and drops the previous one until a refresh."""
    first, second, _ = filled.versions("voice")
    assert refused_status(served.admin.UnloadAdapter, pb.UnloadAdapterRequest(domain="voice", version=second))[0] is (
        grpc.StatusCode.INVALID_ARGUMENT
    )
    served.admin.UnloadAdapter(pb.UnloadAdapterRequest(domain="voice", version=first))
    listed = served.admin.ListAdapters(pb.ListAdaptersRequest(domain="voice")).adapters[0]
    assert (listed.version, listed.state) == (first, pb.ADAPTER_STATE_AVAILABLE)
    served.admin.RefreshRegistry(pb.RefreshRegistryRequest())
    assert served.admin.ListAdapters(pb.ListAdaptersRequest(domain="voice")).adapters[0].state == pb.ADAPTER_STATE_READY


def test_cold_and_evicted_versions_take_no_memory(filled, tiny_bert):
    """A cold version is AVAILABLE, an evicted one READY, both with size 0."""
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
