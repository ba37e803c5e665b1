"""Checks that settings do not contradict each other, before anything is loaded."""

from collections.abc import Mapping
from typing import Any

from lorb.loopback import is_loopback_host
from lorb.names import check_name
from lorb_server.setting import flag, invalid_setting


def check_combination(settings: Mapping[str, Any], *, has_tls: bool, admin_has_tls: bool) -> None:
    """Raises InvalidInput, naming a setting, if settings contradict each other. `settings` maps names to values.

    `has_tls` and `admin_has_tls` say whether the port for calls and the admin port speak TLS.
    """
    if settings["default_domain"]:
        check_name(settings["default_domain"], "default_domain")
    _check_ports(settings)
    _check_admin(settings)
    _check_certificates(settings)
    for name, is_on in (("tls_client_ca", has_tls), ("admin_tls_client_ca", admin_has_tls)):
        if settings[name] and not is_on:
            raise invalid_setting(name, "needs --tls-certificate and --tls-key: give all three")
    if settings["certificate_domains"] and not settings["tls_client_ca"]:
        raise invalid_setting("certificate_domains", "needs --tls-client-ca: without it callers have no certificates")
    _check_token_transport(settings, "token_file", settings["host"], has_tls)
    if settings["admin"]:
        _check_token_transport(settings, "admin_token_file", settings["admin_host"], admin_has_tls)
    _check_caller_limits(settings)
    if settings["deadline_margin_seconds"] >= settings["default_deadline_seconds"]:
        raise invalid_setting(
            "deadline_margin_seconds", "must be below --default-deadline-seconds: nothing would be rescored"
        )
    _check_workers(settings)
    if settings["max_batch_tokens"] is not None and settings["max_batch_tokens"] > settings["max_queue_tokens"]:
        raise invalid_setting(
            "max_queue_tokens",
            f"is {settings['max_queue_tokens']}: give at least --max-batch-tokens, {settings['max_batch_tokens']}",
        )


def _check_workers(settings: Mapping[str, Any]) -> None:
    threads, workers, each = settings["threads"], settings["workers"], settings["threads_per_worker"]
    if threads and (workers or 1) * (each or 1) > threads:
        raise invalid_setting(
            "threads", f"is {threads}, fewer than --workers, {workers or 1}, times --threads-per-worker, {each or 1}"
        )


def _check_ports(settings: Mapping[str, Any]) -> None:
    ports: dict[int, str] = {}
    names = ("port", "admin_port", "metrics_port") if settings["admin"] else ("port", "metrics_port")
    for name in names:
        port = settings[name]
        if port > 65535:
            raise invalid_setting(name, f"is {port}: give 65535 or less")
        if port and port in ports:
            raise invalid_setting(name, f"is {port}, the same as {flag(ports[port])}: give each its own port")
        ports[port] = name


def _check_admin(settings: Mapping[str, Any]) -> None:
    if settings["admin"] and not settings["admin_token_file"] and not is_loopback_host(settings["admin_host"]):
        raise invalid_setting(
            "admin_token_file",
            f"is required, because --admin-host {settings['admin_host']} is beyond loopback: "
            "give a token file, or keep the admin service on 127.0.0.1",
        )


def _check_certificates(settings: Mapping[str, Any]) -> None:
    for prefix in ("tls", "admin_tls"):
        for name, other in (("certificate", "key"), ("key", "certificate")):
            if settings[f"{prefix}_{name}"] and not settings[f"{prefix}_{other}"]:
                raise invalid_setting(
                    f"{prefix}_{other}", f"is required with {flag(f'{prefix}_{name}')}: give both or neither"
                )


def _check_token_transport(settings: Mapping[str, Any], name: str, host: str, has_tls: bool) -> None:
    """Refuses tokens in clear text beyond loopback: anybody on the network could read and use the tokens."""
    if settings[name] and not (has_tls or settings["allow_plaintext_tokens"] or is_loopback_host(host)):
        raise invalid_setting(
            name,
            f"would let tokens reach {host} in clear text: give --tls-certificate and --tls-key, "
            "or --allow-plaintext-tokens if a proxy in front of this server terminates TLS",
        )


def _check_caller_limits(settings: Mapping[str, Any]) -> None:
    for name in ("max_caller_lists", "max_caller_lists_per_second"):
        if not settings[name]:
            continue
        if not (settings["token_file"] or settings["tls_client_ca"]):
            raise invalid_setting(name, "needs --token-file or --tls-client-ca: without them callers have no names")
        if settings["front_processes"]:
            raise invalid_setting(
                name, "is not possible with --front-processes: each process would count only its own connections"
            )
