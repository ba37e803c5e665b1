"""When to start a front again that has died. Pure."""

from collections import deque

WINDOW_SECONDS = 60.0
MAX_DEATHS = 8  # in the window; the pauses before them add up to about 12 s
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0


class Restarts:
    """Of one front. One death is an accident and mended at once; one after the other is a fault of ours."""

    def __init__(self) -> None:
        self._deaths: deque[float] = deque()

    def pause_seconds(self, now: float) -> float | None:
        """Notes a death and tells how long to wait before the next start; None where there should be none."""
        self._deaths.append(now)
        while self._deaths[0] <= now - WINDOW_SECONDS:
            self._deaths.popleft()
        before = len(self._deaths) - 1
        if before >= MAX_DEATHS:
            return None
        return min(_FIRST_PAUSE_SECONDS * 2 ** (before - 1), _LONGEST_PAUSE_SECONDS) if before else 0.0
