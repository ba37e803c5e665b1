"""lorb-adapters: looks at a store of published adapters and changes what serves."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lorb.errors import InvalidAdapter, InvalidInput, LorbError, UnknownDomain
from lorb.names import CANARY, SHADOW, STABLE, DomainSelector
from lorb_cli.command import add_common_arguments, needing_extra

with needing_extra("lorb-adapters", "serve"):
    from lorb_adapters.cli.signing import add_signing_commands
    from lorb_adapters.store.aliases import AliasChange
    from lorb_adapters.store.archive import read_archive, write_archive
    from lorb_adapters.store.loading import verified_files
    from lorb_adapters.store.signing import TrustedKeys, manifest_sha256
    from lorb_adapters.store.store import Store
    from lorb_adapters.store.version_files import placed_manifest

Check = Callable[[str, str], None]

_ADVICE = "promote another version, or unalias it"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status: 1 where `verify` found a bad version, 2 for an error."""
    arguments = parser().parse_args(argv)
    try:
        if arguments.run_without_store is not None:
            status: int = arguments.run_without_store(arguments)
        else:
            status = arguments.run(Store(_store_url(arguments)), arguments)
    except LorbError as error:
        print("lorb-adapters:", *str(error).split(), file=sys.stderr)
        return 2
    return status


