"""The commands that the package installs, and their parsers."""

import argparse
import tomllib
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[3]
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]


def parser_of(command):
    """Creates the parser of a command such as "lorb-serve"."""
    return import_module(SCRIPTS[command].partition(":")[0]).parser()


def actions_of(parser):
    """Yields all arguments of a parser and of its subcommands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for subparser in action.choices.values():
                yield from actions_of(subparser)
        else:
            yield action


def flags_of(parser):
    """Returns all option strings of a parser and of its subcommands."""
    return {flag for action in actions_of(parser) for flag in action.option_strings}
