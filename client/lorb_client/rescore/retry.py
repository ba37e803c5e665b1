"""A call that waits for a server without room for it."""

from collections.abc import Callable
from typing import TypeVar

from lorb.errors import Overloaded

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 1.0

Answer = TypeVar("Answer")


def retry_overloaded(call: Callable[[], Answer], max_wait_seconds: float, pause: Callable[[float], bool]) -> Answer:
    """Makes a call, and makes it again after a pause as long as the server is Overloaded.

    Args:
        call: raises Overloaded where the server has no room.
        max_wait_seconds: all pauses together; what the calls take does not count.
        pause: waits so many seconds; True where nobody wants the answer any more.

    Returns the answer; raises what `call` raises, Overloaded when the pauses are used up. They grow from
    FIRST_PAUSE_SECONDS to LONGEST_PAUSE_SECONDS, and are never shorter than the server asks.
    """
    waited, growing = 0.0, FIRST_PAUSE_SECONDS
    while True:
        try:
            return call()
        except Overloaded as error:
            seconds = max(growing, error.retry_seconds or 0.0)
            if waited + seconds > max_wait_seconds or pause(seconds):
                raise
            waited += seconds
            growing = min(2 * growing, LONGEST_PAUSE_SECONDS)
