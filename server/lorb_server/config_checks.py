"""Settings that make no sense together: refused by name, before anything is loaded."""

from typing import TYPE_CHECKING

from lorb.loopback import is_loopback_host
from lorb.names import check_name
from lorb_server.setting import flag, impossible

if TYPE_CHECKING:
    from lorb_server.config import ServeConfig


def check_together(config: "ServeConfig") -> None:
    """Raises InvalidInput naming the setting that does not go with another."""
    if config.default_domain:
        check_name(config.default_domain, "default_domain")
    _check_ports(config)
    _check_admin(config)
    _check_tls(config)
    _check_tokens(config)
    _check_caller_limits(config)
    if config.deadline_margin_seconds >= config.default_deadline_seconds:
        raise impossible(
            "deadline_margin_seconds",
            "is not below --default-deadline-seconds: nothing would be rescored",
        )
    if config.max_batch_tokens is not None and config.max_batch_tokens > config.max_queue_tokens:
        raise impossible("max_queue_tokens", "is below --max-batch-tokens: a full pass could never gather")


def _check_ports(config: "ServeConfig") -> None:
    ports: dict[int, str] = {}
    names = ("port", "admin_port", "metrics_port") if config.admin else ("port", "metrics_port")
    for name in names:
        port = getattr(config, name)
        if port > 65535:
            raise impossible(name, f"is {port}: ports end at 65535")
        if port and port in ports:
            raise impossible(name, f"is {port}, as {flag(ports[port])} is: give each its own")
        ports[port] = name


def _check_admin(config: "ServeConfig") -> None:
    if config.admin and not config.admin_token_file and not is_loopback_host(config.admin_host):
        raise impossible(
            "admin_token_file",
            f"is not given, and --admin-host {config.admin_host} is beyond loopback: "
            "give a token file, or keep the admin service on 127.0.0.1",
        )


def _check_tls(config: "ServeConfig") -> None:
    for prefix in ("tls", "admin_tls"):
        given = {name: getattr(config, f"{prefix}_{name}") for name in ("certificate", "key", "client_ca")}
        for name, other in (("certificate", "key"), ("key", "certificate")):
            if given[name] and not given[other]:
                raise impossible(f"{prefix}_{other}", f"is not given, and {flag(f'{prefix}_{name}')} is: give both")
    for name, has_tls in (("tls_client_ca", config.has_tls), ("admin_tls_client_ca", config.admin_has_tls)):
        if getattr(config, name) and not has_tls:
            raise impossible(name, "is given without --tls-certificate and --tls-key: give all three")


def _check_tokens(config: "ServeConfig") -> None:
    """A token that travels in clear text is one that anybody on the way may use."""
    ways = [("token_file", config.host, config.has_tls)]
    if config.admin:
        ways.append(("admin_token_file", config.admin_host, config.admin_has_tls))
    for name, host, has_tls in ways:
        if getattr(config, name) and not (has_tls or config.allow_plaintext_tokens or is_loopback_host(host)):
            raise impossible(
                name,
                f"is given, and {host} would take its tokens in clear text: give --tls-certificate and --tls-key, "
                "or --allow-plaintext-tokens where something in front of this server ends TLS",
            )


def _check_caller_limits(config: "ServeConfig") -> None:
    for name in ("max_caller_lists", "max_caller_lists_per_second"):
        if not getattr(config, name):
            continue
        if not (config.token_file or config.tls_client_ca):
            raise impossible(name, "needs --token-file or --tls-client-ca: without them callers have no names")
        if config.front_processes:
            raise impossible(
                name, "does not go with --front-processes: each of them would count its own connections alone"
            )
