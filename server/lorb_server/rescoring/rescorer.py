"""One list from text to ranks: tokenise, score, rank; or the first-pass order, with the reason."""

import asyncio
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import Protocol

from lorb.errors import DeadlineExceeded, LorbError, ModelFailed, Overloaded
from lorb.nbest import DistinctHypothesis, NBest
from lorb.ranked import (
    FallbackPolicy,
    FallbackReason,
    Outcome,
    Ranked,
    RankedHypothesis,
    RescoreOptions,
    Selection,
    Timings,
)
from lorb_adapters.ranking import first_pass, rank, sole
from lorb_adapters.text import EncodedHypothesis, TextEncoder
from lorb_server.adapter import TRANSIENT_ERRORS, AdapterHandle, Route
from lorb_server.call import MINIMUM_PARTIAL_HYPOTHESES, Job, Priority, Scored, Scoring
from lorb_server.telemetry.metrics import Metrics
from lorb_server.telemetry.tracing import Tracing

_NOT_FINITE = "the scores of this list came out as NaN or infinite"


@dataclass(slots=True)
class Call:
    """One list on its way through the server.

    Attributes:
        nbest, options: what was asked.
        route: which adapter answers, pinned at admission, and what stands beside it.
        started_at, answer_by: on the event loop's clock. Seconds.
        lane: who waits for it.
        tokenize_seconds: set once it is known.
        decoded_at, tokenized_at, scored_at: when those stages ended, on the same clock; `scored_at` is None until then.
    """

    nbest: NBest
    options: RescoreOptions
    route: Route
    started_at: float
    answer_by: float
    lane: Priority
    distinct: tuple[DistinctHypothesis, ...] = field(init=False)
    tokenize_seconds: float = field(default=0.0, init=False)
    decoded_at: float = field(init=False)
    tokenized_at: float = field(default=0.0, init=False)
    scored_at: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.distinct = self.nbest.distinct()
        self.decoded_at = self.started_at

    @property
    def adapter(self) -> AdapterHandle:
        """The adapter that answers."""
        return self.route.adapter


class Comparing(Protocol):
    """What a rescored list is shown to: `lorb_server.rescoring.shadow.Shadow`."""

    def offer(self, call: Call, ranked: Ranked) -> None:
        """Notes an answer that another adapter may be compared with, later. Never raises."""


