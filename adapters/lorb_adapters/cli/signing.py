"""The commands of lorb-adapters that have to do with signatures."""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

from lorb.errors import InvalidInput
from lorb.names import DomainSelector
from lorb_adapters.store.manifest import Manifest
from lorb_adapters.store.signing import SigningKey, make_key, manifest_sha256
from lorb_adapters.store.store import Store

AddCommand = Callable[[Callable[[Store, argparse.Namespace], int], str], argparse.ArgumentParser]


def add_signing_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", command: AddCommand) -> None:
    """`keygen`, which needs no store, and `sign`."""
    text = "make an Ed25519 key pair to sign versions with: KEY, and KEY.pub for servers' --trusted-keys"
    one = commands.add_parser("keygen", help=text, description=text)
    one.add_argument("key", type=Path, metavar="KEY", help="the private key's file, which must not be there yet")
    one.set_defaults(run_without_store=_keygen)
    one = command(_sign, "sign a published version, whose files are checked first; replaces an older signature")
    one.add_argument(
        "selector",
        metavar="DOMAIN@VERSION",
        help="a full version id: an alias may be pointed elsewhere by whoever can write to the store",
    )
    one.add_argument("--signing-key", type=Path, required=True, metavar="KEY", help="a private key of keygen")
    one.add_argument(
        "--manifest-sha256",
        metavar="HEX",
        help="sign only if manifest.json has this sha256, as lorb-train-adapter told it when it published",
    )


def _keygen(arguments: argparse.Namespace) -> int:
    public, key_id = make_key(arguments.key)
    print(f"key {key_id}: {arguments.key} signs, keep it; {public} is for servers")
    return 0


def _sign(store: Store, arguments: argparse.Namespace) -> int:
    key = SigningKey(arguments.signing_key)
    selector = DomainSelector.parse(arguments.selector)
    if selector.version is None:
        raise InvalidInput(
            f"which version of {selector.domain}? Name it as {selector.domain}@VERSION: aliases are not signed, and "
            "whoever can write to the store may have pointed one at a version that is not yours",
            field="selector",
        )
    content = store.sign(selector.domain, selector.version, key, arguments.manifest_sha256)
    print(f"{selector.domain} {selector.version} signed with key {key.key_id}:")
    for name, value in _signed(content):
        print(f"  {name:16}{value}")
    return 0


def _signed(content: bytes) -> Iterator[tuple[str, object]]:
    """What a signature vouches for, in a few lines that its owner can compare with what was trained."""
    manifest = Manifest.parse(content)
    yield "manifest sha256", manifest_sha256(content)
    yield "created", manifest.created_time
    yield "base", f"{manifest.base_name} ({manifest.base_fingerprint[:12]})"
    yield "weight", manifest.ranking.weight
    for name, digest in manifest.training_data.items():
        yield "trained on", f"{name} ({digest[:12]})"
