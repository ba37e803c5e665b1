"""grpc.health.v1: one status for all services of the server.

This module replaces the asyncio servicer of grpcio-health-checking (1.81). When one watcher of a service leaves, that
servicer drops the other watchers too. Client-side load balancing needs a reliable Watch.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from grpc import StatusCode
from grpc.aio import ServicerContext
from grpc_health.v1 import health_pb2, health_pb2_grpc

_Response = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Answers Check and Watch. Belongs to the event loop. Starts as NOT_SERVING.

    Attributes:
        serving: whether the status is SERVING.
        has_served: whether the status was ever SERVING. Once it was, calls are answered, even during a drain.
        on_change: a function that is called after every change of the status.
    """

    def __init__(self, services: Iterable[str]) -> None:
        """`services` are the full names of the services. The empty name is always known: it means the whole server."""
        self._services = frozenset(("", *services))
        self._changed = asyncio.Event()
        self._draining = False
        self._closed = False
        self.serving = False
        self.has_served = False
        self.on_change: Callable[[], None] = lambda: None

    def serve(self) -> None:
        """Changes to SERVING, unless a drain has begun."""
        if not self._draining:
            self.has_served = True
            self._change(serving=True)

    def drain(self) -> None:
        """Changes to NOT_SERVING for good."""
        self._draining = True
        self._change(serving=False)

    def close(self) -> None:
        """Ends all Watch calls, because an open one would delay the shutdown."""
        self._closed = True
        self._change(serving=False)

    def mirror(self, *, is_serving: bool, has_served: bool) -> None:
        """Copies the status of another process, but stays NOT_SERVING if a drain has begun here."""
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
        last_sent = None
        while not self._closed:
            changed = self._changed
            status = self._status(request.service)
            if status != last_sent:
                last_sent = status
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
