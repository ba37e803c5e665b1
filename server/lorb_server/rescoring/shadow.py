"""Scores answered lists with the domain's shadow adapter while the model is idle.

Counts how often the shadow adapter ranks another text first than the answer did.
"""

import asyncio
import logging
import math
from concurrent.futures import Executor

from lorb.errors import DeadlineExceeded, LorbError, Overloaded
from lorb.ranked import Ranked
from lorb_adapters.ranking import rank
from lorb_adapters.text import TextEncoder
from lorb_server.adapter import AdapterHandle
from lorb_server.call import Call, ListScorer, Priority, RescoreCall
from lorb_server.telemetry.adapter_metrics import AdapterMetrics
from lorb_server.telemetry.logs import log_failure

MAX_WAITING = 64
MAX_WAIT_SECONDS = 30.0

_log = logging.getLogger(__name__)


class Shadow:
    """Compares answers with the rankings of shadow adapters. Belongs to the event loop.

    A shadow list is scored in a pass of its own while nothing else waits: a call that arrives meanwhile waits for this
    one list at most.
    """

    def __init__(
        self,
        scorer: ListScorer,
        text_encoder: TextEncoder,
        threads: Executor,
        metrics: AdapterMetrics,
        *,
        max_waiting: int = MAX_WAITING,
        max_wait_seconds: float = MAX_WAIT_SECONDS,
    ) -> None:
        """At most `max_waiting` lists wait, each for at most `max_wait_seconds`; other lists are dropped."""
        self._scorer = scorer
        self._text_encoder = text_encoder
        self._threads = threads
        self._metrics = metrics
        self._max_waiting = max_waiting
        self._max_wait_seconds = max_wait_seconds
        self._waiting: set[asyncio.Task[None]] = set()

    def offer(self, call: RescoreCall, ranked: Ranked) -> None:
        """Queues an answered list for comparison with the shadow of the call's route. Never raises."""
        shadow = call.route.shadow
        if shadow is None:
            return
        if len(self._waiting) >= self._max_waiting:
            self._metrics.shadow_dropped.labels(shadow.ref.domain).inc()
            return
        task = asyncio.get_running_loop().create_task(self._compare(call, shadow, ranked.hypotheses[0].index))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def drain(self) -> None:
        """Waits until every list offered so far has been compared or dropped."""
        await asyncio.gather(*self._waiting)

    async def close(self) -> None:
        """Cancels the comparisons that are not finished."""
        tasks = list(self._waiting)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _compare(self, call: RescoreCall, shadow: AdapterHandle, best: int) -> None:
        domain = shadow.ref.domain
        try:
            shadow_best = await self._best(call, shadow)
        except (Overloaded, DeadlineExceeded):
            self._metrics.shadow_dropped.labels(domain).inc()
            return
        except LorbError:
            self._metrics.shadow_failures.labels(domain).inc()
            return
        except Exception as error:
            log_failure(_log, "a shadow comparison failed", error, domain=domain, version=shadow.ref.version)
            self._metrics.shadow_failures.labels(domain).inc()
            return
        if shadow_best is None:
            self._metrics.shadow_failures.labels(domain).inc()
            return
        self._metrics.shadow_comparisons.labels(domain).inc()
        if _distinct_index(call, shadow_best) != _distinct_index(call, best):
            self._metrics.shadow_disagreements.labels(domain).inc()

    async def _best(self, call: RescoreCall, shadow: AdapterHandle) -> int | None:
        """The list index of the hypothesis that the shadow ranks first; None if the shadow's scores are not finite."""
        loop = asyncio.get_running_loop()
        answer_by = loop.time() + self._max_wait_seconds
        shadow_call = Call(adapter=shadow, answer_by=answer_by, priority=Priority.IDLE, caller=call.caller)
        self._scorer.check_admission(shadow_call, 1)
        texts = [hypothesis.transcript for hypothesis in call.distinct]
        encode = self._text_encoder.encode
        shadow_call.hypotheses = await loop.run_in_executor(
            self._threads, encode, texts, call.nbest.context, shadow.normalization, shadow.uses_context
        )
        scored = await self._scorer.score(shadow_call)
        if not all(map(math.isfinite, scored.scores)):
            return None
        truncated = [hypothesis.truncated for hypothesis in shadow_call.hypotheses]
        arguments = (call.nbest, call.distinct, scored.scores, truncated, shadow.ranking, call.options)
        hypotheses = await loop.run_in_executor(self._threads, rank, *arguments)
        return hypotheses[0].index


def _distinct_index(call: RescoreCall, index: int) -> int:
    """The index in `call.distinct` of the text that the list's hypothesis number `index` has."""
    return next(i for i, text in enumerate(call.distinct) if index in text.positions)
