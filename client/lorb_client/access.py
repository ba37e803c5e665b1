"""Token and TLS of the commands that call a server: their flags, and what those amount to."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from lorb.errors import InvalidInput
from lorb_client.tls import Tls
from lorb_client.token_file import TokenFile

ENVIRONMENT_PREFIX = "LORB_CLIENT_"


class AccessArguments(TypedDict):
    """What clients and CallSettings take of it."""

    token: str | TokenFile | None
    tls: Tls | None
    allow_plaintext_token: bool


@dataclass(frozen=True, slots=True)
class Access:
    """How a command gets in. May travel to another process.

    Attributes:
        token: bearer token, or None.
        tls: None for plain text.
        allow_plaintext_token: send the token without TLS to another machine too.
    """

    token: str | TokenFile | None = None
    tls: Tls | None = None
    allow_plaintext_token: bool = False

    def arguments(self) -> AccessArguments:
        """As clients and CallSettings take them."""
        return {"token": self.token, "tls": self.tls, "allow_plaintext_token": self.allow_plaintext_token}


NO_TOKEN = Access()


def add_tls_arguments(parser: "argparse._ActionsContainer") -> None:
    """The flags of TLS; each is also an environment variable."""
    parser.add_argument(
        "--tls",
        action="store_true",
        default=_given("tls") not in (None, "0", "false"),
        help="speak TLS, and trust the public certificate authorities",
    )
    for name, text in (
        ("tls-ca", "PEM file of the authorities to trust in their place; turns TLS on"),
        ("tls-certificate", "PEM file of the own certificate, where the server asks for one; turns TLS on"),
        ("tls-key", "PEM file of its private key"),
    ):
        parser.add_argument(f"--{name}", type=Path, default=_given_path(name), metavar="FILE", help=text)
    parser.add_argument(
        "--tls-server-name",
        default=_given("tls-server-name") or "",
        metavar="NAME",
        help="what the server's certificate must be for, where that is not the target's name",
    )


def add_access_arguments(parser: "argparse._ActionsContainer") -> None:
    """The flags of token and TLS; each file is also an environment variable, as LORB_CLIENT_TLS_CA."""
    parser.add_argument(
        "--token-file",
        type=Path,
        default=_given_path("token-file"),
        metavar="FILE",
        help="holds the bearer token; without TLS it goes to this machine only",
    )
    parser.add_argument(
        "--allow-plaintext-token",
        action="store_true",
        help="send it without TLS all the same, for all on the way to read",
    )
    add_tls_arguments(parser)


def tls_from(arguments: argparse.Namespace) -> Tls | None:
    """What the flags of TLS amount to; raises InvalidInput where they do not fit together."""
    files = (arguments.tls_ca, arguments.tls_certificate, arguments.tls_key)
    if not (arguments.tls or any(files)):
        if arguments.tls_server_name:
            raise InvalidInput("--tls-server-name is for TLS: add --tls or --tls-ca", field="tls")
        return None
    return Tls(*files, server_name=arguments.tls_server_name)


def access_from(arguments: argparse.Namespace) -> Access:
    """What all the flags amount to; raises InvalidInput where a file does not hold what it should."""
    chosen = tls_from(arguments)
    if chosen is not None:
        chosen.credentials()  # now, and not when the work is half done
    token = None if arguments.token_file is None else TokenFile(arguments.token_file)
    return Access(token, chosen, arguments.allow_plaintext_token)


def _given(name: str) -> str | None:
    return os.environ.get(ENVIRONMENT_PREFIX + name.upper().replace("-", "_")) or None


def _given_path(name: str) -> Path | None:
    given = _given(name)
    return None if given is None else Path(given)
