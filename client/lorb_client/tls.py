"""What a client needs to speak TLS: whom to trust, and who it is."""

from dataclasses import dataclass
from pathlib import Path

import grpc

from lorb.credential_files import CredentialFile, Stamp, check_ca, check_pair
from lorb.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Tls:
    """The files of a TLS connection, all in PEM. Clients read them again for their next call when one has changed.

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
        ca = certificate = key = None
        if self.ca is not None:
            authority = CredentialFile(self.ca, "tls")
            ca = authority.read()
            check_ca(authority, ca)
        if self.certificate is not None and self.key is not None:
            own, own_key = CredentialFile(self.certificate, "tls"), CredentialFile(self.key, "tls")
            certificate, key = own.read(), own_key.read()
            check_pair(own, own_key)
        return grpc.ssl_channel_credentials(ca, key, certificate)

    def stamps(self) -> tuple[Stamp | None, ...]:
        """Other than before where a file was replaced or written."""
        files = (self.ca, self.certificate, self.key)
        return tuple(CredentialFile(file, "tls").stamp() for file in files if file is not None)

    @property
    def options(self) -> tuple[tuple[str, str], ...]:
        """Of the channel."""
        return (("grpc.ssl_target_name_override", self.server_name),) if self.server_name else ()
