"""What all commands share: common flags, the message about a missing extra, and the handling of SIGTERM."""

import argparse
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lorb import __version__

SHELLS = ("bash", "zsh")
_FOLDER_METAVARS = ("DIR", "STORE", "BASE")


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --version and --print-completion, which every command has."""
    parser.add_argument("--version", action="version", version=f"{parser.prog} {__version__}")
    parser.add_argument(
        "--print-completion",
        action=_PrintCompletion,
        choices=SHELLS,
        default=argparse.SUPPRESS,
        help="print the shell's completion script for this command, and exit",
    )


@contextmanager
def require_extra(program: str, extra: str) -> Iterator[None]:
    """If a package is missing, prints one line that names the extra to install, and exits with status 2.

    Import the extra's packages in the body of the `with` statement. A missing module of LoRB itself is raised as usual.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if not missing or missing.startswith("lorb"):
            raise
        print(f"{program}: {missing} is not installed: pip install 'lorb[{extra}]'", file=sys.stderr)  # noqa: T201
        sys.exit(2)


@contextmanager
def sigterm_as_keyboard_interrupt() -> Iterator[None]:
    """Raises KeyboardInterrupt on SIGTERM, so that `timeout` and `docker stop` run the same clean-up as Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():  # Python allows handlers in the main thread only
        yield
        return
    previous_handler = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous_handler)


class _PrintCompletion(argparse.Action):
    """Prints the completion script and exits. Like --help, it does so before argparse checks required arguments."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        import shtab  # imported here, because only this flag needs shtab

        for action in _actions(parser):
            if (action.metavar or action.dest.upper()) in _FOLDER_METAVARS:
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
            elif action.type is Path or action.metavar == "FILE":
                action.complete = shtab.FILE  # type: ignore[attr-defined]
        print(shtab.complete(parser, str(values)))  # noqa: T201 - output of a command
        parser.exit()


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for subparser in action.choices.values():
                yield from _actions(subparser)
