"""`lorb-adapters`: inspects a store of published adapters and changes which versions are served."""

import argparse
import sys
from collections.abc import Sequence

from lorb.errors import LorbError
from lorb_cli.command import add_common_arguments, require_extra

_PROGRAM = "lorb-adapters"

with require_extra(_PROGRAM, "serve"):
    from lorb_adapters.cli.commands.aliases import add_alias_commands
    from lorb_adapters.cli.commands.inspection import add_inspection_commands
    from lorb_adapters.cli.commands.signing import add_signing_commands
    from lorb_adapters.cli.commands.subcommands import STORE_VARIABLE, Subcommands
    from lorb_adapters.cli.commands.verification import add_verify_command
    from lorb_adapters.cli.commands.versions import add_version_commands

_USAGE_ERROR = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0 for success, 1 if `verify` found a bad version, 2 for an error."""
    arguments = parser().parse_args(argv)
    try:
        with require_extra(_PROGRAM, "serve"):  # a command imports torch only if it reads weights
            status: int = arguments.run(arguments)
    except LorbError as error:
        print(f"{_PROGRAM}:", *str(error).split(), file=sys.stderr)
        return _USAGE_ERROR
    return status


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    result = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="Inspects a store of published adapters and changes which versions are served.",
        epilog="lorb-adapters COMMAND --help describes one command. Exit status: 0 done; 1 verify found a bad version; "
        "2 an argument or the store is wrong.",
    )
    result.add_argument(
        "--store", help=f"folder or fsspec URL of the store (default: {STORE_VARIABLE} in the environment)"
    )
    add_common_arguments(result)
    subcommands = Subcommands(result)
    add_inspection_commands(subcommands)
    add_verify_command(subcommands)
    add_alias_commands(subcommands)
    add_version_commands(subcommands)
    add_signing_commands(subcommands)
    return result


if __name__ == "__main__":
    sys.exit(main())
