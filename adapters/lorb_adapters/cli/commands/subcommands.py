"""Adds subcommands to the parser of `lorb-adapters` and opens the store for them."""

import argparse
import os
from collections.abc import Callable

from lorb.errors import InvalidInput
from lorb_adapters.store.store import Store

STORE_VARIABLE = "LORB_STORE"
SELECTOR_METAVAR = "DOMAIN[@VERSION|@ALIAS]"
SELECTOR_HELP = "a domain (its stable version), DOMAIN@VERSION or DOMAIN@ALIAS"


class Subcommands:
    """The subcommands of one parser. A subcommand sets `run`, which takes the arguments and returns the exit status."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._subparsers = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(self, name: str, run: Callable[[Store, argparse.Namespace], int], help_: str) -> argparse.ArgumentParser:
        """Adds a command that works on a store; returns its parser."""
        subparser = self.add_without_store(name, lambda arguments: run(_open_store(arguments), arguments), help_)
        # --store is accepted after the command too; SUPPRESS keeps a value given before the command
        subparser.add_argument("--store", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        return subparser

    def add_without_store(
        self, name: str, run: Callable[[argparse.Namespace], int], help_: str
    ) -> argparse.ArgumentParser:
        """Adds a command that needs no store; returns its parser."""
        subparser = self._subparsers.add_parser(name, help=help_, description=help_)
        subparser.set_defaults(run=run)
        return subparser


def _open_store(arguments: argparse.Namespace) -> Store:
    url: str | None = arguments.store or os.environ.get(STORE_VARIABLE)
    if not url:
        raise InvalidInput(f"no store is given: use --store or set {STORE_VARIABLE}", field="store")
    return Store(url)
