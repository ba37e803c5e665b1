"""What commands share: --version, --print-completion, a word to whoever lacks an extra, an orderly end by SIGTERM."""

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
_FOLDERS = ("DIR", "STORE", "BASE")


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that every command has."""
    parser.add_argument("--version", action="version", version=f"{parser.prog} {__version__}")
    parser.add_argument(
        "--print-completion",
        action=_PrintCompletion,
        choices=SHELLS,
        default=argparse.SUPPRESS,
        help="print what the shell needs to complete this command, and stop",
    )


@contextmanager
def needing_extra(program: str, extra: str) -> Iterator[None]:
    """Ends the process with one line, status 2, where a package that `extra` installs is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if not missing or missing.startswith("lorb"):
            raise
        print(f"{program}: {missing} is not installed: pip install 'lorb[{extra}]'", file=sys.stderr)  # noqa: T201
        sys.exit(2)


@contextmanager
def interrupted_by_sigterm() -> Iterator[None]:
    """Here SIGTERM is a KeyboardInterrupt, so that `timeout` and `docker stop` leave no unfinished file either."""
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's alone
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _PrintCompletion(argparse.Action):
    """Prints the script and exits, whatever else is missing, as --help does."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        import shtab  # late: no other use of a command needs it

        for action in _actions(parser):
            if (action.metavar or action.dest.upper()) in _FOLDERS:
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
            elif action.type is Path or action.metavar == "FILE":
                action.complete = shtab.FILE  # type: ignore[attr-defined]
        print(shtab.complete(parser, str(values)))  # noqa: T201 - a command's output
        parser.exit()


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for subparser in action.choices.values():
                yield from _actions(subparser)
