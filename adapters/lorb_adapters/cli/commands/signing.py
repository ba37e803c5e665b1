"""The commands `keygen` and `sign`."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from lorb.errors import InvalidInput
from lorb.names import DomainSelector
from lorb_adapters.cli.commands.subcommands import Subcommands
from lorb_adapters.store.manifest import Manifest
from lorb_adapters.store.signing import SigningKey, create_key_pair, manifest_sha256
from lorb_adapters.store.store import Store


def add_signing_commands(subcommands: Subcommands) -> None:
    """Adds `keygen` and `sign`."""
    command = subcommands.add_without_store(
        "keygen",
        _keygen,
        "create an Ed25519 key pair for signing versions: KEY, and KEY.pub for servers' --trusted-keys",
    )
    command.add_argument("key", type=Path, metavar="KEY", help="the private key's file, which must not exist yet")
    command = subcommands.add(
        "sign", _sign, "sign a published version after checking its files; replaces an older signature"
    )
    command.add_argument(
        "selector",
        metavar="DOMAIN@VERSION",
        help="a full version id; an alias is refused, because anyone who can write to the store can move it",
    )
    command.add_argument(
        "--signing-key", type=Path, required=True, metavar="KEY", help="a private key, as keygen writes it"
    )
    command.add_argument(
        "--manifest-sha256",
        metavar="HEX",
        help="sign only if manifest.json has this sha256, as printed by lorb-train-adapter when it published",
    )


def _keygen(arguments: argparse.Namespace) -> int:
    public, key_id = create_key_pair(arguments.key)
    print(f"key {key_id}: keep {arguments.key} secret; give {public} to the servers")
    return 0


def _sign(store: Store, arguments: argparse.Namespace) -> int:
    key = SigningKey(arguments.signing_key)
    selector = DomainSelector.parse(arguments.selector)
    if selector.version is None:
        raise InvalidInput(
            f"{arguments.selector} names no version: give {selector.domain}@VERSION. Aliases are not signed: anyone "
            "who can write to the store may have pointed an alias at a version that is not yours",
            field="selector",
        )
    content = store.sign(selector.domain, selector.version, key, arguments.manifest_sha256)
    print(f"{selector.domain} {selector.version} signed with key {key.key_id}:")
    for name, value in _signed_facts(content):
        print(f"  {name:16}{value}")
    return 0


def _signed_facts(content: bytes) -> Iterator[tuple[str, object]]:
    """Facts of the signed manifest, for the signer to compare with the training run."""
    manifest = Manifest.parse(content)
    yield "manifest sha256", manifest_sha256(content)
    yield "created", manifest.created_time
    yield "base", f"{manifest.base_name} ({manifest.base_fingerprint[:12]})"
    yield "weight", manifest.ranking.weight
    for name, digest in manifest.training_data.items():
        yield "trained on", f"{name} ({digest[:12]})"
