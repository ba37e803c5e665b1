"""What stands before the services, by the settings: who may call, and how much."""

from pathlib import Path

from grpc.aio import ServerInterceptor

from lorb.errors import InvalidInput
from lorb_adapters.store.signing import TrustedKeys
from lorb_server.config import ServeConfig
from lorb_server.rpc.quotas import QuotaInterceptor, Quotas
from lorb_server.rpc.server import HEALTH, RESCORING
from lorb_server.rpc.tls import TlsFiles
from lorb_server.rpc.tokens import OPERATOR, TokenFile, TokenInterceptor
from lorb_server.setting import flag
from lorb_server.telemetry.caller_metrics import CallerMetrics


def check_files(config: ServeConfig) -> None:
    """Raises InvalidInput naming flag and file where one is missing or does not hold what it should."""
    for files in (TlsFiles.of_calls(config), TlsFiles.of_admin(config) if config.admin else None):
        if files is not None:
            files.read()
    if config.token_file:
        _call_tokens(config)
    if config.admin and config.admin_token_file:
        _admin_tokens(config)


def trusted_keys(config: ServeConfig) -> TrustedKeys | None:
    """The keys that versions must be signed with; None where none need be. Raises InvalidInput naming flag and file."""
    if not config.trusted_keys:
        return None
    try:
        return TrustedKeys(Path(config.trusted_keys))
    except InvalidInput as error:
        raise InvalidInput(f"{flag('trusted_keys')} {error.message}", field="trusted_keys") from error


def call_interceptors(config: ServeConfig, metrics: CallerMetrics) -> tuple[ServerInterceptor, ...]:
    """Before the rescoring service. Health stays open: load balancers and orchestrators have no token."""
    guards: list[ServerInterceptor] = []
    if config.token_file:
        guards.append(TokenInterceptor(_call_tokens(config), metrics, open_services=(HEALTH,)))
    if config.token_file or config.tls_client_ca:  # callers have names
        limits = Quotas(config.max_caller_lists, config.max_caller_lists_per_second)
        guards.append(QuotaInterceptor(limits, metrics, RESCORING))
    return tuple(guards)


def admin_interceptors(config: ServeConfig, metrics: CallerMetrics) -> tuple[ServerInterceptor, ...]:
    """Before the admin service, its health included."""
    return (TokenInterceptor(_admin_tokens(config), metrics),) if config.admin_token_file else ()


def _call_tokens(config: ServeConfig) -> TokenFile:
    return TokenFile(config.credential_file("token_file"))


def _admin_tokens(config: ServeConfig) -> TokenFile:
    return TokenFile(config.credential_file("admin_token_file"), unnamed=OPERATOR)
