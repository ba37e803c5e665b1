"""Certificates of a port: read, checked against each other, and read again for new connections when they change."""

import logging
import os
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path

import grpc

from lorb.errors import InvalidInput
from lorb_server.config import ServeConfig, flag

_log = logging.getLogger(__name__)

Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files of one port, and the setting that names each, for messages. An empty `client_ca`: no mTLS."""

    certificate: str
    key: str
    client_ca: str
    prefix: str
    client_ca_prefix: str

    @classmethod
    def of_calls(cls, config: ServeConfig) -> "TlsFiles | None":
        """Of the calls' port; None where it speaks plain text."""
        if not config.has_tls:
            return None
        return cls(config.tls_certificate, config.tls_key, config.tls_client_ca, "tls", "tls")

    @classmethod
    def of_admin(cls, config: ServeConfig) -> "TlsFiles | None":
        """Of the admin port: its own certificate, else the calls'; None where it speaks plain text."""
        if not config.admin_has_tls:
            return None
        if config.admin_tls_certificate:
            pair = (config.admin_tls_certificate, config.admin_tls_key)
            return cls(*pair, config.admin_tls_client_ca, "admin_tls", "admin_tls")
        return cls(config.tls_certificate, config.tls_key, config.admin_tls_client_ca, "tls", "admin_tls")

    def stamp(self) -> Stamp:
        """Other than before where a file was replaced or written. Raises InvalidInput."""
        paths = [self.certificate, self.key, *([self.client_ca] if self.client_ca else [])]
        try:
            found = [os.stat(path) for path in paths]
        except OSError as error:
            raise InvalidInput(f"{self._named(str(error.filename))}: {error.strerror}", field=self.prefix) from error
        return tuple((each.st_ino, each.st_size, each.st_mtime_ns) for each in found)

    def read(self) -> grpc.ServerCertificateConfiguration:
        """What new connections get. Raises InvalidInput naming flag and file where they do not fit together."""
        certificate, key = self._content(self.certificate), self._content(self.key)
        client_ca = self._content(self.client_ca) if self.client_ca else None
        self._check_pair()
        if client_ca is not None:
            self._check_client_ca(client_ca)
        return grpc.ssl_server_certificate_configuration([(key, certificate)], client_ca)

    def _content(self, path: str) -> bytes:
        try:
            return Path(path).read_bytes()
        except OSError as error:
            raise InvalidInput(f"{self._named(path)}: {error.strerror}", field=self.prefix) from error

    def _check_pair(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        names = f"{self._named(self.certificate)} and {self._named(self.key)}"
        try:
            context.load_cert_chain(self.certificate, self.key, password=_no_password)
        except _Encrypted:
            raise InvalidInput(
                f"{self._named(self.key)}: the key has a password, which nobody is there to type: store it without",
                field=f"{self.prefix}_key",
            ) from None
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise InvalidInput(f"{names} do not belong together", field=f"{self.prefix}_key") from error
            raise InvalidInput(
                f"{names} are not a certificate and its private key in PEM ({error.reason or 'no PEM in them'})",
                field=f"{self.prefix}_certificate",
            ) from error

    def _check_client_ca(self, client_ca: bytes) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(cadata=client_ca.decode("ascii"))
        except (ssl.SSLError, UnicodeDecodeError) as error:
            raise InvalidInput(
                f"{self._named(self.client_ca)}: no CA certificate in PEM", field=f"{self.client_ca_prefix}_client_ca"
            ) from error

    def _named(self, path: str) -> str:
        if path == self.client_ca:
            return f"{flag(f'{self.client_ca_prefix}_client_ca')} {path}"
        name = f"{self.prefix}_key" if path == self.key else f"{self.prefix}_certificate"
        return f"{flag(name)} {path}"


class CertificateSource:
    """Hands each new connection what the files hold then; files that do not fit together change nothing."""

    def __init__(self, files: TlsFiles) -> None:
        """Raises InvalidInput naming flag and file."""
        self._files = files
        self._lock = threading.Lock()  # gRPC's threads ask
        self._stamp = files.stamp()
        self._current = files.read()

    def credentials(self) -> grpc.ServerCredentials:
        """For a port. With a client CA, connections without a certificate of its are refused."""
        return grpc.dynamic_ssl_server_credentials(
            self._current, self._fetch, require_client_authentication=bool(self._files.client_ca)
        )

    def _fetch(self) -> grpc.ServerCertificateConfiguration:
        with self._lock:
            try:
                self._refresh()
            except InvalidInput as error:
                _log.error(
                    "certificates cannot be read again; the ones before stay",
                    extra={"fields": {"reason": error.message}},
                )
            return self._current

    def _refresh(self) -> None:
        stamp = self._files.stamp()
        if stamp == self._stamp:
            return
        current = self._files.read()
        if self._files.stamp() == stamp:  # not while somebody writes: the next connection looks again
            self._stamp, self._current = stamp, current
            _log.info("certificates read again", extra={"fields": {"certificate": self._files.certificate}})


class _Encrypted(Exception):
    """The key wants a password."""


def _no_password() -> str:
    raise _Encrypted
