"""Certificates of a port: read, checked against each other, and read again for new connections when they change."""

import logging
import threading
from dataclasses import dataclass

import grpc

from lorb.credential_files import CredentialFile, Stamp, check_ca, check_pair
from lorb.errors import InvalidInput
from lorb_server.config import ServeConfig

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files of one port. No `client_ca`: no mTLS."""

    certificate: CredentialFile
    key: CredentialFile
    client_ca: CredentialFile | None

    @classmethod
    def of_calls(cls, config: ServeConfig) -> "TlsFiles | None":
        """Of the calls' port; None where it speaks plain text."""
        if not config.has_tls:
            return None
        return cls(*_pair(config, "tls"), _client_ca(config, "tls"))

    @classmethod
    def of_admin(cls, config: ServeConfig) -> "TlsFiles | None":
        """Of the admin port: its own certificate, else the calls'; None where it speaks plain text."""
        if not config.admin_has_tls:
            return None
        return cls(
            *_pair(config, "admin_tls" if config.admin_tls_certificate else "tls"), _client_ca(config, "admin_tls")
        )

    def stamps(self) -> tuple[Stamp | None, ...]:
        """Other than before where a file was replaced or written."""
        return tuple(file.stamp() for file in (self.certificate, self.key, self.client_ca) if file is not None)

    def read(self) -> grpc.ServerCertificateConfiguration:
        """What new connections get. Raises InvalidInput naming flag and file where they do not fit together."""
        certificate, key = self.certificate.read(), self.key.read()
        check_pair(self.certificate, self.key)
        client_ca = None
        if self.client_ca is not None:
            client_ca = self.client_ca.read()
            check_ca(self.client_ca, client_ca)
        return grpc.ssl_server_certificate_configuration([(key, certificate)], client_ca)


def _pair(config: ServeConfig, prefix: str) -> tuple[CredentialFile, CredentialFile]:
    return config.credential_file(f"{prefix}_certificate"), config.credential_file(f"{prefix}_key")


def _client_ca(config: ServeConfig, prefix: str) -> CredentialFile | None:
    field = f"{prefix}_client_ca"
    return config.credential_file(field) if getattr(config, field) else None


class CertificateSource:
    """Hands each new connection what the files hold then; files that do not fit together change nothing."""

    def __init__(self, files: TlsFiles) -> None:
        """Raises InvalidInput naming flag and file."""
        self._files = files
        self._lock = threading.Lock()  # gRPC's threads ask
        self._stamps = files.stamps()
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
        stamps = self._files.stamps()
        if stamps == self._stamps:
            return
        current = self._files.read()
        if self._files.stamps() == stamps:  # not while somebody writes: the next connection looks again
            self._stamps, self._current = stamps, current
            _log.info("certificates read again", extra={"fields": {"certificate": str(self._files.certificate.path)}})
