"""An event loop with simulated time: waiting takes no real time."""

import asyncio
import selectors


class _JumpingSelector(selectors.SelectSelector):
    """Advances the clock instead of waiting."""

    now = 1000.0

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "deadlock: no timer is pending"
            self.now += max(0.0, timeout)
        return ready


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Runs timers in order without waiting; `advance` simulates time spent inside a callback."""

    def __init__(self):
        self._simulated = _JumpingSelector()
        super().__init__(self._simulated)

    def time(self):
        """The simulated time; seconds."""
        return self._simulated.now

    def advance(self, seconds):
        """Advances the clock inside a callback, as heavy work would."""
        self._simulated.now += seconds


def simulated(coroutine):
    """Runs a coroutine on a SimulatedLoop."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(coroutine)
