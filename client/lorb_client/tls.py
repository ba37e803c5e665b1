"""What a client needs to speak TLS: whom to trust, and who it is."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from lorb.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Tls:
    """The files of a TLS connection, all in PEM.

    Attributes:
        ca: certificates of the authorities that the server's must come from; None for the public ones.
        certificate: the caller's own and its chain, where the server asks for one (mTLS).
        key: its private key.
        server_name: that the server's certificate must be for; empty for the name in the target.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    server_name: str = ""

    def __post_init__(self) -> None:
        """Raises InvalidInput where only one of certificate and key is given."""
        if (self.certificate is None) != (self.key is None):
            raise InvalidInput("a client certificate needs its key, and a key its certificate: give both", field="tls")

    def credentials(self) -> grpc.ChannelCredentials:
        """Reads the files. Raises InvalidInput naming the one that does not hold what it should."""
        ca, certificate, key = (_content(path) for path in (self.ca, self.certificate, self.key))
        if ca is not None:
            _check_ca(self.ca, ca)
        if self.certificate is not None:
            _check_pair(self.certificate, self.key)
        return grpc.ssl_channel_credentials(ca, key, certificate)

    @property
    def options(self) -> tuple[tuple[str, str], ...]:
        """Of the channel."""
        return (("grpc.ssl_target_name_override", self.server_name),) if self.server_name else ()


def _content(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}", field="tls") from error


def _check_ca(path: Path | None, content: bytes) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=content.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: no CA certificate in PEM", field="tls") from error


def _check_pair(certificate: Path, key: Path | None) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password=_no_password)
    except _Encrypted:
        raise InvalidInput(f"{key}: the key has a password: store it without", field="tls") from None
    except ssl.SSLError as error:
        raise InvalidInput(
            f"{certificate} and {key} are not a certificate and its private key in PEM ({error.reason or 'no PEM'})",
            field="tls",
        ) from error


class _Encrypted(Exception):
    """The key wants a password."""


def _no_password() -> str:
    raise _Encrypted
