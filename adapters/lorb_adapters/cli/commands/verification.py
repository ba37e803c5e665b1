"""The command `verify`."""

import argparse
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from lorb.errors import InvalidAdapter, LorbError, UnknownDomain
from lorb.names import DomainSelector
from lorb_adapters.cli.commands.output import print_table
from lorb_adapters.cli.commands.subcommands import SELECTOR_METAVAR, Subcommands
from lorb_adapters.store.signing import TrustedKeys
from lorb_adapters.store.store import Store
from lorb_adapters.store.verified_loading import load_adapter, read_verified_files

Check = Callable[[str, str], None]  # takes a domain and a version; raises LorbError for a bad version

_ADVICE = "promote another version, or unalias it"
_FOUND_BAD = 1


def add_verify_command(subcommands: Subcommands) -> None:
    """Adds `verify`."""
    command = subcommands.add(
        "verify", _verify, "read versions and check their files' digests; exit status 1 if a version is bad"
    )
    command.add_argument(
        "selector",
        nargs="?",
        metavar=SELECTOR_METAVAR,
        help="all versions of a domain, or one version (default: every version in the store)",
    )
    command.add_argument(
        "--base", help="also load each version onto this base and check that it reproduces its golden scores"
    )
    command.add_argument(
        "--trusted-keys", type=Path, metavar="FILE", help="also require a signature by one of these keys"
    )


def _verify(store: Store, arguments: argparse.Namespace) -> int:
    trusted = TrustedKeys(arguments.trusted_keys) if arguments.trusted_keys else None
    check = _base_check(store, arguments.base, trusted) if arguments.base else _file_check(store, trusted)
    selector = DomainSelector.parse(arguments.selector) if arguments.selector is not None else None
    rows, num_bad = [], 0
    for domain, version in _selected(store, selector):
        try:
            check(domain, version)
            rows.append((domain, version, "ok"))
        except LorbError as error:
            rows.append((domain, version, f"{type(error).__name__}: {error}"))
            num_bad += 1
    dangling = _dangling_aliases(store, selector)
    print_table(("domain", "version", "result"), rows + dangling)
    return _FOUND_BAD if num_bad or dangling else 0


def _selected(store: Store, selector: DomainSelector | None) -> list[tuple[str, str]]:
    if selector is None:
        return [(domain, version) for domain in store.domains() for version in store.versions(domain)]
    if selector.alias is None and selector.version is None:
        return [(selector.domain, version) for version in store.versions(selector.domain)]
    return [(selector.domain, store.resolve(selector))]


def _dangling_aliases(store: Store, selector: DomainSelector | None) -> list[tuple[str, str, str]]:
    """Rows for the aliases that point at a missing version; none if `selector` selects one version."""
    if selector is not None and (selector.alias or selector.version):
        return []
    rows = []
    for domain in store.candidate_domains() if selector is None else [selector.domain]:
        with suppress(UnknownDomain, InvalidAdapter):  # a folder or a link that is not a domain
            existing = store.versions_or_empty(domain)
            rows += [
                (domain, alias, f"UnknownVersion: it points at {target.version}, which does not exist: {_ADVICE}")
                for alias, target in store.aliases(domain).by_name.items()
                if target.version not in existing
            ]
    return rows


def _file_check(store: Store, trusted: TrustedKeys | None) -> Check:
    def check(domain: str, version: str) -> None:
        read_verified_files(store, domain, version, trusted)

    return check


def _base_check(store: Store, base_name: str, trusted: TrustedKeys | None) -> Check:
    # imported here: torch and transformers take seconds to import, and only this check needs them
    from lorb_adapters.base.loader import load_base
    from lorb_adapters.model import RescoringModel
    from lorb_adapters.store.golden_scores import check_golden_scores

    base = load_base(base_name)
    model = RescoringModel(base)

    def check(domain: str, version: str) -> None:
        adapter = load_adapter(store, domain, version, base, trusted)
        check_golden_scores(adapter, model, base.text_encoder)

    return check
