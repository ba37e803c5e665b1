"""lorb_adapters.store.signing: only what a trusted key signed, byte for byte, is taken."""

import json
import shutil
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.asymmetric import ec

from lorb.errors import InvalidAdapter, InvalidInput
from lorb_adapters.store.archive import read_archive, write_archive
from lorb_adapters.store.loading import load_adapter, verified_files
from lorb_adapters.store.signing import SIGNATURE, SigningKey, TrustedKeys, make_key
from lorb_adapters.store.store import Store
from support.adapters.publications import make_publication


@pytest.fixture
def signed(store, publication, keys):
    """The id of a version that was signed when it was published."""
    return store.publish(publication, set_stable=True, signing_key=SigningKey(keys / "ours"))


def folder_of(store, version):
    return Path(store.url) / "voice/versions" / version


def test_what_a_trusted_key_signed_loads(store, signed, keys, store_base):
    """Among several keys too; and without a demand for signatures it loads as any other."""
    both = keys / "both.pub"
    both.write_bytes((keys / "theirs.pub").read_bytes() + b"\n# ours\n" + (keys / "ours.pub").read_bytes())
    for trusted in (TrustedKeys(keys / "ours.pub"), TrustedKeys(both), None):
        assert load_adapter(store, "voice", signed, store_base, trusted).version == signed


def test_an_unsigned_version_is_refused(store, publication, keys):
    """With the command that signs it; signed afterwards it is taken."""
    version = store.publish(publication, set_stable=True)
    trusted, generation = TrustedKeys(keys / "ours.pub"), store.generation()
    with pytest.raises(InvalidAdapter, match="not signed.*lorb-adapters sign"):
        verified_files(store, "voice", version, trusted)
    store.sign("voice", version, SigningKey(keys / "ours"))
    verified_files(store, "voice", version, trusted)
    assert store.generation() > generation


def test_a_foreign_key_is_refused_by_name(store, signed, keys):
    """The message names both keys."""
    trusted = TrustedKeys(keys / "theirs.pub")
    ours, theirs = SigningKey(keys / "ours").key_id, SigningKey(keys / "theirs").key_id
    with pytest.raises(InvalidAdapter, match=f"key '{ours}', which is not one of those trusted: {theirs}"):
        verified_files(store, "voice", signed, trusted)


def test_a_foreign_signature_under_our_name_is_refused(store, signed, keys):
    """The key's id in the file proves nothing."""
    path = folder_of(store, signed) / SIGNATURE
    store.sign("voice", signed, SigningKey(keys / "theirs"))
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"key": SigningKey(keys / "ours").key_id}))
    with pytest.raises(InvalidAdapter, match="is not what key"):
        verified_files(store, "voice", signed, TrustedKeys(keys / "ours.pub"))


@pytest.mark.parametrize(
    "name",
    [
        "adapter_config.json",
        "adapter_model.safetensors",
        "head.safetensors",
        "report.md",
        "report.json",
        "manifest.json",
        SIGNATURE,
    ],
)
def test_no_file_can_be_changed(store, signed, keys, name):
    """One byte of any of them, or the whole file, and the version is refused."""
    path, trusted = folder_of(store, signed) / name, TrustedKeys(keys / "ours.pub")
    content = path.read_bytes()
    for position in (0, len(content) // 2, len(content) - 1):
        changed = bytearray(content)
        changed[position] ^= 1
        path.write_bytes(bytes(changed))
        if name == SIGNATURE and changed.strip() == content.strip():
            continue
        with pytest.raises(InvalidAdapter):
            verified_files(store, "voice", signed, trusted)
    path.unlink()
    with pytest.raises(InvalidAdapter, match="missing|not signed"):
        verified_files(store, "voice", signed, trusted)


def test_a_forged_manifest_that_fits_its_files_is_refused(store, signed, keys, store_base):
    """Whoever can write to the store can make all digests right, but not sign."""
    other = make_publication(store_base, seed=7, ranking=make_publication(store_base, seed=8).ranking)
    forged = store.publish(other, set_stable=True)
    shutil.copy(folder_of(store, signed) / SIGNATURE, folder_of(store, forged) / SIGNATURE)
    verified_files(store, "voice", forged)
    with pytest.raises(InvalidAdapter, match="is not what key"):
        verified_files(store, "voice", forged, TrustedKeys(keys / "ours.pub"))


def test_a_signed_version_cannot_be_moved(store, signed, keys):
    """To another domain: the manifest names the one that it was signed for."""
    elsewhere = Path(store.url) / "radio/versions" / signed
    shutil.copytree(folder_of(store, signed), elsewhere)
    with pytest.raises(InvalidAdapter, match="domain is 'voice'"):
        verified_files(store, "radio", signed, TrustedKeys(keys / "ours.pub"))


def test_a_torn_version_is_not_signed(store, publication, keys):
    """A signature vouches for what is whole."""
    version = store.publish(publication, set_stable=True)
    (folder_of(store, version) / "report.md").write_text("other")
    with pytest.raises(InvalidAdapter, match=r"report\.md is torn"):
        store.sign("voice", version, SigningKey(keys / "ours"))
    assert not (folder_of(store, version) / SIGNATURE).exists()


def test_a_signature_travels_with_its_version(store, signed, keys, tmp_path):
    """Through export and import."""
    manifest, files = verified_files(store, "voice", signed)
    write_archive(tmp_path / "a.tar", manifest, files)
    other = Store(str(tmp_path / "other"))
    other.add(read_archive(tmp_path / "a.tar"), set_stable=True)
    verified_files(other, "voice", signed, TrustedKeys(keys / "ours.pub"))


def test_a_new_key_is_its_owners_alone(tmp_path):
    """And never overwrites another."""
    public, key_id = make_key(tmp_path / "key")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert SigningKey(tmp_path / "key").key_id == key_id
    assert key_id in public.read_text()
    with pytest.raises(InvalidInput, match="File exists"):
        make_key(tmp_path / "key")


def test_keys_that_are_none_are_named(tmp_path, keys):
    """Missing, no PEM, of another kind, the private one in the public one's place, and the other way round."""
    curve = tmp_path / "curve"
    key = ec.generate_private_key(ec.SECP256R1())
    curve.write_bytes(key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption()))
    locked = tmp_path / "locked"
    locked.write_bytes(
        key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.BestAvailableEncryption(b"password"))
    )
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("-----BEGIN PUBLIC KEY-----\nnothing\n-----END PUBLIC KEY-----\n")
    for path, words in [
        (tmp_path / "none", "No such file"),
        (curve, "not an Ed25519 key"),
        (locked, "has a password"),
        (keys / "ours.pub", "no private key"),
    ]:
        with pytest.raises(InvalidInput, match=words):
            SigningKey(path)
    (tmp_path / "empty").write_text("")
    for path, words in [
        (tmp_path / "none", "No such file"),
        (tmp_path / "empty", "no public key"),
        (nonsense, "block 1 is no Ed25519 public key"),
        (keys / "ours", "block 1 is no Ed25519 public key"),
    ]:
        with pytest.raises(InvalidInput, match=words):
            TrustedKeys(path)
