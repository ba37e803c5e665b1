"""grpc.health.v1 for all of the server's services, which serve or do not serve together.

grpcio-health-checking's own asyncio servicer (1.81) forgets the remaining watchers of a service when one of
them leaves, and client-side load balancing rests on Watch.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from grpc import StatusCode
from grpc.aio import ServicerContext
from grpc_health.v1 import health_pb2, health_pb2_grpc

_Response = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Answers Check and Watch. Belongs to the event loop. Starts NOT_SERVING."""

    def __init__(self, services: Iterable[str]) -> None:
        """`services` are full names; the empty name, the server as a whole, is there anyway.

        Whoever sets `on_change` is called with every change.
        """
        self._services = frozenset(("", *services))
        self._changed = asyncio.Event()
        self._draining = False
        self._closed = False
        self.serving = False
        self.has_served = False  # warm: calls are answered, also while draining
        self.on_change: Callable[[], None] = lambda: None

    def serve(self) -> None:
        """Says SERVING from now on, unless a drain has begun."""
        if not self._draining:
            self.has_served = True
            self._change(serving=True)

    def drain(self) -> None:
        """Says NOT_SERVING for good."""
        self._draining = True
        self._change(serving=False)

    def close(self) -> None:
        """Ends all watches, which would hold up the server's end."""
        self._closed = True
        self._change(serving=False)

    def show(self, *, is_serving: bool, has_served: bool) -> None:
        """Says what another process' health says."""
        self.has_served = has_served
        self._change(serving=is_serving and not self._draining)

    async def Check(self, request: Any, context: ServicerContext[Any, Any]) -> Any:  # noqa: ANN401, D102, N802
        if request.service not in self._services:
            await context.abort(StatusCode.NOT_FOUND, "no such service here")
        return _Response(status=self._status(request.service))

    async def Watch(  # noqa: D102, N802
        self,
        request: Any,  # noqa: ANN401
        context: ServicerContext[Any, Any],
    ) -> AsyncIterator[Any]:
        told = None
        while not self._closed:
            changed = self._changed
            status = self._status(request.service)
            if status != told:
                told = status
                yield _Response(status=status)
            await changed.wait()

    def _status(self, service: str) -> int:
        if service not in self._services:
            return int(_Response.SERVICE_UNKNOWN)
        return int(_Response.SERVING if self.serving else _Response.NOT_SERVING)

    def _change(self, *, serving: bool) -> None:
        self.serving = serving
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        self.on_change()
