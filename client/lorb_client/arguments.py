"""Command-line flags shared by lorb-rescore, lorb-load and lorb-health: target, token, TLS, counts."""

import argparse
import os
from pathlib import Path

from lorb.errors import InvalidInput
from lorb_client.access import Access, Tls, TokenFile

ENVIRONMENT_PREFIX = "LORB_CLIENT_"


def add_target_argument(parser: "argparse._ActionsContainer", *aliases: str) -> None:
    """Adds the required flag --target, with its older spellings `aliases`."""
    parser.add_argument(
        "--target", *aliases, dest="target", required=True, metavar="HOST:PORT", help="the server, or a gRPC target"
    )


def require_port(target: str) -> str:
    """Returns `target` if it names a port. Raises InvalidInput otherwise."""
    if ":" not in target:
        raise InvalidInput(f"--target {target!r} names no port: give HOST:PORT, such as localhost:50051")
    return target


def positive_count(text: str) -> int:
    """Parses a whole number of 1 or more, for argparse."""
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return count


def add_tls_arguments(parser: "argparse._ActionsContainer") -> None:
    """Adds the flags for TLS. Each has an environment variable, such as LORB_CLIENT_TLS_CA for --tls-ca."""
    parser.add_argument(
        "--tls",
        action="store_true",
        default=_environment("tls") not in (None, "0", "false"),
        help="use TLS, and trust the public certificate authorities",
    )
    for name, text in (
        ("tls-ca", "PEM file of the certificate authorities to trust, instead of the public authorities; turns TLS on"),
        (
            "tls-certificate",
            "PEM file of the client certificate, for servers that require a client certificate; turns TLS on",
        ),
        ("tls-key", "PEM file of the client certificate's private key"),
    ):
        parser.add_argument(f"--{name}", type=Path, default=_environment_path(name), metavar="FILE", help=text)
    parser.add_argument(
        "--tls-server-name",
        default=_environment("tls-server-name") or "",
        metavar="NAME",
        help="name that the server's certificate must have, if the name is not the host of --target",
    )


def add_access_arguments(parser: "argparse._ActionsContainer") -> None:
    """Adds the flags for the token and TLS. Each file has an environment variable, such as LORB_CLIENT_TOKEN_FILE."""
    parser.add_argument(
        "--token-file",
        type=Path,
        default=_environment_path("token-file"),
        metavar="FILE",
        help="file with the bearer token; without TLS the token is sent only to this machine",
    )
    parser.add_argument(
        "--allow-plaintext-token",
        action="store_true",
        help="allow sending the token without TLS to a remote server: everybody on the network path can read it",
    )
    add_tls_arguments(parser)


def tls_from_arguments(arguments: argparse.Namespace) -> Tls | None:
    """Reads the flags for TLS. Returns None if no flag turns TLS on. Raises InvalidInput if a flag needs another."""
    files = (arguments.tls_ca, arguments.tls_certificate, arguments.tls_key)
    if not (arguments.tls or any(files)):
        if arguments.tls_server_name:
            raise InvalidInput("--tls-server-name is for TLS: add --tls or --tls-ca", field="tls")
        return None
    return Tls(*files, server_name=arguments.tls_server_name)


def access_from_arguments(arguments: argparse.Namespace) -> Access:
    """Reads the flags for token and TLS, and the files they name. Raises InvalidInput if a file is missing or wrong."""
    tls = tls_from_arguments(arguments)
    if tls is not None:
        tls.credentials()  # checked now, before any work is done
    token = None if arguments.token_file is None else TokenFile(arguments.token_file)
    return Access(token, tls, arguments.allow_plaintext_token)


def _environment(flag: str) -> str | None:
    return os.environ.get(ENVIRONMENT_PREFIX + flag.upper().replace("-", "_")) or None


def _environment_path(flag: str) -> Path | None:
    value = _environment(flag)
    return None if value is None else Path(value)
