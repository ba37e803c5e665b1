"""A running server whose model a test holds, so that calls wait."""

import time
from concurrent.futures import ThreadPoolExecutor

from support.servers.serving import WAIT_SECONDS
from support.servers.stub_model import StubModel


class HeldServer:
    """A running server whose model a test holds, with calls that wait for it."""

    def __init__(self, server):
        self.server = server
        self.model = StubModel()
        server.app.engine._runner._model = self.model
        self.callers = ThreadPoolExecutor(16)

    def hold(self, calls=1, **fields):
        """Starts calls; returns their futures once the first is in the model and the others wait."""
        self.model.gate.clear()
        self.model.entered.clear()
        first = self.call(**fields)
        assert self.model.entered.wait(WAIT_SECONDS)
        others = [self.call(**fields) for _ in range(calls - 1)]
        self.until(lambda: self.queued == calls - 1)
        return [first, *others]

    def call(self, **fields):
        """Starts one; returns its future."""
        return self.callers.submit(self.server.rescore, "the cat", "a cat", **fields)

    @property
    def queued(self):
        """How many lists wait."""
        return self.server.app.engine._scheduler.queued_lists

    def until(self, condition):
        """Returns when it holds."""
        limit = time.monotonic() + WAIT_SECONDS
        while not condition():
            assert time.monotonic() < limit
            time.sleep(0.001)
