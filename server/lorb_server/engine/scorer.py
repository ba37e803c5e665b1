"""Scores a list: from the cache what was scored before, the rest in a pass of the model."""

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Protocol

from lorb_adapters.lora.weights import AdapterWeights
from lorb_adapters.text import EncodedHypothesis
from lorb_server.adapter import AdapterHandle
from lorb_server.call import MINIMUM_PARTIAL_HYPOTHESES, Job, Priority, Scored
from lorb_server.engine.batch import Request
from lorb_server.engine.engine import Engine
from lorb_server.engine.score_cache import Key, ScoreCache
from lorb_server.telemetry.metrics import Metrics

# A cache that gives so many of the scores may have a whole list that the model would be too late for.
USEFUL_HIT_SHARE = 0.05
HIT_SHARE_FORGETTING = 0.99  # weight of a list after each later one: the last 100 or so count


class AdapterWeightsSource(Protocol):
    """What scoring needs of `lorb_server.engine.adapter_cache.AdapterCache`."""

    def get(self, adapter: AdapterHandle) -> AdapterWeights | None:
        """Its weights on the device; None if they have left it."""

    async def reload(self, adapter: AdapterHandle) -> AdapterWeights:
        """Its weights, read from the store again."""


class Scorer:
    """Scores lists in this process. Belongs to the event loop."""

    def __init__(self, engine: Engine, residents: AdapterWeightsSource, cache: ScoreCache, metrics: Metrics) -> None:
        self._engine = engine
        self._residents = residents
        self._cache = cache
        self._metrics = metrics
        self._hit_share = 0.0
        metrics.watch_cache(lambda: cache.size_bytes)

    def check_room(self, domain: str, lane: Priority, *, minimum_tokens: int = 1, answer_by: float = math.inf) -> None:
        """See Scoring. Where scores are often in the cache, a deadline turns away only what is not in it."""
        if self._hit_share < USEFUL_HIT_SHARE:
            self._engine.check_room(domain, lane, minimum_tokens=minimum_tokens, answer_by=answer_by)
        else:
            self._engine.check_room(domain, lane)

    async def score(self, job: Job) -> Scored:
        """See Scoring."""
        keys = self._cache.keys(job.adapter.ref.digest, job.rows)
        scores: list[float | None] = [self._cache.get(key) for key in keys] if keys else [None] * len(job.rows)
        missing = [i for i, score in enumerate(scores) if score is None]
        self._count(len(scores) - len(missing), len(missing))
        if not missing:
            return _scored(scores, missing, 0.0, 0.0)
        passed = await self._engine.submit(await self._request(job, missing))
        for i, score in zip(missing, passed.scores, strict=False):
            scores[i] = score
        self._keep(keys, missing, passed.scores)
        return _scored(scores, missing, passed.queue_seconds, passed.infer_seconds)

    async def _request(self, job: Job, missing: Sequence[int]) -> Request:
        weights = self._residents.get(job.adapter) or await self._residents.reload(job.adapter)
        rows: list[EncodedHypothesis] = [job.rows[i] for i in missing]
        return Request(
            rows=rows,
            cumulative_tokens=tuple(accumulate(row.num_tokens for row in rows)),
            minimum_rows=_least_rows(missing) if job.may_be_partial else len(rows),
            domain=job.adapter.ref.domain,
            digest=job.adapter.ref.digest,
            weights=weights,
            answer_by=job.answer_by,
            lane=job.lane,
        )

    def _keep(self, keys: Sequence[Key], missing: Sequence[int], scores: Sequence[float]) -> None:
        for i, score in zip(missing, scores, strict=False):
            if keys and math.isfinite(score):
                self._cache.put(keys[i], score)

    def _count(self, hits: int, misses: int) -> None:
        if self._cache.max_bytes:
            share = hits / (hits + misses)
            self._hit_share += (1 - HIT_SHARE_FORGETTING) * (share - self._hit_share)
            self._metrics.cache_lookups.labels("hit").inc(hits)
            self._metrics.cache_lookups.labels("miss").inc(misses)


def _least_rows(missing: Sequence[int]) -> int:
    """How many of the missing rows make the first MINIMUM_PARTIAL_HYPOTHESES of the list complete; at least one."""
    return max(1, sum(i < MINIMUM_PARTIAL_HYPOTHESES for i in missing))


def _scored(
    scores: Sequence[float | None], missing: Sequence[int], queue_seconds: float, infer_seconds: float
) -> Scored:
    """The leading scores, and how many of these were known before: what is known behind a gap counts for nothing."""
    leading = _leading(scores)
    num_made = sum(i < len(leading) for i in missing)
    return Scored(leading, queue_seconds, infer_seconds, len(leading) - num_made)


def _leading(scores: Sequence[float | None]) -> tuple[float, ...]:
    """The scores up to the first that is not there."""
    leading: list[float] = []
    for score in scores:
        if score is None:
            break
        leading.append(score)
    return tuple(leading)
