"""Builds the rescoring service and its gRPC server around a scorer, and starts and stops the server."""

import os

from lorb.v1 import rescoring_pb2_grpc
from lorb_adapters.text import TextEncoder
from lorb_server.adapter import BaseInfo
from lorb_server.call import ListScorer
from lorb_server.config import ServeConfig
from lorb_server.registry.router import Routing
from lorb_server.rescoring.rescorer import Rescorer
from lorb_server.rescoring.shadow import Shadow
from lorb_server.rpc.health import Health
from lorb_server.rpc.interceptors import call_interceptors, callers
from lorb_server.rpc.rescoring import RescoringService
from lorb_server.rpc.server import RESCORING, listen, make_server
from lorb_server.rpc.tls import TlsFiles
from lorb_server.telemetry.metrics import Metrics
from lorb_server.telemetry.tracing import open_tracing
from lorb_server.thread_pool import full_pool


class CallServer:
    """Answers the calls of the rescoring service in this process. Belongs to the event loop."""

    def __init__(
        self,
        config: ServeConfig,
        base: BaseInfo,
        text_encoder: TextEncoder,
        routing: Routing,
        scorer: ListScorer,
        metrics: Metrics,
        health: Health,
        *,
        shares_port: bool = False,
    ) -> None:
        """With `shares_port`, other processes may listen on the same port.

        Raises InvalidInput if tracing cannot be opened.
        """
        self._config = config
        self._metrics = metrics
        self._tracing = open_tracing(config.otlp_endpoint, os.environ)
        self._threads = full_pool(config.tokenizer_threads, "tokenizer")
        self._shadow = Shadow(scorer, text_encoder, self._threads, metrics.adapters)
        rescorer = Rescorer(
            scorer,
            text_encoder,
            self._threads,
            metrics,
            withdraw_canary=routing.withdraw_canary,
            shadow=self._shadow,
            tracing=self._tracing,
        )
        service = RescoringService(
            config,
            base,
            routing,
            rescorer,
            metrics,
            callers(config, metrics.callers),
            is_warm=lambda: health.has_served,
            tracing=self._tracing,
        )
        interceptors = call_interceptors(config, metrics.callers)
        self._server = make_server(config, RESCORING, health, interceptors, shares_port=shares_port)
        rescoring_pb2_grpc.add_RescoringServiceServicer_to_server(service, self._server)  # type: ignore[no-untyped-call]

    async def listen(self) -> int:
        """Starts listening and returns the port. Raises InvalidInput if the address is invalid or in use."""
        config = self._config
        return await listen(
            self._server, config.host, config.port, "port", TlsFiles.of_calls(config), self._metrics.callers
        )

    async def stop(self, grace_seconds: float) -> None:
        """Refuses new calls. Waits for the calls in flight, and cancels them after `grace_seconds`."""
        await self._server.stop(grace_seconds)
        await self._shadow.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._tracing is not None:
            await self._tracing.close()
