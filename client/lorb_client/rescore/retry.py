"""Retries calls that an overloaded server refuses."""

from collections.abc import Callable
from typing import TypeVar

from lorb.errors import Overloaded

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 1.0

Answer = TypeVar("Answer")


def retry_overloaded(call: Callable[[], Answer], max_wait_seconds: float, pause: Callable[[float], bool]) -> Answer:
    """Makes a call, and repeats it after a pause while it raises Overloaded.

    The first pause is FIRST_PAUSE_SECONDS. Each further pause is twice as long, up to LONGEST_PAUSE_SECONDS. If the
    server asks for a longer pause, the pause is that long.

    Args:
        call: makes the call.
        max_wait_seconds: maximum sum of the pauses; the duration of the calls does not count.
        pause: waits for the given seconds; returns True to give up.

    Returns:
        What `call` returns.

    Raises:
        Overloaded: the server was still overloaded after `max_wait_seconds`, or `pause` gave up.
        Exception: what `call` raises otherwise.
    """
    waited_seconds, backoff_seconds = 0.0, FIRST_PAUSE_SECONDS
    while True:
        try:
            return call()
        except Overloaded as error:
            pause_seconds = max(backoff_seconds, error.retry_seconds or 0.0)
            if waited_seconds + pause_seconds > max_wait_seconds or pause(pause_seconds):
                raise
            waited_seconds += pause_seconds
            backoff_seconds = min(2 * backoff_seconds, LONGEST_PAUSE_SECONDS)
