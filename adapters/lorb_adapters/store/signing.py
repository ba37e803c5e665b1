"""Ed25519 signatures of manifests: who vouches for a version. Needs the package `cryptography`, and only this does.

What is signed is the manifest's bytes, and the manifest has the sha256 of every other file of its version, the domain,
the version and the base: nothing of it can be changed or moved elsewhere. Aliases are not signed.
"""

import base64
import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from lorb.errors import InvalidAdapter, InvalidInput
from lorb_adapters.json_fields import JsonFields, canonical_json

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE = "manifest.sig"
_SCHEMA_VERSION = 1
_PURPOSE = b"lorb manifest 1\n"  # in front of what is signed: no signature made for something else fits
_PEM = re.compile(rb"-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----", re.DOTALL)


class SigningKey:
    """A private key. Its `key_id` is what messages and signatures call it by."""

    def __init__(self, path: Path) -> None:
        """Raises InvalidInput where the file holds no Ed25519 private key, or `cryptography` is missing."""
        self._key = _private_key(path)
        self.key_id = _key_id(self._key.public_key())

    def sign(self, manifest: bytes) -> bytes:
        """The content of SIGNATURE that goes with a manifest's bytes."""
        signature = base64.b64encode(self._key.sign(_PURPOSE + manifest)).decode()
        return canonical_json({"schema_version": _SCHEMA_VERSION, "key": self.key_id, "ed25519": signature})


class TrustedKeys:
    """The public keys of those whose versions are taken."""

    def __init__(self, path: Path) -> None:
        """Raises InvalidInput where the file holds no Ed25519 public key, or anything else in PEM."""
        self._keys = {_key_id(key): key for key in _public_keys(path)}

    def check(self, manifest: bytes, signature: bytes | None) -> None:
        """Raises InvalidAdapter unless one of the keys signed these bytes; `signature` is SIGNATURE's content."""
        from cryptography.exceptions import InvalidSignature

        if signature is None:
            raise InvalidAdapter(
                f"it is not signed ({SIGNATURE} is missing), and only signed versions are taken: "
                "'lorb-adapters sign' signs it",
                field=SIGNATURE,
            )
        fields = JsonFields.parse(signature, SIGNATURE, InvalidAdapter)
        if fields.integer("schema_version") != _SCHEMA_VERSION:
            fields.fail("schema_version", f"is not {_SCHEMA_VERSION}: another LoRB wrote it")
        key_id = fields.text("key")
        key = self._keys.get(key_id)
        if key is None:
            raise InvalidAdapter(
                f"it is signed with key {key_id[:80]!r}, which is not one of those trusted: "
                f"{', '.join(sorted(self._keys))}",
                field=SIGNATURE,
            )
        try:
            key.verify(base64.b64decode(fields.text("ed25519"), validate=True), _PURPOSE + manifest)
        except (InvalidSignature, ValueError):
            raise InvalidAdapter(
                f"manifest.json is not what key {key_id} signed: one of it and {SIGNATURE} was changed",
                field=SIGNATURE,
            ) from None


def make_key(path: Path) -> tuple[Path, str]:
    """Writes a new private key to `path`, for its owner alone, and the public one beside it, with ".pub" added.

    Returns the public key's path and its id. Raises InvalidInput where one of the files is there, or cannot be written.
    """
    _check_installed()
    from cryptography.hazmat.primitives import serialization as pem
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    public = path.with_name(f"{path.name}.pub")
    key_id = _key_id(key.public_key())
    _write_new(path, key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption()), 0o600)
    content = key.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)
    _write_new(public, f"# lorb key {key_id}\n".encode() + content, 0o644)
    return public, key_id


def manifest_sha256(manifest: bytes) -> str:
    """By which a publisher knows what was published again, in hex."""
    return hashlib.sha256(manifest).hexdigest()


def check_sha256(manifest: bytes, expected: str) -> None:
    """Raises InvalidAdapter where a manifest's bytes have another sha256 than `expected`, in hex."""
    found = manifest_sha256(manifest)
    if found != expected.lower():
        raise InvalidAdapter(
            f"not signed: the sha256 of manifest.json is {found}, not {expected[:80]!r}: it is not what was published",
            field="manifest_sha256",
        )


def _private_key(path: Path) -> "Ed25519PrivateKey":
    _check_installed()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(_content(path), password=None)
    except TypeError:
        raise InvalidInput(f"{path}: the key has a password: store it without", field="signing_key") from None
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidInput(f"{path}: no private key in PEM", field="signing_key") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidInput(
            f"{path}: not an Ed25519 key: 'lorb-adapters keygen' makes one, as does "
            "'openssl genpkey -algorithm ed25519'",
            field="signing_key",
        )
    return key


def _public_keys(path: Path) -> "list[Ed25519PublicKey]":
    _check_installed()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    keys: list[Ed25519PublicKey] = []
    for number, block in enumerate(_PEM.findall(_content(path)), start=1):
        try:
            key = load_pem_public_key(block)
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise InvalidInput(f"{path}: PEM block {number} is no Ed25519 public key", field="trusted_keys")
        keys.append(key)
    if not keys:
        raise InvalidInput(f"{path}: no public key in PEM", field="trusted_keys")
    return keys


def _key_id(key: "Ed25519PublicKey") -> str:
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}", field=str(path)) from error


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
            file.write(content)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}", field="out") from error


def _check_installed() -> None:
    try:
        import cryptography  # noqa: F401
    except ModuleNotFoundError:
        raise InvalidInput("signatures need the package cryptography: pip install 'lorb[signing]'") from None
