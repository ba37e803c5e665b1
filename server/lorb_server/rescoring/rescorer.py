"""Rescores one list: tokenises, scores and ranks it, or answers with the first-pass order and the reason."""

import asyncio
import math
from collections.abc import Callable
from concurrent.futures import Executor

from lorb.error_status import status_code
from lorb.errors import DeadlineExceeded, LorbError, ModelFailed, Overloaded
from lorb.ranked import (
    FallbackPolicy,
    FallbackReason,
    Outcome,
    Ranked,
    RankedHypothesis,
    Selection,
    Timings,
)
from lorb_adapters.ranking import rank, rank_by_first_pass, rank_single_text
from lorb_adapters.text import TextEncoder
from lorb_server.adapter import TRANSIENT_ERRORS, AdapterHandle
from lorb_server.call import MINIMUM_PARTIAL_HYPOTHESES, ListScorer, Priority, RescoreCall, Scored
from lorb_server.rescoring.shadow import Shadow
from lorb_server.telemetry.metrics import Metrics
from lorb_server.telemetry.tracing import Tracing

_NOT_FINITE = "the model's scores of this list are NaN or infinite"
_TOO_LARGE = "the combined scores of this list overflow: its first-pass scores or its rescoring_weight are too large"


class Rescorer:
    """Rescores lists. Belongs to the event loop; texts are tokenised on `threads`."""

    def __init__(
        self,
        scorer: ListScorer,
        text_encoder: TextEncoder,
        threads: Executor,
        metrics: Metrics,
        *,
        withdraw_canary: Callable[[AdapterHandle, str], None] = lambda adapter, reason: None,
        shadow: Shadow | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        """`withdraw_canary` is called with a failed canary and the reason. `shadow` gets rescored lists to compare."""
        self._scorer = scorer
        self._text_encoder = text_encoder
        self._threads = threads
        self._metrics = metrics
        self._withdraw_canary = withdraw_canary
        self._shadow = shadow
        self._tracing = tracing
        self._batch_turn = asyncio.Lock()

    async def rescore(self, call: RescoreCall) -> Ranked:
        """Returns the list in its new order, no later than `call.answer_by`.

        With the fallback policy FAIL, raises Overloaded if the queue is full, DeadlineExceeded if the list would be
        late, and ModelFailed if a score is not finite. With either policy, raises ModelFailed if the model fails,
        Unavailable if the engine shuts down, and the error of a failed reload of the adapter's weights.
        """
        if len(call.distinct) == 1:
            return self._answer_rescored(call, rank_single_text(call.nbest, call.options), Scored((), 0.0, 0.0))
        try:
            ranked = await self._rescore_or_fall_back(call)
        except _AdapterFailed as failed:
            if not failed.has_scores:
                raise failed.error from None
            return self._answer_first_pass(call, FallbackReason.INVALID_SCORE, failed.error)
        if self._shadow is not None and call.route.shadow is not None and ranked.outcome is Outcome.RESCORED:
            self._shadow.offer(call, ranked)
        return ranked

    async def _rescore_or_fall_back(self, call: RescoreCall) -> Ranked:
        """Rescores with the routed adapter; if this adapter is a canary and fails, rescores with the stable one.

        The canary is withdrawn only if the model scores the whole list with the stable adapter: otherwise the list or
        the base may be at fault, for example because the device is out of memory.
        """
        try:
            return await self._rescore(call)
        except _AdapterFailed as failed:
            if call.route.stable is None:
                raise
            domain, reason = call.adapter.ref.domain, status_code(failed.error).name.lower()
            self._metrics.adapters.observe_alias(domain, call.compared_alias, "failed", reason)
            canary, call.adapter = call.adapter, call.route.stable
            ranked = await self._rescore(call)
            has_model_run = ranked.timings.infer_seconds > 0  # scores from the cache alone say nothing about the base
            if failed.is_adapters_fault and ranked.outcome is Outcome.RESCORED and has_model_run:
                self._withdraw_canary(canary, failed.error.message)
            return ranked

    async def _rescore(self, call: RescoreCall) -> Ranked:
        try:
            async with asyncio.timeout_at(call.answer_by):
                self._scorer.check_admission(call, self._minimum_tokens(call))
                await self._tokenize(call)
                scored = await self._scorer.score(call)
                call.scored_at = asyncio.get_running_loop().time()
        except TimeoutError:
            late = DeadlineExceeded(
                "the deadline passed before the list was rescored: allow more time, or use the fallback policy DEGRADE"
            )
            return await self._fall_back(call, FallbackReason.DEADLINE, late)
        except DeadlineExceeded as error:
            return await self._fall_back(call, FallbackReason.DEADLINE, error)
        except Overloaded as error:
            return await self._fall_back(call, FallbackReason.QUEUE_FULL, error)
        except ModelFailed as error:
            raise _AdapterFailed(error) from error
        except LorbError as error:  # evicted weights were not reloaded, or the scorer is closing
            raise _AdapterFailed(error, is_adapters_fault=not isinstance(error, TRANSIENT_ERRORS)) from error
        if not all(map(math.isfinite, scored.scores)):
            self._metrics.invalid_scores.labels(call.adapter.ref.domain).inc()
            raise _AdapterFailed(ModelFailed(_NOT_FINITE), has_scores=True)
        hypotheses = await self._rank(call, scored)
        # The model's scores are finite, but a combined score may overflow: the caller's scores or weight can be huge.
        if not all(map(_is_finite, hypotheses)):
            self._metrics.invalid_scores.labels(call.adapter.ref.domain).inc()
            return self._answer_first_pass(call, FallbackReason.INVALID_SCORE, ModelFailed(_TOO_LARGE))
        return self._answer_rescored(call, hypotheses, scored)

    async def _tokenize(self, call: RescoreCall) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        call.hypotheses = await loop.run_in_executor(
            self._threads,
            self._text_encoder.encode,
            [hypothesis.transcript for hypothesis in call.distinct],
            call.nbest.context,
            call.adapter.normalization,
            call.adapter.uses_context,
        )
        call.tokenized_at = loop.time()
        call.tokenize_seconds = call.tokenized_at - started

    def _minimum_tokens(self, call: RescoreCall) -> int:
        """Returns a lower bound for the number of tokens to score.

        A text has at least one token for each word and the end token. Texts longer than the model's limit are cut.
        """
        texts = call.distinct[:MINIMUM_PARTIAL_HYPOTHESES] if call.may_be_partial else call.distinct
        longest = self._text_encoder.max_tokens
        return sum(min(longest, len(text.transcript.split()) + 1) for text in texts)

    async def _rank(self, call: RescoreCall, scored: Scored) -> tuple[RankedHypothesis, ...]:
        truncated = [hypothesis.truncated for hypothesis in call.hypotheses]
        arguments = (call.nbest, call.distinct, scored.scores, truncated, call.adapter.ranking, call.options)
        if call.options.selection is Selection.MAP:
            return rank(*arguments)
        # selection by minimum Bayes risk compares all pairs of texts, which would block the event loop for too long
        return await asyncio.get_running_loop().run_in_executor(self._threads, rank, *arguments)

    def _answer_rescored(self, call: RescoreCall, hypotheses: tuple[RankedHypothesis, ...], scored: Scored) -> Ranked:
        domain, counts = call.adapter.ref.domain, self._metrics.hypotheses
        skipped = len(call.distinct) - len(scored.scores) if scored.scores else 0
        counts.labels(domain, "scored").inc(len(scored.scores) - scored.num_cached)
        counts.labels(domain, "cached").inc(scored.num_cached)
        counts.labels(domain, "skipped").inc(skipped)
        counts.labels(domain, "deduplicated").inc(len(call.nbest.hypotheses) - len(call.distinct))
        self._metrics.truncated.labels(domain).inc(sum(each.truncated for each in call.hypotheses))
        scores = [text.first_pass_score for text in call.distinct if text.first_pass_score is not None]
        if scores:
            self._metrics.observe_first_pass(domain, sum(scores) / len(scores))
        if hypotheses[0].index not in call.distinct[0].positions:
            self._metrics.rank_changed.labels(domain).inc()
        if skipped:
            return self._answer(call, hypotheses, Outcome.PARTIAL, FallbackReason.DEADLINE, scored)
        return self._answer(call, hypotheses, Outcome.RESCORED, None, scored)

    async def _fall_back(self, call: RescoreCall, reason: FallbackReason, error: LorbError) -> Ranked:
        """Answers with the first-pass order.

        The lists of a batch reach their deadline together, and ordering them takes long. They take turns, so that
        other calls run between them.
        """
        if call.priority is Priority.BATCH:
            async with self._batch_turn:
                await asyncio.sleep(0)
        return self._answer_first_pass(call, reason, error)

    def _answer_first_pass(self, call: RescoreCall, reason: FallbackReason, error: LorbError) -> Ranked:
        if call.options.fallback_policy is FallbackPolicy.FAIL:
            raise error
        self._metrics.hypotheses.labels(call.adapter.ref.domain, "skipped").inc(len(call.nbest.hypotheses))
        return self._answer(call, rank_by_first_pass(call.nbest, call.options), Outcome.FIRST_PASS, reason)

    def _answer(
        self,
        call: RescoreCall,
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
        domain, why = call.adapter.ref.domain, reason.value if reason else ""
        self._metrics.observe_call(domain, call.priority, outcome, reason, timings)
        self._metrics.adapters.observe_alias(domain, call.compared_alias, outcome.value, why, timings.total_seconds)
        ranked = Ranked(hypotheses, outcome, call.nbest.id, reason, call.adapter.ref, timings)
        if self._tracing is not None:
            self._tracing.record(call, ranked, now)
        return ranked


class _AdapterFailed(Exception):
    """The adapter gave a list no scores, or scores that are not finite."""

    def __init__(self, error: LorbError, *, has_scores: bool = False, is_adapters_fault: bool = True) -> None:
        super().__init__(error.message)
        self.error = error
        self.has_scores = has_scores
        self.is_adapters_fault = is_adapters_fault


def _is_finite(hypothesis: RankedHypothesis) -> bool:
    """Whether all scores that the hypothesis has are finite."""
    scores = (hypothesis.combined_score, hypothesis.rescoring_score, hypothesis.posterior)
    return all(score is None or math.isfinite(score) for score in scores)
