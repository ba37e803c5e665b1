"""Reads and checks a port's TLS certificates, and reads them again for new connections when their files change."""

import logging
import threading
from dataclasses import dataclass

import grpc

from lorb.credential_files import ChangeToken, CredentialFile, check_ca, check_pair
from lorb.errors import InvalidInput
from lorb_server.config import ServeConfig

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The certificate files of one port. `client_ca` is None if clients need no certificate."""

    certificate: CredentialFile
    key: CredentialFile
    client_ca: CredentialFile | None

    @classmethod
    def of_calls(cls, config: ServeConfig) -> "TlsFiles | None":
        """The files of the port for calls; None if this port does not use TLS."""
        if not config.has_tls:
            return None
        return cls(*_pair(config, "tls"), _client_ca(config, "tls"))

    @classmethod
    def of_admin(cls, config: ServeConfig) -> "TlsFiles | None":
        """The files of the admin port; None if this port does not use TLS.

        Without a certificate of its own, the admin port uses the certificate of the port for calls.
        """
        if not config.admin_has_tls:
            return None
        return cls(
            *_pair(config, "admin_tls" if config.admin_tls_certificate else "tls"), _client_ca(config, "admin_tls")
        )

    def change_token(self) -> tuple[ChangeToken | None, ...]:
        """A value that differs after any of the files is written or replaced."""
        return tuple(file.change_token() for file in (self.certificate, self.key, self.client_ca) if file is not None)

    def read(self) -> grpc.ServerCertificateConfiguration:
        """The certificates for new connections. Raises InvalidInput, with flag and file, if a file is not usable."""
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
    """Gives each new connection the current certificates. Logs changed files that are not usable, and ignores them."""

    def __init__(self, files: TlsFiles) -> None:
        """Raises InvalidInput, with flag and file, if a file is not usable."""
        self._files = files
        self._lock = threading.Lock()  # gRPC calls `_fetch` on threads of its own
        self._change_token = files.change_token()
        self._current = files.read()

    def credentials(self) -> grpc.ServerCredentials:
        """Credentials for a port. With a client CA, a connection needs a client certificate that the CA signed."""
        return grpc.dynamic_ssl_server_credentials(
            self._current, self._fetch, require_client_authentication=bool(self._files.client_ca)
        )

    def _fetch(self) -> grpc.ServerCertificateConfiguration:
        with self._lock:
            try:
                self._refresh()
            except InvalidInput as error:
                _log.error(
                    "the changed certificates are not usable: the previous ones stay in use",
                    extra={"fields": {"reason": error.message}},
                )
            return self._current

    def _refresh(self) -> None:
        change_token = self._files.change_token()
        if change_token == self._change_token:
            return
        current = self._files.read()
        if self._files.change_token() == change_token:  # else a file changed meanwhile: the next connection reads again
            self._change_token, self._current = change_token, current
            _log.info("certificates reloaded", extra={"fields": {"certificate": str(self._files.certificate.path)}})
