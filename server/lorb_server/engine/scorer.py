"""Scores a list: takes known scores from the score cache, and has the engine score the other hypotheses."""

import math
from collections.abc import Sequence
from typing import Protocol

from lorb_adapters.lora.weights import AdapterWeights
from lorb_server.adapter import AdapterHandle
from lorb_server.call import MINIMUM_PARTIAL_HYPOTHESES, Call, Scored
from lorb_server.engine.engine import Engine
from lorb_server.engine.scheduling.deadline_queue import Entry
from lorb_server.engine.score_cache import ScoreCache
from lorb_server.telemetry.metrics import Metrics

# While at least this share of recent cache lookups are hits, the deadline is not checked before tokenisation.
USEFUL_HIT_SHARE = 0.05
HIT_SHARE_DECAY = 0.99  # each new list multiplies the weights of earlier lists by this: about the last 100 lists count


class WeightsSource(Protocol):
    """The methods of `lorb_server.engine.adapter_cache.AdapterCache` that the scorer uses."""

    def get(self, adapter: AdapterHandle) -> AdapterWeights | None:
        """The adapter's weights; None if they are not on the device."""

    async def reload(self, adapter: AdapterHandle) -> AdapterWeights:
        """Reads the adapter's weights from the store again and returns them. Raises LorbError."""


class Scorer:
    """Scores lists in this process. Belongs to the event loop."""

    def __init__(self, engine: Engine, weights: WeightsSource, cache: ScoreCache, metrics: Metrics) -> None:
        self._engine = engine
        self._weights = weights
        self._cache = cache
        self._metrics = metrics
        self._hit_share = 0.0  # the share of a list's scores that were cached: a decaying average over lists
        metrics.watch_cache(lambda: cache.size_bytes)

    def check_admission(self, call: Call, minimum_tokens: int) -> None:
        """Raises an error if the list will certainly be refused: see `ListScorer`. Called before tokenisation.

        Holds the adapter's weights for the call. While cache hits are frequent, the deadline is not checked here: the
        cache may hold scores of the whole list.
        """
        call.weights = self._weights.get(call.adapter)
        if self._hit_share < USEFUL_HIT_SHARE:
            self._engine.check_admission(call, minimum_tokens)
        else:
            self._engine.check_admission(call, 1, ignores_deadline=True)

    async def score(self, call: Call) -> Scored:
        """Scores a tokenised list. Cancelling the task takes the list out of the queue.

        Raises Overloaded if the queue is full, DeadlineExceeded if the list would be late, ModelFailed if the model
        fails, and Unavailable if the engine has ended. If the adapter's weights must be reloaded, raises the LorbError
        of a failed reload.
        """
        keys = self._cache.keys(call.adapter.ref.digest, call.hypotheses, call.caller)
        scores: list[float | None] = [self._cache.get(key) for key in keys] if keys else [None] * len(call.hypotheses)
        missing = [i for i, score in enumerate(scores) if score is None]
        self._count_lookups(len(scores) - len(missing), len(missing))
        if not missing:
            return _leading(scores, missing)
        weights = call.weights or self._weights.get(call.adapter) or await self._weights.reload(call.adapter)
        minimum = _minimum_missing(missing) if call.may_be_partial else len(missing)
        entry = Entry(call, [call.hypotheses[i] for i in missing], minimum, weights)
        result = await self._engine.submit(entry)
        for i, score in zip(missing, result.scores, strict=False):  # fewer scores if the engine cut the list
            scores[i] = score
            if keys and math.isfinite(score):
                self._cache.put(keys[i], score)
        return _leading(scores, missing, result.queue_seconds, result.infer_seconds)

    def _count_lookups(self, hits: int, misses: int) -> None:
        if self._cache.max_bytes:
            share = hits / (hits + misses)
            self._hit_share += (1 - HIT_SHARE_DECAY) * (share - self._hit_share)
            self._metrics.cache_lookups.labels("hit").inc(hits)
            self._metrics.cache_lookups.labels("miss").inc(misses)


def _minimum_missing(missing: Sequence[int]) -> int:
    """How many uncached scores a partial answer needs, at least one. `missing` has the indices of uncached scores."""
    return max(1, sum(i < MINIMUM_PARTIAL_HYPOTHESES for i in missing))


def _leading(
    scores: Sequence[float | None], missing: Sequence[int], queue_seconds: float = 0.0, infer_seconds: float = 0.0
) -> Scored:
    """The result: the scores before the first None. `missing` has the indices of the scores that were not cached."""
    leading: list[float] = []
    for score in scores:
        if score is None:
            break
        leading.append(score)
    num_scored_now = sum(i < len(leading) for i in missing)
    return Scored(tuple(leading), queue_seconds, infer_seconds, len(leading) - num_scored_now)
