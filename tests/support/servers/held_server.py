"""A running server with a stub model that a test can hold, so that calls wait."""

import time
from concurrent.futures import ThreadPoolExecutor

from support.servers.serving import WAIT_SECONDS
from support.servers.stub_model import StubModel, use_stub_model


class HeldServer:
    """A running server with a stub model, and threads that call it."""

    def __init__(self, server):
        self.server = server
        self.model = StubModel()
        use_stub_model(server, self.model)
        self.callers = ThreadPoolExecutor(16)

    def hold(self, calls=1, **fields):
        """Starts calls. Returns their futures when the first is in the model and the others are queued."""
        self.model.gate.clear()
        self.model.entered.clear()
        first = self.call(**fields)
        assert self.model.entered.wait(WAIT_SECONDS)
        others = [self.call(**fields) for _ in range(calls - 1)]
        self.until(lambda: self.queued == calls - 1)
        return [first, *others]

    def call(self, **fields):
        """Starts a call; returns its future."""
        return self.callers.submit(self.server.rescore, "the cat", "a cat", **fields)

    @property
    def queued(self):
        """The number of queued lists."""
        return self.server.app.engine._queue._scheduler.queued_lists

    def until(self, condition):
        """Returns when `condition()` is true."""
        limit = time.monotonic() + WAIT_SECONDS
        while not condition():
            assert time.monotonic() < limit
            time.sleep(0.001)