class Rescorer:
    """Answers lists. Belongs to the event loop; texts are tokenised on `threads`."""

    def __init__(
        self,
        scoring: Scoring,
        text_encoder: TextEncoder,
        threads: Executor,
        metrics: Metrics,
        *,
        withdraw_canary: Callable[[AdapterHandle, str], None] = lambda adapter, reason: None,
        shadow: Comparing | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        """`withdraw_canary` is told of a canary that failed, and why: it is to get no more calls."""
        self._scoring = scoring
        self._text_encoder = text_encoder
        self._threads = threads
        self._metrics = metrics
        self._withdraw_canary = withdraw_canary
        self._shadow = shadow
        self._tracing = tracing

    async def rescore(self, call: Call) -> Ranked:
        """The list in its new order, by `call.answer_by`.

        Raises under the FAIL policy Overloaded, DeadlineExceeded or ModelFailed where it cannot be rescored,
        and under either ModelFailed where the pass or the model's thread failed, and why the adapter's weights
        could not be brought back.
        """
        if len(call.distinct) == 1:
            return self._finished(call, sole(call.nbest, call.options), Scored((), 0.0, 0.0))
        try:
            ranked = await self._rescore(call)
        except _AdapterFailed as failed:
            if not failed.has_scores:
                raise failed.error from None
            return self._degraded(call, FallbackReason.INVALID_SCORE, failed.error)
        if self._shadow is not None and call.route.shadow is not None and ranked.outcome is Outcome.RESCORED:
            self._shadow.offer(call, ranked)
        return ranked

    async def _rescore(self, call: Call) -> Ranked:
        """Scores with the canary where the call is routed to it, and with `stable` where the canary fails."""
        stable = call.route.stable
        try:
            return await self._rescore_with_one(call)
        except _AdapterFailed as failed:
            if stable is None:
                raise
            if failed.is_its_fault:
                self._withdraw_canary(call.adapter, failed.error.message)
            call.route = replace(call.route, adapter=stable, stable=None)
            return await self._rescore_with_one(call)

    async def _rescore_with_one(self, call: Call) -> Ranked:
        try:
            async with asyncio.timeout_at(call.answer_by):
                rows = await self._tokenize(call)
                scored = await self._scoring.score(self._job(call, rows))
                call.scored_at = asyncio.get_running_loop().time()
        except TimeoutError:
            late = DeadlineExceeded(
                "the deadline came before the list was rescored; allow more time, or accept DEGRADE"
            )
            return self._degraded(call, FallbackReason.DEADLINE, late)
        except DeadlineExceeded as error:
            return self._degraded(call, FallbackReason.DEADLINE, error)
        except Overloaded as error:
            return self._degraded(call, FallbackReason.QUEUE_FULL, error)
        except ModelFailed as error:
            raise _AdapterFailed(error) from error
        except LorbError as error:  # its weights had left the device and cannot be had again
            raise _AdapterFailed(error, is_its_fault=not isinstance(error, TRANSIENT_ERRORS)) from error
        if not all(map(math.isfinite, scored.scores)):
            self._metrics.invalid_scores.labels(call.adapter.ref.domain).inc()
            raise _AdapterFailed(ModelFailed(_NOT_FINITE), has_scores=True)
        hypotheses = await self._rank(call, rows, scored)
        if not all(map(_is_finite, hypotheses)):  # the caller's own scores and weight are at the edge of doubles
            self._metrics.invalid_scores.labels(call.adapter.ref.domain).inc()
            return self._degraded(call, FallbackReason.INVALID_SCORE, ModelFailed(_NOT_FINITE))
        return self._finished(call, hypotheses, scored, rows)

    def _job(self, call: Call, rows: Sequence[EncodedHypothesis]) -> Job:
        may_be_partial = call.options.fallback_policy is not FallbackPolicy.FAIL
        return Job(rows, call.adapter, call.answer_by, call.lane, may_be_partial)

    async def _tokenize(self, call: Call) -> Sequence[EncodedHypothesis]:
        self._scoring.check_room(
            call.adapter.ref.domain, call.lane, minimum_tokens=self._least_tokens(call), answer_by=call.answer_by
        )
        loop = asyncio.get_running_loop()
        started = loop.time()
        rows = await loop.run_in_executor(
            self._threads,
            self._text_encoder.encode,
            [hypothesis.transcript for hypothesis in call.distinct],
            call.nbest.context,
            call.adapter.normalization,
            call.adapter.uses_context,
        )
        call.tokenized_at = loop.time()
        call.tokenize_seconds = call.tokenized_at - started
        return rows

    def _least_tokens(self, call: Call) -> int:
        """The fewest that scoring can be worth while with: one for each word, and one that closes each text."""
        texts = call.distinct
        if call.options.fallback_policy is not FallbackPolicy.FAIL:
            texts = texts[:MINIMUM_PARTIAL_HYPOTHESES]
        longest = self._text_encoder.max_tokens
        return sum(min(longest, len(text.transcript.split()) + 1) for text in texts)

    async def _rank(
        self, call: Call, rows: Sequence[EncodedHypothesis], scored: Scored
    ) -> tuple[RankedHypothesis, ...]:
        truncated = [row.truncated for row in rows]
        arguments = (call.nbest, call.distinct, scored.scores, truncated, call.adapter.ranking, call.options)
        if call.options.selection is Selection.MAP:
            return rank(*arguments)
        # minimum Bayes risk compares all pairs of texts: too long for the event loop
        return await asyncio.get_running_loop().run_in_executor(self._threads, rank, *arguments)

    def _finished(
        self,
        call: Call,
        hypotheses: tuple[RankedHypothesis, ...],
        scored: Scored,
        rows: Sequence[EncodedHypothesis] = (),
    ) -> Ranked:
        domain, counts = call.adapter.ref.domain, self._metrics.hypotheses
        skipped = len(call.distinct) - len(scored.scores) if scored.scores else 0
        counts.labels(domain, "scored").inc(len(scored.scores) - scored.num_cached)
        counts.labels(domain, "cached").inc(scored.num_cached)
        counts.labels(domain, "skipped").inc(skipped)
        counts.labels(domain, "deduplicated").inc(len(call.nbest.hypotheses) - len(call.distinct))
        self._metrics.truncated.labels(domain).inc(sum(row.truncated for row in rows))
        scores = [text.first_pass_score for text in call.distinct if text.first_pass_score is not None]
        if scores:
            self._metrics.observe_first_pass(domain, sum(scores) / len(scores))
        if hypotheses[0].index not in call.distinct[0].positions:
            self._metrics.rank_changed.labels(domain).inc()
        if skipped:
            return self._answer(call, hypotheses, Outcome.PARTIAL, FallbackReason.DEADLINE, scored)
        return self._answer(call, hypotheses, Outcome.RESCORED, None, scored)

    def _degraded(self, call: Call, reason: FallbackReason, error: LorbError) -> Ranked:
        if call.options.fallback_policy is FallbackPolicy.FAIL:
            raise error
        self._metrics.hypotheses.labels(call.adapter.ref.domain, "skipped").inc(len(call.nbest.hypotheses))
        return self._answer(call, first_pass(call.nbest, call.options), Outcome.FIRST_PASS, reason)

    def _answer(
        self,
        call: Call,
        hypotheses: tuple[RankedHypothesis, ...],
        outcome: Outcome,
        reason: FallbackReason | None,
        scored: Scored | None = None,
    ) -> Ranked:
        now = asyncio.get_running_loop().time()
        timings = Timings(
            total_seconds=now - call.started_at,
            tokenize_seconds=call.tokenize_seconds,
            queue_seconds=scored.queue_seconds if scored else 0.0,
            infer_seconds=scored.infer_seconds if scored else 0.0,
        )
        self._metrics.observe_call(call.adapter.ref.domain, call.lane, outcome, reason, timings)
        ranked = Ranked(hypotheses, outcome, call.nbest.id, reason, call.adapter.ref, timings)
        if self._tracing is not None:
            self._tracing.record(call, ranked, now)
        return ranked


class _AdapterFailed(Exception):
    """A list got no scores from its adapter, or scores that mean nothing."""

    def __init__(self, error: LorbError, *, has_scores: bool = False, is_its_fault: bool = True) -> None:
        super().__init__(error.message)
        self.error = error
        self.has_scores = has_scores
        self.is_its_fault = is_its_fault


def _is_finite(hypothesis: RankedHypothesis) -> bool:
    """False also where a caller's own scores and weight take the sum to infinity."""
    scores = (hypothesis.combined_score, hypothesis.rescoring_score, hypothesis.posterior)
    return all(score is None or math.isfinite(score) for score in scores)
