"""lorb_adapters.store.signing, and loading with trusted keys."""

import json
import os
import shutil
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.asymmetric import ec

from lorb.errors import InvalidAdapter, InvalidInput
from lorb_adapters.store.archive import read_archive, write_archive
from lorb_adapters.store.signing import SIGNATURE, SigningKey, TrustedKeys, create_key_pair
from lorb_adapters.store.store import Store
from lorb_adapters.store.verified_loading import load_adapter, read_verified_files
from support.adapters.publications import make_publication


@pytest.fixture
def signed(store, publication, keys):
    """The id of a version that was signed when it was published."""
    return store.publish(publication, set_stable=True, signing_key=SigningKey(keys / "ours"))


def folder_of(store, version):
    return Path(store.url) / "voice/versions" / version


def test_a_version_signed_by_a_trusted_key_loads(store, signed, keys, store_base):
    """A signed version loads with its key, with a file of several keys, and without trusted keys."""
    both = keys / "both.pub"
    both.write_bytes((keys / "theirs.pub").read_bytes() + b"\n# ours\n" + (keys / "ours.pub").read_bytes())
    for trusted in (TrustedKeys(keys / "ours.pub"), TrustedKeys(both), None):
        assert load_adapter(store, "voice", signed, store_base, trusted).version == signed


def test_an_unsigned_version_is_refused(store, publication, keys):
    """An unsigned version is refused with the command that signs it, and accepted after signing."""
    version = store.publish(publication, set_stable=True)
    trusted, generation = TrustedKeys(keys / "ours.pub"), store.generation()
    with pytest.raises(InvalidAdapter, match="not signed.*lorb-adapters sign"):
        read_verified_files(store, "voice", version, trusted)
    store.sign("voice", version, SigningKey(keys / "ours"))
    read_verified_files(store, "voice", version, trusted)
    assert store.generation() > generation


def test_an_untrusted_key_is_refused_by_name(store, signed, keys):
    """A signature by an untrusted key is refused with the ids of both keys."""
    trusted = TrustedKeys(keys / "theirs.pub")
    ours, theirs = SigningKey(keys / "ours").key_id, SigningKey(keys / "theirs").key_id
    with pytest.raises(InvalidAdapter, match=f"key '{ours}', which is not one of the trusted keys: {theirs}"):
        read_verified_files(store, "voice", signed, trusted)


def test_a_signature_with_a_false_key_id_is_refused(store, signed, keys):
    """A signature by another key under a trusted key's id is refused."""
    path = folder_of(store, signed) / SIGNATURE
    store.sign("voice", signed, SigningKey(keys / "theirs"))
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"key": SigningKey(keys / "ours").key_id}))
    with pytest.raises(InvalidAdapter, match="is not what key"):
        read_verified_files(store, "voice", signed, TrustedKeys(keys / "ours.pub"))


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
    """A signed version with one byte of any file changed, or a file removed, is refused."""
    path, trusted = folder_of(store, signed) / name, TrustedKeys(keys / "ours.pub")
    content = path.read_bytes()
    for position in (0, len(content) // 2, len(content) - 1):
        changed = bytearray(content)
        changed[position] ^= 1
        path.write_bytes(bytes(changed))
        if name == SIGNATURE and changed.strip() == content.strip():
            continue
        with pytest.raises(InvalidAdapter):
            read_verified_files(store, "voice", signed, trusted)
    path.unlink()
    with pytest.raises(InvalidAdapter, match="missing|not signed"):
        read_verified_files(store, "voice", signed, trusted)


def test_a_forged_manifest_that_fits_its_files_is_refused(store, signed, keys, store_base):
    """A version with correct digests and another version's signature is refused with trusted keys."""
    other = make_publication(store_base, seed=7, ranking=make_publication(store_base, seed=8).ranking)
    forged = store.publish(other, set_stable=True)
    shutil.copy(folder_of(store, signed) / SIGNATURE, folder_of(store, forged) / SIGNATURE)
    read_verified_files(store, "voice", forged)
    with pytest.raises(InvalidAdapter, match="is not what key"):
        read_verified_files(store, "voice", forged, TrustedKeys(keys / "ours.pub"))


def test_a_signed_version_cannot_be_moved_to_another_domain(store, signed, keys):
    """A signed version copied into another domain is refused."""
    elsewhere = Path(store.url) / "radio/versions" / signed
    shutil.copytree(folder_of(store, signed), elsewhere)
    with pytest.raises(InvalidAdapter, match="domain is 'voice'"):
        read_verified_files(store, "radio", signed, TrustedKeys(keys / "ours.pub"))


def test_a_changed_version_is_not_signed(store, publication, keys):
    """A version with a changed file cannot be signed."""
    version = store.publish(publication, set_stable=True)
    (folder_of(store, version) / "report.md").write_text("other")
    with pytest.raises(InvalidAdapter, match=r"report\.md is truncated or changed"):
        store.sign("voice", version, SigningKey(keys / "ours"))
    assert not (folder_of(store, version) / SIGNATURE).exists()


def test_a_signature_travels_with_its_version(store, signed, keys, tmp_path):
    """Export and import keep a version's signature."""
    manifest, files = read_verified_files(store, "voice", signed)
    write_archive(tmp_path / "a.tar", manifest, files)
    other = Store(str(tmp_path / "other"))
    other.add(read_archive(tmp_path / "a.tar"), set_stable=True)
    read_verified_files(other, "voice", signed, TrustedKeys(keys / "ours.pub"))


def test_a_new_private_key_is_readable_by_its_owner_only(tmp_path):
    """A new private key has mode 600, and an existing file is never overwritten."""
    public, key_id = create_key_pair(tmp_path / "key")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert SigningKey(tmp_path / "key").key_id == key_id
    assert key_id in public.read_text()
    with pytest.raises(InvalidInput, match="File exists"):
        create_key_pair(tmp_path / "key")


def test_an_invalid_key_file_is_named(tmp_path, keys):
    """A key file that is missing, not PEM, of another kind or the wrong half of a pair is refused with the reason."""
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
        (keys / "ours.pub", "has no private key"),
    ]:
        with pytest.raises(InvalidInput, match=words):
            SigningKey(path)
    (tmp_path / "empty").write_text("")
    for path, words in [
        (tmp_path / "none", "No such file"),
        (tmp_path / "empty", "has no public key"),
        (nonsense, "block 1 is not an Ed25519 public key"),
        (keys / "ours", "block 1 is not an Ed25519 public key"),
    ]:
        with pytest.raises(InvalidInput, match=words):
            TrustedKeys(path)


def test_a_public_key_in_the_way_leaves_no_private_key(tmp_path):
    """If KEY.pub exists, no private key stays at KEY, so that the command works once KEY.pub is gone."""
    public = tmp_path / "key.pub"
    public.write_text("another")
    with pytest.raises(InvalidInput, match=r"key\.pub cannot be written: File exists"):
        create_key_pair(tmp_path / "key")
    assert list(tmp_path.iterdir()) == [public]
    assert public.read_text() == "another"


def test_trusted_keys_in_a_named_pipe_are_refused(tmp_path):
    """A named pipe in place of the trusted keys is refused at once: a server would wait for it for ever."""
    os.mkfifo(tmp_path / "keys")
    with pytest.raises(InvalidInput, match="not a regular file"):
        TrustedKeys(tmp_path / "keys")
