"""The commands that remove and transfer versions: `prune`, `export` and `import`."""

import argparse
from pathlib import Path

from lorb.names import DomainSelector
from lorb_adapters.cli.commands.subcommands import SELECTOR_HELP, SELECTOR_METAVAR, Subcommands
from lorb_adapters.store.archive import read_archive, write_archive
from lorb_adapters.store.store import Store
from lorb_adapters.store.verified_loading import read_verified_files


def add_version_commands(subcommands: Subcommands) -> None:
    """Adds `prune`, `export` and `import`."""
    command = subcommands.add("prune", _prune, "remove old versions, except those that an alias or a rollback needs")
    command.add_argument("domain", metavar="DOMAIN", help="the domain of the versions")
    command.add_argument("--keep", type=int, required=True, help="keep at least this many of the newest versions")
    command.add_argument("--dry-run", action="store_true", help="print what would be removed and remove nothing")
    command = subcommands.add("export", _export, "write a version to a tar")
    command.add_argument("selector", metavar=SELECTOR_METAVAR, help=SELECTOR_HELP)
    command.add_argument("out", type=Path, metavar="OUT.tar", help="the file to write")
    command = subcommands.add(
        "import", _import, "add a version from a tar written by export or from a version's folder"
    )
    command.add_argument("file", type=Path, metavar="FILE.tar", help="the tar, or a folder that holds one version")
    command.add_argument("--promote", action="store_true", help="point stable at the imported version")


def _prune(store: Store, arguments: argparse.Namespace) -> int:
    removed = store.prune(arguments.domain, keep=arguments.keep, dry_run=arguments.dry_run)
    for each in removed:
        print("would remove" if arguments.dry_run else "removed", arguments.domain, each)
    if not removed:
        print("nothing to remove")
    return 0


def _export(store: Store, arguments: argparse.Namespace) -> int:
    selector = DomainSelector.parse(arguments.selector)
    manifest, files = read_verified_files(store, selector.domain, store.resolve(selector))
    write_archive(arguments.out, manifest, files)
    print(f"{manifest.domain} {manifest.version} -> {arguments.out}")
    return 0


def _import(store: Store, arguments: argparse.Namespace) -> int:
    manifest = store.add(read_archive(arguments.file), set_stable=arguments.promote)
    print(f"{arguments.file} -> {manifest.domain} {manifest.version}")
    return 0
