"""Decides when a dead front process is restarted."""

from collections import deque

WINDOW_SECONDS = 60.0
# After more deaths than this in WINDOW_SECONDS, the front is not restarted. The pauses between them add up to 11 s.
MAX_DEATHS = 8
_FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0


class Restarts:
    """The pauses before one front's restarts: none at first, then longer ones. Gives up after too many deaths."""

    def __init__(self) -> None:
        self._deaths: deque[float] = deque()

    def pause_seconds(self, now: float) -> float | None:
        """Records a death at `now`. Returns the pause before the restart, or None if there is to be no restart."""
        self._deaths.append(now)
        while self._deaths[0] <= now - WINDOW_SECONDS:
            self._deaths.popleft()
        before = len(self._deaths) - 1
        if before >= MAX_DEATHS:
            return None
        return min(_FIRST_PAUSE_SECONDS * 2 ** (before - 1), LONGEST_PAUSE_SECONDS) if before else 0.0
