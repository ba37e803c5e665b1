"""The commands `list` and `show`."""

import argparse
import json
from collections.abc import Iterator, Mapping

from lorb.errors import LorbError
from lorb.names import CANARY, DomainSelector
from lorb_adapters.cli.commands.output import print_table
from lorb_adapters.cli.commands.subcommands import SELECTOR_HELP, SELECTOR_METAVAR, Subcommands
from lorb_adapters.json_files import flattened_json
from lorb_adapters.store.signing import manifest_sha256
from lorb_adapters.store.store import Store
from lorb_adapters.store.version_files import parse_manifest


def add_inspection_commands(subcommands: Subcommands) -> None:
    """Adds `list` and `show`."""
    command = subcommands.add("list", _list, "list versions and the aliases that point at them")
    command.add_argument("--domain", help="list only this domain")
    command = subcommands.add("show", _show, "show a version's manifest and its domain's aliases")
    command.add_argument("selector", metavar=SELECTOR_METAVAR, help=SELECTOR_HELP)
    command.add_argument("--json", action="store_true", help="print manifest and aliases as JSON")


def _list(store: Store, arguments: argparse.Namespace) -> int:
    domains = [arguments.domain] if arguments.domain else store.domains()
    rows = [row for domain in domains for row in _version_rows(store, domain)]
    print_table(("domain", "version", "aliases", "created", "base"), rows)
    return 0


def _version_rows(store: Store, domain: str) -> Iterator[tuple[str, ...]]:
    aliases = store.aliases(domain)
    for version in store.versions(domain):
        names = " ".join(_with_share(name, aliases.by_name[name].share) for name in aliases.pointing_at(version))
        try:
            manifest = store.manifest(domain, version)
            yield domain, version, names, manifest.created_time, manifest.base_name
        except LorbError as error:
            yield domain, version, names, "", f"unreadable: {error}"


def _with_share(alias: str, share: float) -> str:
    return f"{alias} {share:.0%}" if alias == CANARY else alias


def _show(store: Store, arguments: argparse.Namespace) -> int:
    selector = DomainSelector.parse(arguments.selector)
    version = store.resolve(selector)
    content = store.manifest_content(selector.domain, version)
    manifest = parse_manifest(content, selector.domain, version).to_json()
    digest = manifest_sha256(content)
    aliases = store.aliases(selector.domain).to_json()
    if arguments.json:
        shown = {"manifest": manifest, "manifest_sha256": digest, "aliases": aliases}
        print(json.dumps(shown, indent=2, ensure_ascii=False))
        return 0
    manifest["golden_lists"] = len(manifest["golden_lists"])
    print_table(("manifest", ""), [*_rows(manifest), ("(sha256 of manifest.json)", digest)])
    print_table(("aliases", ""), _rows(aliases))
    return 0


def _rows(json_object: Mapping[str, object]) -> list[tuple[str, str]]:
    return [(path, str(value)) for path, value in flattened_json(json_object)]
