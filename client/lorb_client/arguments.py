"""Checks of arguments that the client's commands have in common."""

import argparse

from lorb.errors import InvalidInput


def with_port(target: str, flag: str) -> str:
    """Returns `target` if it names a port; raises InvalidInput that names the flag otherwise."""
    if ":" not in target:
        raise InvalidInput(f"{flag} {target!r} names no port: give HOST:PORT, as localhost:50051")
    return target


def positive_count(text: str) -> int:
    """A count of 1 or more, for argparse."""
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a count, 1 or more")
    return count
