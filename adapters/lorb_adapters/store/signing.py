"""Signs manifests with Ed25519 and verifies the signatures. Needs the package `cryptography`.

A signature covers the bytes of the manifest. The manifest holds the sha256 of every other file of the version, the
domain, the version and the base, so a change of any of these is detected. Aliases are not signed.
"""

import base64
import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from lorb.credential_files import CredentialFile
from lorb.errors import InvalidAdapter, InvalidInput
from lorb_adapters.json_files import canonical_json, read_versioned

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE = "manifest.sig"
_SCHEMA_VERSIONS = range(1, 2)
_PURPOSE = b"lorb manifest 1\n"  # precedes the signed bytes: a signature made for another purpose is not valid
_PEM = re.compile(rb"-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----", re.DOTALL)


class SigningKey:
    """A private key.

    Attributes:
        key_id: the name of the key pair in messages and signatures.
    """

    def __init__(self, path: Path) -> None:
        """Raises InvalidInput if the file has no Ed25519 private key, or `cryptography` is not installed."""
        self._key = _private_key(path)
        self.key_id = _key_id(self._key.public_key())

    def sign(self, manifest: bytes) -> bytes:
        """Signs a manifest; returns the content of manifest.sig."""
        signature = base64.b64encode(self._key.sign(_PURPOSE + manifest)).decode()
        return canonical_json({"schema_version": _SCHEMA_VERSIONS[-1], "key": self.key_id, "ed25519": signature})


class TrustedKeys:
    """The public keys whose signatures are accepted."""

    def __init__(self, path: Path) -> None:
        """Raises InvalidInput if the file has no PEM block, or a block that is not an Ed25519 public key."""
        self._keys = {_key_id(key): key for key in _public_keys(path)}

    def check(self, manifest: bytes, signature: bytes | None) -> None:
        """Raises InvalidAdapter unless one of the keys signed `manifest`.

        signature: the content of manifest.sig; None if there is no such file.
        """
        from cryptography.exceptions import InvalidSignature

        if signature is None:
            raise InvalidAdapter(
                f"it is not signed ({SIGNATURE} is missing), and only signed versions are accepted: "
                "sign it with 'lorb-adapters sign'",
                field=SIGNATURE,
            )
        file = read_versioned(signature, _SignatureFile, _SCHEMA_VERSIONS, SIGNATURE, InvalidAdapter)
        key = self._keys.get(file.key)
        if key is None:
            raise InvalidAdapter(
                f"it is signed with key {file.key[:80]!r}, which is not one of the trusted keys: "
                f"{', '.join(sorted(self._keys))}",
                field=SIGNATURE,
            )
        try:
            key.verify(base64.b64decode(file.ed25519, validate=True), _PURPOSE + manifest)
        except (InvalidSignature, ValueError):
            raise InvalidAdapter(
                f"manifest.json is not what key {file.key} signed: either the manifest or {SIGNATURE} was changed",
                field=SIGNATURE,
            ) from None


def create_key_pair(path: Path) -> tuple[Path, str]:
    """Writes a new private key to `path`, readable by its owner only, and the public key to `path` with ".pub" added.

    Returns (the public key's path, the key's id). Raises InvalidInput if one of the files exists or cannot be written.
    If the public key cannot be written, the new private key is deleted.
    """
    _check_installed()
    from cryptography.hazmat.primitives import serialization as pem
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    public = path.with_name(f"{path.name}.pub")
    key_id = _key_id(key.public_key())
    _write_new(path, key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption()), 0o600)
    content = key.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)
    try:
        _write_new(public, f"# lorb key {key_id}\n".encode() + content, 0o644)
    except InvalidInput:
        path.unlink()  # otherwise the next attempt would fail, because the private key's file exists
        raise
    return public, key_id


def manifest_sha256(manifest: bytes) -> str:
    """Returns the sha256 of a manifest's bytes, in hex. A signer compares it with the value shown at publication."""
    return hashlib.sha256(manifest).hexdigest()


def check_manifest_sha256(manifest: bytes, expected: str) -> None:
    """Raises InvalidAdapter if the sha256 of a manifest's bytes is not `expected`, in hex."""
    actual = manifest_sha256(manifest)
    if actual != expected.lower():
        raise InvalidAdapter(
            f"not signed: the sha256 of manifest.json is {actual}, not {expected[:80]!r}: "
            "this manifest is not the published one",
            field="manifest_sha256",
        )


class _SignatureFile(Struct):
    key: str
    ed25519: str  # base64


def _private_key(path: Path) -> "Ed25519PrivateKey":
    _check_installed()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(CredentialFile(path, "signing_key").read(from_pipe=True), password=None)
    except TypeError:
        raise InvalidInput(f"{path}: the key has a password: store it without one", field="signing_key") from None
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidInput(f"{path}: it has no private key in PEM", field="signing_key") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidInput(
            f"{path}: not an Ed25519 key: create one with 'lorb-adapters keygen' or "
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
    for number, block in enumerate(_PEM.findall(CredentialFile(path, "trusted_keys").read()), start=1):
        try:
            key = load_pem_public_key(block)
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise InvalidInput(f"{path}: PEM block {number} is not an Ed25519 public key", field="trusted_keys")
        keys.append(key)
    if not keys:
        raise InvalidInput(f"{path}: it has no public key in PEM", field="trusted_keys")
    return keys


def _key_id(key: "Ed25519PublicKey") -> str:
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


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
