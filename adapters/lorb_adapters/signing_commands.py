"""The commands of lorb-adapters that have to do with signatures."""

import argparse
from collections.abc import Callable
from pathlib import Path

from lorb.names import DomainSelector
from lorb_adapters.signing import SigningKey, make_key
from lorb_adapters.store import Store

AddCommand = Callable[[Callable[[Store, argparse.Namespace], int], str], argparse.ArgumentParser]


def add_signing_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", command: AddCommand) -> None:
    """`keygen`, which needs no store, and `sign`."""
    text = "make an Ed25519 key pair to sign versions with: KEY, and KEY.pub for servers' --trusted-keys"
    one = commands.add_parser("keygen", help=text, description=text)
    one.add_argument("key", type=Path, metavar="KEY", help="the private key's file, which must not be there yet")
    one.set_defaults(run_without_store=_keygen)
    one = command(_sign, "sign a published version, whose files are checked first; replaces an older signature")
    one.add_argument("selector", metavar="DOMAIN[@VERSION|@ALIAS]", help="a domain means its stable version")
    one.add_argument("--signing-key", type=Path, required=True, metavar="KEY", help="a private key of keygen")


def _keygen(arguments: argparse.Namespace) -> int:
    public, key_id = make_key(arguments.key)
    print(f"key {key_id}: {arguments.key} signs, keep it; {public} is for servers")  # noqa: T201 - a command's word
    return 0


def _sign(store: Store, arguments: argparse.Namespace) -> int:
    key = SigningKey(arguments.signing_key)
    selector = DomainSelector.parse(arguments.selector)
    version = store.resolve(selector)
    store.sign(selector.domain, version, key)
    print(f"{selector.domain} {version} signed with key {key.key_id}")  # noqa: T201
    return 0
