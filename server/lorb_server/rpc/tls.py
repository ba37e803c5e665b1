"""Reads and checks a port's TLS certificates, and reads them again for new connections when their files change."""

from dataclasses import dataclass

import grpc

from lorb.credential_files import CredentialFile, check_ca, check_pair
from lorb_server.config import ServeConfig
from lorb_server.rpc.reloaded_files import ReloadedFiles
from lorb_server.telemetry.caller_metrics import CallerMetrics


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

    @property
    def all(self) -> tuple[CredentialFile, ...]:
        """All files."""
        return tuple(file for file in (self.certificate, self.key, self.client_ca) if file is not None)

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
    """Gives each new connection the current certificates. A changed file that is not usable is logged and ignored."""

    def __init__(self, files: TlsFiles, metrics: CallerMetrics) -> None:
        """Raises InvalidInput, with flag and file, if a file is not usable."""
        self._needs_client_certificate = files.client_ca is not None
        self._certificates = ReloadedFiles(files.all, files.read, metrics, check_seconds=0.0)
        self._given = self._certificates.latest()

    def credentials(self) -> grpc.ServerCredentials:
        """Credentials for a port. With a client CA, a connection needs a client certificate that the CA signed."""
        return grpc.dynamic_ssl_server_credentials(
            self._given,
            self._fetch,  # type: ignore[arg-type]  # the stubs lack None, which means no change
            require_client_authentication=self._needs_client_certificate,
        )

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """The changed certificates; None if they have not changed. gRPC calls this on threads of its own."""
        current = self._certificates.latest()
        if current is self._given:
            return None
        self._given = current
        return current
