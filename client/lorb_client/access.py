"""Credentials for a server: Tls, TokenFile, and Access, which holds both."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import grpc

from lorb.credential_files import ChangeToken, CredentialFile, check_ca, check_pair
from lorb.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Tls:
    """The files of a TLS connection, all in PEM.

    If a file changes, the client reads all files again before its next call.

    Attributes:
        ca: file with the certificates of the trusted authorities; None to trust the public authorities.
        certificate: file with the client's certificate and its chain, for servers that require a client certificate
            (mTLS); None for no client certificate.
        key: file with the private key of `certificate`; None without `certificate`.
        server_name: name that the server's certificate must have. Empty: the host name of the target.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    server_name: str = ""

    def __post_init__(self) -> None:
        """Raises InvalidInput if only one of certificate and key is given."""
        if (self.certificate is None) != (self.key is None):
            raise InvalidInput("a client certificate and its private key belong together: give both", field="tls")

    def credentials(self) -> grpc.ChannelCredentials:
        """Reads the files into gRPC credentials. Raises InvalidInput that names the file if it is missing or wrong."""
        ca = certificate = key = None
        if self.ca is not None:
            ca_file = CredentialFile(self.ca, "tls")
            ca = ca_file.read()
            check_ca(ca_file, ca)
        if self.certificate is not None and self.key is not None:
            certificate_file, key_file = CredentialFile(self.certificate, "tls"), CredentialFile(self.key, "tls")
            certificate, key = certificate_file.read(), key_file.read()
            check_pair(certificate_file, key_file)
        return grpc.ssl_channel_credentials(ca, key, certificate)

    def change_tokens(self) -> tuple[ChangeToken | None, ...]:
        """Returns a value that changes when any of the files is written or replaced."""
        files = (self.ca, self.certificate, self.key)
        return tuple(CredentialFile(file, "tls").change_token() for file in files if file is not None)

    @property
    def options(self) -> tuple[tuple[str, str], ...]:
        """Options of gRPC channels for this connection."""
        return (("grpc.ssl_target_name_override", self.server_name),) if self.server_name else ()


class TokenFile:
    """A bearer token in a file, read again when the file changes. Safe to share between threads."""

    def __init__(self, path: Path | str) -> None:
        """Reads the token.

        Args:
            path: a file with one line, the token. A pipe, such as the shell's `<(command)`, is read only here.

        Raises:
            InvalidInput: the file cannot be read, or holds no token.
        """
        self.path = Path(path)
        self._file = CredentialFile(self.path, "token", "the token file")
        self._last_read = self._file.change_token(), self._read(from_pipe=True)

    @property
    def token(self) -> str:
        """The token in the file; while the file is missing or invalid, the last valid token."""
        change_token, token = self._last_read
        try:
            if (current := self._file.change_token()) != change_token:
                token = self._read()
                self._last_read = current, token
        except InvalidInput:
            return token
        return token

    def __reduce__(self) -> tuple[type["TokenFile"], tuple[Path]]:
        return TokenFile, (self.path,)

    def _read(self, *, from_pipe: bool = False) -> str:
        token = self._file.read_text(from_pipe=from_pipe).strip()
        if not token:
            raise InvalidInput(f"{self._file} is empty", field="token")
        return check_token(token, f"{self._file}: the token")


def check_token(token: str, name: str) -> str:
    """Returns `token` if it is valid in call metadata. Otherwise raises InvalidInput, which calls the token `name`."""
    if not (token and token.isascii() and token.isprintable()):
        raise InvalidInput(f"{name} is not one line of printable ASCII", field="token")
    return token


class AccessArguments(TypedDict):
    """Keyword arguments of clients and CallSettings."""

    token: str | TokenFile | None
    tls: Tls | None
    allow_plaintext_token: bool


@dataclass(frozen=True, slots=True)
class Access:
    """Token and TLS files for a client. Can be pickled.

    Attributes:
        token: bearer token; None for no token.
        tls: files of the TLS connection; None for plain text.
        allow_plaintext_token: allow sending the token to a remote server without TLS. By default, a token without TLS
            is sent only to this machine.
    """

    token: str | TokenFile | None = None
    tls: Tls | None = None
    allow_plaintext_token: bool = False

    def as_arguments(self) -> AccessArguments:
        """Returns keyword arguments for clients and CallSettings."""
        return {"token": self.token, "tls": self.tls, "allow_plaintext_token": self.allow_plaintext_token}


PLAINTEXT_ACCESS = Access()
