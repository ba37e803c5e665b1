"""Real front processes whose scoring and routing a test controls."""

import asyncio
from contextlib import asynccontextmanager

import grpc
import psutil

from lorb.v1 import rescoring_pb2 as pb
from lorb.v1 import rescoring_pb2_grpc
from lorb_server.config import ServeConfig
from lorb_server.fronts.fronts import Fronts
from lorb_server.parts import base_info
from lorb_server.rpc.health import Health
from lorb_server.rpc.server import ADMIN, RESCORING
from lorb_server.telemetry.metrics import Metrics
from support.servers.front_pair import HeldScoring, ScriptedRouting

START_SECONDS = 120.0  # long enough for two processes on a busy machine to import torch

# The key of a sample: the number of rescored lists of the domain "voice".
RESCORED_LISTS = (
    "lorb_rescore_requests",
    "lorb_rescore_requests_total",
    (("domain", "voice"), ("outcome", "rescored"), ("reason", "")),
)


class FrontedServer:
    """A server of front processes with held scoring and scripted routing, and methods that call it."""

    def __init__(self, base, **settings):
        self.scoring = HeldScoring()
        self.routing = ScriptedRouting()
        self.metrics = Metrics()
        self.health = Health((RESCORING, ADMIN))
        self.failed = asyncio.Event()
        defaults = {"port": 0, "front_processes": 2, "default_deadline_seconds": 60.0, "log_level": "error"}
        self.fronts = Fronts(
            ServeConfig(**{**defaults, **settings}), base_info(base), base.text_encoder, self.routing, self.scoring,
            self.metrics, self.health, on_failure=self.failed.set,
        )  # fmt: skip
        self.health.on_change = self.fronts.note_change
        self.port = 0

    async def start(self):
        """Returns when all fronts serve."""
        self.port = await self.fronts.listen()
        self.health.serve()
        await self.fronts.wait_for_state()

    @asynccontextmanager
    async def channel(self):
        """Opens a new connection, which the kernel gives to one of the fronts."""
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.port}", options=options) as channel:
            yield channel

    async def call(self, *texts, channel=None, **fields):
        """Rescores a list over `channel`, or over a new connection."""
        hypotheses = [pb.Hypothesis(transcript=text, first_pass_score=-float(i)) for i, text in enumerate(texts)]
        request = pb.RescoreRequest(hypotheses=hypotheses, **{"domain": "voice", **fields})
        if channel is not None:
            return await rescoring_pb2_grpc.RescoringServiceStub(channel).Rescore(request, timeout=60)
        async with self.channel() as own:
            return await rescoring_pb2_grpc.RescoringServiceStub(own).Rescore(request, timeout=60)

    async def retrying_call(self, *texts, **fields):
        """Rescores a list over new connections until a front is available."""
        while True:
            try:
                return await self.call(*texts, **fields)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise

    async def count_rescored(self):
        """Asks all fronts for their metrics and returns the number of lists that they have rescored."""
        return (await self.fronts.measure()).get(RESCORED_LISTS, 0.0)


@asynccontextmanager
async def fronted_server(base, **settings):
    """Starts a server with front processes and stops it afterwards; checks that all processes have ended."""
    server = FrontedServer(base, **settings)
    async with asyncio.timeout(START_SECONDS):
        try:
            await server.start()
            yield server
        finally:
            server.scoring.gate.set()
            processes = server.fronts.process_ids
            await server.fronts.stop(5.0)
    assert not [process for process in processes if psutil.pid_exists(process)]
    assert not server.fronts.process_ids
