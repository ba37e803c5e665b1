"""Chooses the interceptors of each port from the settings: token checks and per-caller quotas."""

from grpc.aio import ServerInterceptor

from lorb_server.config import ServeConfig
from lorb_server.rpc.callers import Callers, read_certificate_domains
from lorb_server.rpc.quotas import QuotaInterceptor, Quotas
from lorb_server.rpc.server import HEALTH, RESCORING
from lorb_server.rpc.tls import TlsFiles
from lorb_server.rpc.tokens import OPERATOR, TokenFile, TokenInterceptor, check_tokens
from lorb_server.telemetry.caller_metrics import CallerMetrics


def check_credential_files(config: ServeConfig) -> None:
    """Reads all certificate, key and token files.

    Raises InvalidInput, with flag and file, if one is not usable, or if a token file holds no token.
    """
    for files in (TlsFiles.of_calls(config), TlsFiles.of_admin(config) if config.admin else None):
        if files is not None:
            files.read()
    if config.token_file:
        check_tokens(config.credential_file("token_file"))
    if config.certificate_domains:
        read_certificate_domains(config.credential_file("certificate_domains"))
    if config.admin and config.admin_token_file:
        check_tokens(config.credential_file("admin_token_file"), default_name=OPERATOR)


def callers(config: ServeConfig, metrics: CallerMetrics) -> Callers:
    """Identifies the callers of the port for calls."""
    file = config.credential_file("certificate_domains") if config.certificate_domains else None
    return Callers(file, metrics, have_certificates=bool(config.tls_client_ca))


def call_interceptors(config: ServeConfig, metrics: CallerMetrics) -> tuple[ServerInterceptor, ...]:
    """The interceptors of the port for calls. On this port, health checks need no token: load balancers have none."""
    interceptors: list[ServerInterceptor] = []
    if config.token_file:
        tokens = TokenFile(config.credential_file("token_file"), metrics)
        interceptors.append(TokenInterceptor(tokens, metrics, open_services=(HEALTH,)))
    if config.token_file or config.tls_client_ca:  # with neither setting, callers have no names
        quotas = Quotas(config.max_caller_lists, config.max_caller_lists_per_second)
        interceptors.append(QuotaInterceptor(quotas, metrics, RESCORING))
    return tuple(interceptors)


def admin_interceptors(config: ServeConfig, metrics: CallerMetrics) -> tuple[ServerInterceptor, ...]:
    """The interceptors of the admin port. On this port, health checks need a token too."""
    if not config.admin_token_file:
        return ()
    tokens = TokenFile(config.credential_file("admin_token_file"), metrics, default_name=OPERATOR)
    return (TokenInterceptor(tokens, metrics),)
