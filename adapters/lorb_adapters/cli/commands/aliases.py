"""The commands that change aliases: `promote`, `rollback` and `unalias`."""

import argparse

from lorb.names import CANARY, SHADOW, STABLE, DomainSelector
from lorb_adapters.cli.commands.subcommands import Subcommands
from lorb_adapters.store.alias_history import AliasChange
from lorb_adapters.store.store import Store


def add_alias_commands(subcommands: Subcommands) -> None:
    """Adds `promote`, `rollback` and `unalias`."""
    command = subcommands.add(
        "promote", _promote, "point an alias at a version; a running server follows within its poll interval"
    )
    command.add_argument("domain", metavar="DOMAIN", help="the domain of the alias")
    command.add_argument("version", metavar="VERSION", help="a full version id, or an alias of the version")
    command.add_argument("--alias", default=STABLE, help=f"{STABLE} (default), {CANARY}, {SHADOW} or another name")
    command.add_argument("--share", type=float, help="the canary's share of calls, above 0 and at most 1")
    command = subcommands.add("rollback", _rollback, "point stable at its previous version")
    command.add_argument("domain", metavar="DOMAIN", help="the domain of the alias")
    command = subcommands.add("unalias", _unalias, "remove an alias, for example at the end of a canary")
    command.add_argument("domain", metavar="DOMAIN", help="the domain of the alias")
    command.add_argument("alias", metavar="ALIAS", help="any alias but stable")


def _promote(store: Store, arguments: argparse.Namespace) -> int:
    version = store.resolve(DomainSelector.parse(f"{arguments.domain}@{arguments.version}"))
    _print_change(arguments.domain, store.set_alias(arguments.domain, arguments.alias, version, arguments.share))
    return 0


def _rollback(store: Store, arguments: argparse.Namespace) -> int:
    _print_change(arguments.domain, store.rollback(arguments.domain))
    return 0


def _unalias(store: Store, arguments: argparse.Namespace) -> int:
    _print_change(arguments.domain, store.remove_alias(arguments.domain, arguments.alias))
    return 0


def _print_change(domain: str, change: AliasChange) -> None:
    completed = f" (completes the rollback of {change.time})" if change.is_unfinished else ""
    print(f"{domain}@{change.alias}: {change.from_version or 'none'} -> {change.to_version or 'none'}{completed}")
