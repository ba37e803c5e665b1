"""Certificate authorities, certificates and keys for tests."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAMES = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])


def _named(common_name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _write_key(key, path, encryption=serialization.NoEncryption()):  # noqa: B008 - NoEncryption has no state
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
    return path


def locked_key(path: Path) -> Path:
    """A file with an encrypted private key."""
    return _write_key(ec.generate_private_key(ec.SECP256R1()), path, serialization.BestAvailableEncryption(b"secret"))


class Authority:
    """A certificate authority with its own key.

    Attributes:
        path: the file of its certificate.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        certificate = self._signed(self._name, self._key.public_key(), -1, 30, None)
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(certificate)

    def issue(
        self, common_name: str, *, days: int = 30, file: str = "", names: x509.SubjectAlternativeName = NAMES
    ) -> tuple[Path, Path]:
        """The files of a certificate for localhost and its key. It is valid for `days`; a negative number: expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._folder / f"{file or common_name}.crt"
        begin = -1 if days > 0 else days - 1
        certificate.write_bytes(self._signed(_named(common_name), key.public_key(), begin, days, names))
        return certificate, _write_key(key, self._folder / f"{file or common_name}.key")

    def _signed(self, subject, public_key, begin_days, end_days, names):
        """A signed certificate; a CA certificate if `names` is None."""
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=begin_days))
            .not_valid_after(now + timedelta(days=end_days))
            .add_extension(x509.BasicConstraints(ca=names is None, path_length=None), critical=True)
        )
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
