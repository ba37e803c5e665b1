"""Chooses the interceptors of each port from the settings: token checks and per-caller quotas."""

from grpc.aio import ServerInterceptor
from prometheus_client import CollectorRegistry

from lorb_server.config import ServeConfig
from lorb_server.rpc.callers import Callers
from lorb_server.rpc.quotas import QuotaInterceptor, Quotas
from lorb_server.rpc.server import HEALTH, RESCORING
from lorb_server.rpc.tls import TlsFiles
from lorb_server.rpc.tokens import OPERATOR, TokenFile, TokenInterceptor
from lorb_server.telemetry.caller_metrics import CallerMetrics


def check_credential_files(config: ServeConfig) -> None:
    """Reads all certificate, key and token files. Raises InvalidInput, with flag and file, if one is not usable."""
    for files in (TlsFiles.of_calls(config), TlsFiles.of_admin(config) if config.admin else None):
        if files is not None:
            files.read()
    metrics = CallerMetrics(CollectorRegistry())  # not exported: nothing is read again here
    if config.token_file:
        _caller_tokens(config, metrics)
    if config.certificate_domains:
        callers(config, metrics)
    if config.admin and config.admin_token_file:
        _admin_tokens(config, metrics)


def callers(config: ServeConfig, metrics: CallerMetrics) -> Callers:
    """Identifies the callers of the port for calls."""
    file = config.credential_file("certificate_domains") if config.certificate_domains else None
    return Callers(file, metrics, have_certificates=bool(config.tls_client_ca))


def call_interceptors(config: ServeConfig, metrics: CallerMetrics) -> tuple[ServerInterceptor, ...]:
    """The interceptors of the port for calls. On this port, health checks need no token: load balancers have none."""
    interceptors: list[ServerInterceptor] = []
    if config.token_file:
        interceptors.append(TokenInterceptor(_caller_tokens(config, metrics), metrics, open_services=(HEALTH,)))
    if config.token_file or config.tls_client_ca:  # with neither setting, callers have no names
        quotas = Quotas(config.max_caller_lists, config.max_caller_lists_per_second)
        interceptors.append(QuotaInterceptor(quotas, metrics, RESCORING))
    return tuple(interceptors)


def admin_interceptors(config: ServeConfig, metrics: CallerMetrics) -> tuple[ServerInterceptor, ...]:
    """The interceptors of the admin port. On this port, health checks need a token too."""
    return (TokenInterceptor(_admin_tokens(config, metrics), metrics),) if config.admin_token_file else ()


def _caller_tokens(config: ServeConfig, metrics: CallerMetrics) -> TokenFile:
    return TokenFile(config.credential_file("token_file"), metrics)


def _admin_tokens(config: ServeConfig, metrics: CallerMetrics) -> TokenFile:
    return TokenFile(config.credential_file("admin_token_file"), metrics, default_name=OPERATOR)
