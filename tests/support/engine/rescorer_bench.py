"""A rescorer on a real engine and a stub model, with a list and adapters for it."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from lorb.errors import LorbError
from lorb.ranked import AdapterRef, FallbackPolicy, Ranked, RescoreOptions
from lorb_server.adapter import Route
from lorb_server.call import Priority, RescoreCall
from lorb_server.engine.batch_runner import BatchRunner
from lorb_server.engine.engine import Engine
from lorb_server.engine.scheduling.scheduler import Scheduler
from lorb_server.engine.score_cache import ScoreCache
from lorb_server.engine.scorer import Scorer
from lorb_server.engine.workers.worker import WorkerParts
from lorb_server.rescoring.rescorer import Rescorer
from lorb_server.telemetry.metrics import Metrics
from support.servers.serving import WAIT_SECONDS, scored_list
from support.servers.stub_model import StubModel, adapter_handle, adapter_weights

ADAPTER, CANARY = adapter_handle(1), adapter_handle(2)
FAIL = RescoreOptions(fallback_policy=FallbackPolicy.FAIL)
LIST = scored_list("the cat sat", "the cat sad", "a cat sat", "the  cat sat", id="u7")


class Bench:
    """A rescorer with its engine, model and metrics."""

    def __init__(self, text_encoder, max_queue_tokens, cache_bytes):
        self.model, self.metrics = StubModel(), Metrics()
        self.text_encoder = text_encoder
        scheduler = Scheduler(
            max_batch_tokens=100, max_queue_tokens=max_queue_tokens, max_bulk_queue_tokens=max_queue_tokens
        )
        self.engine = Engine([WorkerParts(BatchRunner(self.model, self.metrics, 100))], scheduler, self.metrics)
        self.threads = ThreadPoolExecutor(1)
        self.withdrawn: list[tuple[str, str]] = []
        self.offered: list[Ranked] = []
        self.load_errors: dict[AdapterRef, LorbError] = {}
        self.rescorer = Rescorer(
            Scorer(self.engine, self, ScoreCache(cache_bytes), self.metrics),
            text_encoder,
            self.threads,
            self.metrics,
            withdraw_canary=lambda adapter, reason: self.withdrawn.append((adapter.ref.version, reason)),
            shadow=self,
        )

    def get(self, adapter):
        """The weights of an adapter; None if a test has set an error for loading them."""
        return None if adapter.ref in self.load_errors else adapter_weights(int(adapter.ref.digest, 16))

    async def reload(self, adapter):
        """Raises the error that a test has set."""
        raise self.load_errors[adapter.ref]

    def offer(self, call, ranked):
        """Records the answers that the shadow would compare."""
        self.offered.append(ranked)

    def call(
        self, nbest=LIST, options=None, *, seconds=WAIT_SECONDS, adapter=ADAPTER, priority=Priority.INTERACTIVE, **route
    ):
        """A call with this list."""
        now = asyncio.get_running_loop().time()
        return RescoreCall(
            nbest=nbest,
            options=options or RescoreOptions(),
            route=Route(adapter, **route),
            started_at=now,
            answer_by=now + seconds,
            priority=priority,
        )

    async def rescore(self, *arguments, **settings):
        """The answer of the rescorer."""
        return await self.rescorer.rescore(self.call(*arguments, **settings))

    def sample(self, name, **labels):
        """The value of a metric of the domain `voice`; 0 if it has none yet."""
        return self.metrics.registry.get_sample_value(name, {"domain": "voice", **labels}) or 0