def parser() -> argparse.ArgumentParser:
    """All commands and their flags."""
    made = argparse.ArgumentParser(
        prog="lorb-adapters",
        description="Looks at a store of published adapters and changes what serves.",
        epilog="lorb-adapters COMMAND --help tells of one command. Exit status: 0 done; 1 verify found a bad version; "
        "2 an argument or the store is wrong.",
    )
    made.add_argument("--store", help="folder or fsspec URL of the store; otherwise LORB_STORE in the environment")
    add_common_arguments(made)
    made.set_defaults(run_without_store=None)
    commands = made.add_subparsers(required=True, metavar="COMMAND")

    def command(run: Callable[[Store, argparse.Namespace], int], help_: str) -> argparse.ArgumentParser:
        added = commands.add_parser(run.__name__.strip("_").replace("_", "-"), help=help_, description=help_)
        # after the command as well; absent there, what stands before it is kept
        added.add_argument("--store", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        added.set_defaults(run=run)
        return added

    selector = "a domain (its stable version), DOMAIN@VERSION or DOMAIN@ALIAS"
    one = command(_list, "list versions and the aliases that point at them")
    one.add_argument("--domain", help="only this one")
    one = command(_show, "show what a version says about itself")
    one.add_argument("selector", metavar="DOMAIN[@VERSION|@ALIAS]", help=selector)
    one.add_argument("--json", action="store_true", help="print manifest and aliases as JSON")
    one = command(_verify, "read versions and check their files' digests; exit status 1 if one is bad")
    one.add_argument(
        "selector",
        nargs="?",
        metavar="DOMAIN[@VERSION|@ALIAS]",
        help="all versions of a domain, or one; without it, everything in the store",
    )
    one.add_argument("--base", help="also load them onto this base and reproduce the golden scores")
    one.add_argument("--trusted-keys", type=Path, metavar="FILE", help="also want them signed by one of these keys")
    one = command(_promote, "point an alias at a version; a running server follows within its poll interval")
    one.add_argument("domain", metavar="DOMAIN", help="whose alias")
    one.add_argument("version", metavar="VERSION", help="a full version id, or an alias that points at it")
    one.add_argument("--alias", default=STABLE, help=f"{STABLE} (default), {CANARY}, {SHADOW} or another name")
    one.add_argument("--share", type=float, help="the canary's share of calls, above 0 and at most 1")
    one = command(_rollback, "point stable at the version it had before")
    one.add_argument("domain", metavar="DOMAIN", help="whose alias")
    one = command(_unalias, "take an alias away, as at the end of a canary")
    one.add_argument("domain", metavar="DOMAIN", help="whose alias")
    one.add_argument("alias", metavar="ALIAS", help="any but stable")
    one = command(_prune, "remove old versions, never one that an alias or a rollback needs")
    one.add_argument("domain", metavar="DOMAIN", help="whose versions")
    one.add_argument("--keep", type=int, required=True, help="how many of the newest versions stay in any case")
    one.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    one = command(_export, "write a version to a tar")
    one.add_argument("selector", metavar="DOMAIN[@VERSION|@ALIAS]", help=selector)
    one.add_argument("out", type=Path, metavar="OUT.tar", help="the file to write")
    one = command(_import, "add a version from a tar that export wrote, or from a version's folder")
    one.add_argument("file", type=Path, metavar="FILE.tar", help="the tar, or a folder that holds one version")
    one.add_argument("--promote", action="store_true", help="point stable at it")
    add_signing_commands(commands, command)
    return made


def _store_url(arguments: argparse.Namespace) -> str:
    url: str | None = arguments.store or os.environ.get("LORB_STORE")
    if not url:
        raise InvalidInput("which store? Give --store or set LORB_STORE", field="store")
    return url


def _list(store: Store, arguments: argparse.Namespace) -> int:
    domains = [arguments.domain] if arguments.domain else store.domains()
    rows = [row for domain in domains for row in _version_rows(store, domain)]
    _print_table(("domain", "version", "aliases", "created", "base"), rows)
    return 0


def _version_rows(store: Store, domain: str) -> Iterator[tuple[str, ...]]:
    aliases = store.aliases(domain)
    for version in store.versions(domain):
        names = " ".join(_shared(name, aliases.by_name[name].share) for name in aliases.pointing_at(version))
        try:
            manifest = store.manifest(domain, version)
            yield domain, version, names, manifest.created_time, manifest.base_name
        except LorbError as error:
            yield domain, version, names, "", f"unreadable: {error}"


def _show(store: Store, arguments: argparse.Namespace) -> int:
    selector = DomainSelector.parse(arguments.selector)
    version = store.resolve(selector)
    content = store.manifest_content(selector.domain, version)
    manifest = placed_manifest(content, selector.domain, version).to_json()
    digest = manifest_sha256(content)
    aliases = store.aliases(selector.domain).to_json()
    if arguments.json:
        shown = {"manifest": manifest, "manifest_sha256": digest, "aliases": aliases}
        print(json.dumps(shown, indent=2, ensure_ascii=False))
        return 0
    manifest["golden_lists"] = len(manifest["golden_lists"])
    _print_table(("manifest", ""), [*_flattened(manifest), ("(sha256 of manifest.json)", digest)])
    _print_table(("aliases", ""), list(_flattened(aliases)))
    return 0


def _verify(store: Store, arguments: argparse.Namespace) -> int:
    trusted = TrustedKeys(arguments.trusted_keys) if arguments.trusted_keys else None
    check = _base_check(store, arguments.base, trusted) if arguments.base else _file_check(store, trusted)
    rows, num_bad = [], 0
    for domain, version in _selected(store, arguments.selector):
        try:
            check(domain, version)
            rows.append((domain, version, "ok"))
        except LorbError as error:
            rows.append((domain, version, f"{type(error).__name__}: {error}"))
            num_bad += 1
    dangling = _dangling(store, arguments.selector)
    _print_table(("domain", "version", "result"), rows + dangling)
    return 1 if num_bad or dangling else 0


def _dangling(store: Store, text: str | None) -> list[tuple[str, str, str]]:
    """Rows for the aliases of whole domains whose version is not there."""
    selector = None if text is None else DomainSelector.parse(text)
    if selector is not None and (selector.alias or selector.version):
        return []  # its one version has a row of its own
    rows = []
    for domain in store.possible_domains() if selector is None else [selector.domain]:
        with suppress(UnknownDomain, InvalidAdapter):  # a folder, or a link, that is no domain
            there = store.existing_versions(domain)
            rows += [
                (domain, alias, f"UnknownVersion: it points at {target.version}, which is not there: {_ADVICE}")
                for alias, target in store.aliases(domain).by_name.items()
                if target.version not in there
            ]
    return rows


def _selected(store: Store, text: str | None) -> list[tuple[str, str]]:
    if text is None:
        return [(domain, version) for domain in store.domains() for version in store.versions(domain)]
    selector = DomainSelector.parse(text)
    if selector.alias is None and selector.version is None:
        return [(selector.domain, version) for version in store.versions(selector.domain)]
    return [(selector.domain, store.resolve(selector))]


def _file_check(store: Store, trusted: TrustedKeys | None) -> Check:
    def check(domain: str, version: str) -> None:
        verified_files(store, domain, version, trusted)

    return check


def _base_check(store: Store, base_name: str, trusted: TrustedKeys | None) -> Check:
    # imported here: transformers takes seconds to load, and only this command needs it
    from lorb_adapters.base.loader import load_base
    from lorb_adapters.model import RescoringModel
    from lorb_adapters.store.loading import check_golden, load_adapter

    base = load_base(base_name)
    model = RescoringModel(base)

    def check(domain: str, version: str) -> None:
        check_golden(load_adapter(store, domain, version, base, trusted), model, base.text_encoder)

    return check


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


def _prune(store: Store, arguments: argparse.Namespace) -> int:
    removed = store.prune(arguments.domain, keep=arguments.keep, dry_run=arguments.dry_run)
    for each in removed:
        print("would remove" if arguments.dry_run else "removed", arguments.domain, each)
    if not removed:
        print("nothing to remove")
    return 0


def _export(store: Store, arguments: argparse.Namespace) -> int:
    selector = DomainSelector.parse(arguments.selector)
    manifest, files = verified_files(store, selector.domain, store.resolve(selector))
    write_archive(arguments.out, manifest, files)
    print(f"{manifest.domain} {manifest.version} -> {arguments.out}")
    return 0


def _import(store: Store, arguments: argparse.Namespace) -> int:
    manifest = store.add(read_archive(arguments.file), set_stable=arguments.promote)
    print(f"{arguments.file} -> {manifest.domain} {manifest.version}")
    return 0


def _print_change(domain: str, change: AliasChange) -> None:
    print(f"{domain}@{change.alias}: {change.from_version or 'none'} -> {change.to_version or 'none'}")


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on a terminal; lines with tabs, and no heading, for another program."""
    if not sys.stdout.isatty():
        for row in rows:
            print(*row, sep="\t")
        return
    table = Table(*columns)
    for row in rows:
        table.add_row(*row)
    Console(markup=False).print(table)


def _flattened(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Nested JSON as (path, text) rows."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flattened(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        for i, inner in enumerate(value):
            yield from _flattened(inner, f"{path}[{i}]")
    else:
        yield path, str(value)


def _shared(name: str, share: float) -> str:
    return f"{name} {share:.0%}" if name == CANARY else name


if __name__ == "__main__":
    sys.exit(main())
