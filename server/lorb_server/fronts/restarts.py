"""Decides when a dead front process is restarted."""

from collections import deque

WINDOW_SECONDS = 60.0
MAX_DEATHS = 8  # more deaths than this in WINDOW_SECONDS end the restarts; the pauses between add up to 11 s
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0


class Restarts:
    """The back-off of one front: restarts at once, then after growing pauses; gives up after too many deaths."""

    def __init__(self) -> None:
        self._deaths: deque[float] = deque()

    def pause_seconds(self, now: float) -> float | None:
        """Records a death at `now`; returns the pause before the restart, or None to give up."""
        self._deaths.append(now)
        while self._deaths[0] <= now - WINDOW_SECONDS:
            self._deaths.popleft()
        before = len(self._deaths) - 1
        if before >= MAX_DEATHS:
            return None
        return min(_FIRST_PAUSE_SECONDS * 2 ** (before - 1), _LONGEST_PAUSE_SECONDS) if before else 0.0
