"""FallbackRetries: sends lists again that the server had no time or room to rescore."""

import threading
from collections.abc import Callable

from lorb.errors import DeadlineExceeded, LorbError, Overloaded
from lorb.nbest import NBest
from lorb.ranked import FallbackReason, Outcome, Ranked
from lorb_client.rescore.retry import retry_overloaded

# Each further attempt for a list has this multiple of the run's deadline.
DEADLINE_FACTORS = (2, 4, 8)
# After so many lists in a row that no attempt could rescore, the run goes on without further attempts.
MAX_FAILURES_IN_A_ROW = 3

Result = Ranked | LorbError


class FallbackRetries:
    """Sends lists again that the server had no time or room to rescore. Safe to share between threads.

    One list is under way at a time, alone in its call, so that retries add little to the server's load.
    """

    def __init__(
        self,
        rescore: Callable[[NBest, float], Result],
        *,
        timeout_seconds: float,
        max_wait_seconds: float,
        pause: Callable[[float], bool],
        on_retry: Callable[[], None],
    ) -> None:
        """Prepares the retries.

        Args:
            rescore: rescores one list within the given seconds.
            timeout_seconds: the deadline that the lists had; further attempts have DEADLINE_FACTORS times as long.
            max_wait_seconds: maximum sum of the pauses of one attempt while the server has no room.
            pause: waits for the given seconds; returns True to give up.
            on_retry: is called when a list is sent again, by one thread at a time.
        """
        self._rescore = rescore
        self._timeout_seconds = timeout_seconds
        self._max_wait_seconds = max_wait_seconds
        self._pause = pause
        self._on_retry = on_retry
        self._lock = threading.Lock()
        self._failures_in_a_row = 0

    def improved(self, nbest: NBest, result: Result) -> Result:
        """Returns `result`, or the best result of further attempts if more time or room may help.

        Raises LorbError if a further call fails.
        """
        if not _more_time_may_help(result):
            return result
        with self._lock:
            if self._failures_in_a_row == MAX_FAILURES_IN_A_ROW:
                return result
            self._on_retry()
            best = result
            for factor in DEADLINE_FACTORS:
                result = self._attempt(nbest, factor * self._timeout_seconds)
                best = max(result, best, key=_completeness)
                if not _has_no_time(result):
                    break
            self._failures_in_a_row = self._failures_in_a_row + 1 if _more_time_may_help(best) else 0
            return best

    def _attempt(self, nbest: NBest, timeout_seconds: float) -> Result:
        def rescore() -> Result:
            result = self._rescore(nbest, timeout_seconds)
            if _has_no_room(result):
                raise _NoRoom(result)
            return result

        try:
            return retry_overloaded(rescore, self._max_wait_seconds, self._pause)
        except _NoRoom as error:
            return error.result
        except (DeadlineExceeded, Overloaded) as error:
            return error


class _NoRoom(Overloaded):
    """The server had no room for one list, and answered with `result`."""

    def __init__(self, result: Result) -> None:
        super().__init__("no room for this list")
        self.result = result
        self.retry_seconds = result.retry_seconds if isinstance(result, LorbError) else None


def _completeness(result: Result) -> int:
    if isinstance(result, LorbError):
        return 0
    return {Outcome.FIRST_PASS: 1, Outcome.PARTIAL: 2}.get(result.outcome, 3)


def _more_time_may_help(result: Result) -> bool:
    return _has_no_time(result) or _has_no_room(result)


def _has_no_time(result: Result) -> bool:
    return _is_fallback(result, FallbackReason.DEADLINE) or isinstance(result, DeadlineExceeded)


def _has_no_room(result: Result) -> bool:
    return _is_fallback(result, FallbackReason.QUEUE_FULL) or isinstance(result, Overloaded)


def _is_fallback(result: Result, reason: FallbackReason) -> bool:
    return isinstance(result, Ranked) and result.outcome is not Outcome.RESCORED and result.fallback_reason is reason
