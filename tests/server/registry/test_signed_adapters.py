"""A server with --trusted-keys refuses unsigned, changed and foreign versions by every way that a version can serve."""

from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from lorb.errors import InvalidInput, LorbError
from lorb.v1 import admin_pb2 as pb
from lorb_adapters.base.loader import load_base
from lorb_adapters.store.signing import SigningKey
from lorb_adapters.store.store import Store
from lorb_server.app import serve
from lorb_server.config import ServeConfig
from lorb_server.parts import trusted_keys
from support.adapters.publications import make_publication
from support.servers.serving import WAIT_SECONDS, running_server


@pytest.fixture
def filled(tmp_path, publishing_base, keys):
    """A store of `voice`: a stable version with a trusted signature, then an unsigned, a changed and a foreign one."""
    folder = tmp_path / "store"
    folder.mkdir()
    store = Store(str(folder))
    signers = ("ours", None, "ours", "theirs")
    for seed, signer in enumerate(signers):
        key = SigningKey(keys / signer) if signer else None
        publication = make_publication(publishing_base, "voice", seed=seed)
        store.publish(publication, set_stable=seed == 0, signing_key=key)
    report = folder / "voice/versions" / store.versions("voice")[2] / "report.md"
    report.chmod(0o644)
    report.write_text("another report")
    return store


@pytest.fixture
def trusting(tiny_bert, filled, keys):
    """A server that trusts one key and allows pinned versions."""
    with running_server(
        tiny_bert, filled.url, trusted_keys=str(keys / "ours.pub"), allow_pinned_versions=True, poll_seconds=1000.0
    ) as server:
        yield server


BAD = [(1, "not signed"), (2, "report.md is truncated or changed"), (3, "not one of the trusted keys")]


def listed(server):
    return {info.version: info for info in server.admin.ListAdapters(pb.ListAdaptersRequest()).adapters}


@pytest.mark.parametrize("alias", ["stable", "canary", "shadow"])
@pytest.mark.parametrize(("which", "reason"), BAD)
def test_a_bad_version_is_refused_behind_every_alias(trusting, filled, alias, which, reason):
    """A bad version behind an alias is refused with its reason, and the good version keeps serving."""
    good, bad = filled.versions("voice")[0], filled.versions("voice")[which]
    filled.set_alias("voice", alias, bad, 1.0 if alias == "canary" else None)
    answer = trusting.admin.RefreshRegistry(pb.RefreshRegistryRequest())
    assert bad in [info.version for info in answer.refused]
    info = listed(trusting)[bad]
    assert info.state == pb.ADAPTER_STATE_REFUSED
    assert reason in info.reason
    assert trusting.rescore("the cat", "a cat").adapter.version == good
    assert trusting.sample("lorb_adapter_refused", domain="voice", version=bad) == 1


@pytest.mark.parametrize(("which", "reason"), BAD)
def test_a_bad_version_is_refused_in_set_alias_and_in_pinned_calls(trusting, filled, which, reason):
    """SetAlias to a bad version leaves the store unchanged, and a pinned call to it fails."""
    bad = filled.versions("voice")[which]
    with pytest.raises(grpc.RpcError) as caught:
        trusting.admin.SetAlias(pb.SetAliasRequest(domain="voice", alias="stable", version=bad), timeout=WAIT_SECONDS)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert reason in caught.value.details()
    assert filled.aliases("voice").version("stable") == filled.versions("voice")[0]
    with pytest.raises(grpc.RpcError) as caught:
        trusting.rescore("the cat", domain=f"voice@{bad}")
    assert caught.value.code() in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND)


def test_a_version_signed_later_serves(trusting, filled, keys):
    """A version serves after it has been signed with the trusted key."""
    unsigned = filled.versions("voice")[1]
    filled.sign("voice", unsigned, SigningKey(keys / "ours"))
    filled.set_alias("voice", "stable", unsigned)
    trusting.admin.RefreshRegistry(pb.RefreshRegistryRequest())
    assert trusting.rescore("the cat").adapter.version == unsigned


def test_an_evicted_adapter_is_checked_again_when_it_is_reloaded(tiny_bert, filled, publishing_base, keys):
    """A version whose signature was deleted after its eviction is not loaded again."""
    key = SigningKey(keys / "ours")
    filled.publish(make_publication(publishing_base, "radio", seed=9), set_stable=True, signing_key=key)
    with running_server(
        tiny_bert, filled.url, trusted_keys=str(keys / "ours.pub"), max_adapter_bytes=1, score_cache_bytes=0
    ) as server:
        version = server.rescore("the cat", "a cat").adapter.version
        server.rescore("the cat", "a cat", domain="radio")
        signature = server.app.store.read_files("voice", version)
        assert "manifest.sig" in signature
        (folder_of(filled, version) / "manifest.sig").unlink()
        with pytest.raises(grpc.RpcError) as caught:
            server.rescore("the cat", "a dog", fallback_policy=2)
        assert "not signed" in caught.value.details()


def test_the_base_is_chosen_by_signed_versions(publishing_base, tmp_path, keys):
    """With --trusted-keys, only the base of a signed version is chosen."""
    store = Store(str(tmp_path / "store"))
    key = SigningKey(keys / "ours")
    for domain, signer in (("voice", key), ("radio", None), ("tv", None)):
        base = replace(publishing_base, name=str(tmp_path / ("signed" if signer else "not-signed")))
        store.publish(make_publication(base, domain), set_stable=True, signing_key=signer)
    for trusted, chosen in ((str(keys / "ours.pub"), "/signed"), ("", "/not-signed")):
        with pytest.raises(LorbError, match=chosen):
            serve(ServeConfig(store=store.url, trusted_keys=trusted))


def folder_of(store, version):
    return Path(store.url) / "voice/versions" / version


def test_an_adapter_of_another_base_never_serves(tiny_bert, tiny_roberta, publishing_base, tmp_path, keys):
    """A signed version that was trained on another base is refused."""
    folder = tmp_path / "foreign"
    folder.mkdir()
    store = Store(str(folder))
    publication = make_publication(load_base(str(tiny_roberta)), "voice")
    version = store.publish(publication, set_stable=True, signing_key=SigningKey(keys / "ours"))
    with running_server(tiny_bert, folder, trusted_keys=str(keys / "ours.pub")) as server:
        with pytest.raises(grpc.RpcError) as caught:
            server.rescore("the cat")
        assert caught.value.code() in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND)
        info = listed(server)[version]
        assert info.state == pb.ADAPTER_STATE_REFUSED
        assert "was made for base" in info.reason


def test_a_key_file_without_keys_is_refused(tmp_path):
    """The error names the flag and the file."""
    (tmp_path / "keys").write_text("nothing")
    with pytest.raises(InvalidInput, match="--trusted-keys .*no public key in PEM"):
        trusted_keys(ServeConfig(trusted_keys=str(tmp_path / "keys")))
