"""lorb_server.rpc.errors: errors name no path or address of the server to callers and operators."""

import shutil
from pathlib import Path

import grpc
import pytest

from lorb.errors import InvalidInput, StoreUnavailable
from lorb.v1 import admin_pb2 as pb
from lorb_server.rpc import errors
from lorb_server.rpc.errors import for_caller, hide_places, without_places
from support.servers.serving import WAIT_SECONDS, running_server


@pytest.mark.parametrize(
    ("message", "cut"),
    [
        ("the store /srv/lorb/store does not exist", "the store store does not exist"),
        ("/srv/store/voice is a symbolic link; remove it", "voice is a symbolic link; remove it"),
        ("another writer has held /srv/store/.lock for 30 s", "another writer has held .lock for 30 s"),
        ("the loaded base is ./bases/mine (0123), not ~/bases/x", "the loaded base is mine (0123), not x"),
        ("s3://bucket/a: voice/aliases.json cannot be reached", "(address): voice/aliases.json cannot be reached"),
        ('no connection to "http://10.0.0.1:9000/b?x=1".', 'no connection to "(address)".'),
        ("voice/3-0123456789ab/lora.safetensors is missing", "voice/3-0123456789ab/lora.safetensors is missing"),
        ("made for google/bert_uncased, and/or 5/6 of it", "made for google/bert_uncased, and/or 5/6 of it"),
        ("S3://Bucket/a cannot be reached", "(address) cannot be reached"),
        ("no connection to host minio.internal:9000 ssl", "no connection to host (address) ssl"),
        ("connect call failed ('10.0.0.1', 9000), [fd00::1]:90", "connect call failed ('(address)', 9000), (address)"),
        ("the rollback of 2026-11-30T21:17:15 at 21:17, 3:1", "the rollback of 2026-11-30T21:17:15 at 21:17, 3:1"),
    ],
)
def test_paths_and_addresses_are_left_out(message, cut):
    """A path is cut to its last part, a URL is left out, and names inside the store stay."""
    assert without_places(message) == cut


@pytest.mark.parametrize(
    ("place", "message", "cut"),
    [
        (
            "/srv/John's store (old)",
            "the store /srv/John's store (old) is gone.",
            "the store John's store (old) is gone.",
        ),
        ("/srv/a [1]; b/", "another writer has held /srv/a [1]; b/.lock", "another writer has held .lock"),
        ("/srv/my store", "/srv/my store/voice/aliases.json, /srv/my store.", "voice/aliases.json, my store."),
        ("~/my, store", f"{Path.home()}/my, store is not a folder", "my, store is not a folder"),
        ("./own store", f"no {Path.cwd()}/own store, ./own store here", "no own store, own store here"),
        ("file:///srv/one two", "file:///srv/one two: /srv/one two/voice", "(address): voice"),
        (
            "S3://bucket/my store",
            "S3://bucket/my store: voice/a; bucket/my store/voice/b",
            "(address): voice/a; voice/b",
        ),
    ],
)
def test_places_of_this_server_are_left_out_whatever_their_characters(monkeypatch, place, message, cut):
    """The configured store and base are cut although their names have blanks, quotes or brackets."""
    monkeypatch.setattr(errors, "_own_places", set())
    hide_places(place)
    assert without_places(message) == cut


def test_only_errors_of_the_server_are_cut():
    """A caller's own words come back unchanged; the error's type and field stay."""
    own = InvalidInput("domain '/a/b' is not a name", field="domain")
    assert for_caller(own) is own
    cut = for_caller(StoreUnavailable("/srv/store/x cannot be read", field="store"))
    assert (type(cut), cut.message, cut.field) == (StoreUnavailable, "x cannot be read", "store")


@pytest.mark.parametrize("front_processes", [0, 1], ids=["one process", "fronts"])
def test_a_store_that_is_gone_is_not_named(tiny_bert, filled, front_processes, tmp_path):
    """After the store's folder is gone, neither a caller nor an operator reads its path in an error."""
    settings = {"front_processes": front_processes, "preload": False, "poll_seconds": 1000.0}
    folder = tmp_path / "John's stores (old, new)" / "all"
    shutil.copytree(filled.url, folder)
    with running_server(tiny_bert, str(folder), **settings) as server:
        shutil.move(folder, tmp_path / "elsewhere")
        server.do(server.app.registry.try_refresh)
        ended = []
        for call, request in [
            (server.admin.RefreshRegistry, pb.RefreshRegistryRequest()),
            (server.admin.GetAdapter, pb.GetAdapterRequest(domain="voice")),
            (server.admin.Rollback, pb.RollbackRequest(domain="voice")),
        ]:
            with pytest.raises(grpc.RpcError) as caught:
                call(request, timeout=WAIT_SECONDS)
            ended.append(caught.value)
        with pytest.raises(grpc.RpcError) as caught:
            server.rescore("the cat", "a cat")
        for error in [*ended, caught.value]:
            assert "/" not in error.details(), error.details()
            assert "John" not in error.details(), error.details()
            assert str(folder).encode() not in b"".join(v for _, v in error.trailing_metadata() if isinstance(v, bytes))
