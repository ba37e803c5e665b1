"""An event loop whose time passes only when nobody has anything to do: waits of minutes take none."""

import asyncio
import selectors


class _JumpingSelector(selectors.SelectSelector):
    """Instead of waiting it moves the clock on."""

    now = 1000.0

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everybody waits for what will never come"
            self.now += max(0.0, timeout)
        return ready


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Timers fire in order, at once; `advance` is time that somebody spends without giving way."""

    def __init__(self):
        self._simulated = _JumpingSelector()
        super().__init__(self._simulated)

    def time(self):
        """Seconds, simulated."""
        return self._simulated.now

    def advance(self, seconds):
        """Lets time pass inside a callback, as heavy work would."""
        self._simulated.now += seconds


def simulated(coroutine):
    """Runs a coroutine on a SimulatedLoop."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(coroutine)
