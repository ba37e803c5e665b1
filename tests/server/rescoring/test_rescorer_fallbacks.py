"""lorb_server.rescoring.rescorer: partial and first-pass answers, and errors under FAIL."""

import asyncio
from itertools import pairwise

import pytest

from lorb.errors import DeadlineExceeded, LorbError, ModelFailed, Overloaded
from lorb.ranked import FallbackReason, Outcome, RescoreOptions
from lorb_server.call import Priority
from lorb_server.engine.scheduling.cost_model import CostModel
from lorb_server.engine.scheduling.scheduler import Batch
from support.engine.rescorer_bench import ADAPTER, FAIL, LIST
from support.servers.serving import WAIT_SECONDS, scored_list


async def fill_queue(bench):
    """Holds the model with one list and queues another."""
    bench.model.gate.clear()
    held = asyncio.create_task(bench.rescore(scored_list("the cat", "a cat")))
    await asyncio.to_thread(bench.model.entered.wait, WAIT_SECONDS)
    waiting = asyncio.create_task(bench.rescore(scored_list("the dog", "a dog")))
    while not bench.engine._queue._scheduler.queued_lists:
        await asyncio.sleep(0)
    return held, waiting


def is_first_pass(ranked, reason):
    """Whether an answer is the first-pass order with this reason and without scores."""
    return (
        ranked.outcome is Outcome.FIRST_PASS
        and ranked.fallback_reason is reason
        and [h.index for h in ranked.hypotheses] == [0, 3, 1, 2]
        and all(h.combined_score is h.rescoring_score is h.posterior is None for h in ranked.hypotheses)
    )


def test_a_full_queue_degrades_or_fails_as_the_caller_chose(run):
    """With a full queue, DEGRADE gets the first-pass order at once and FAIL gets Overloaded."""

    async def test(bench):
        queued = await fill_queue(bench)
        assert is_first_pass(await bench.rescore(), FallbackReason.QUEUE_FULL)
        with pytest.raises(Overloaded):
            await bench.rescore(LIST, FAIL)
        bench.model.gate.set()
        assert {ranked.outcome for ranked in await asyncio.gather(*queued)} == {Outcome.RESCORED}
        assert bench.sample("lorb_rescore_requests_total", outcome="first_pass", reason="queue_full") == 1
        assert bench.sample("lorb_rescore_hypotheses_total", kind="skipped") == 4

    run(test, max_queue_tokens=8)


def test_a_missed_deadline_degrades_or_fails_as_the_caller_chose(run):
    """At the deadline, DEGRADE gets the first-pass order, FAIL DeadlineExceeded, and the list leaves the queue."""

    async def test(bench):
        held, waiting = await fill_queue(bench)
        for seconds in (-1.0, 0.02):
            assert is_first_pass(await bench.rescore(seconds=seconds), FallbackReason.DEADLINE)
            with pytest.raises(DeadlineExceeded):
                await bench.rescore(LIST, FAIL, seconds=seconds)
        await asyncio.sleep(0)
        assert bench.engine._queue._scheduler.queued_lists == 1
        bench.model.gate.set()
        await asyncio.gather(held, waiting)

    run(test)


def test_a_deadline_during_the_pass_is_kept(run):
    """A list whose pass outlasts the deadline is answered in time, and the late scores are dropped."""

    async def test(bench):
        bench.model.gate.clear()
        assert is_first_pass(await bench.rescore(seconds=0.02), FallbackReason.DEADLINE)
        bench.model.gate.set()
        assert (await bench.rescore()).outcome is Outcome.RESCORED

    run(test)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_score_that_is_not_finite_degrades_or_fails_as_the_caller_chose(run, value):
    """NaN or infinite scores give the first-pass order under DEGRADE and ModelFailed under FAIL."""

    async def test(bench):
        bench.model.answer = lambda scores: [*scores[:-1], value]
        for top_n in (0, 1):
            ranked = await bench.rescore(LIST, RescoreOptions(top_n=top_n))
            assert (ranked.outcome, ranked.fallback_reason) == (
                Outcome.FIRST_PASS,
                FallbackReason.INVALID_SCORE,
            )
        with pytest.raises(ModelFailed):
            await bench.rescore(LIST, FAIL)
        assert bench.sample("lorb_invalid_scores_total") == 3

    run(test)


def test_a_weight_that_overflows_degrades(run):
    """Finite scores whose combination overflows give the first-pass order."""

    async def test(bench):
        ranked = await bench.rescore(LIST, RescoreOptions(rescoring_weight=1e308))
        assert ranked.fallback_reason is FallbackReason.INVALID_SCORE

    run(test)


def test_a_failed_pass_fails_the_call(run):
    """A failed pass is ModelFailed under either policy."""

    async def test(bench):
        bench.model.trouble = RuntimeError("boom")
        for options in (RescoreOptions(), FAIL):
            with pytest.raises(ModelFailed):
                await bench.rescore(LIST, options)

    run(test)


def make_tokens_take_a_second(bench):
    cost = CostModel()
    for tokens in range(1, 200):
        cost.observe(tokens, float(tokens))
    bench.engine._queue._scheduler.forecast.cost = cost
    bench.engine._queue._scheduler.finish(Batch(), 0.0, 1e12, read_tokens=0)  # busy until just now: no probe


def test_too_little_time_gives_a_partial_answer(run):
    """With too little time, the first hypotheses are ranked and the rest follow in first-pass order; FAIL fails."""

    async def test(bench):
        texts = [f"the cat sat {word}" for word in ("on", "in", "at", "by", "up")]
        make_tokens_take_a_second(bench)
        tokens = bench.text_encoder.encode(texts, "", ADAPTER.normalization, False)[0].num_tokens
        with pytest.raises(DeadlineExceeded):
            await bench.rescore(scored_list(*texts), FAIL, seconds=3.5 * tokens)
        unread = await bench.rescore(scored_list(*texts), seconds=9.0)  # two texts of four words and an end token: 10 s
        assert (unread.outcome, unread.fallback_reason) == (Outcome.FIRST_PASS, FallbackReason.DEADLINE)
        assert unread.timings.tokenize_seconds == 0.0
        ranked = await bench.rescore(scored_list(*texts), seconds=3.5 * tokens)
        assert (ranked.outcome, ranked.fallback_reason) == (Outcome.PARTIAL, FallbackReason.DEADLINE)
        assert sorted(h.index for h in ranked.hypotheses[:3]) == [0, 1, 2]
        assert [h.index for h in ranked.hypotheses[3:]] == [3, 4]
        assert [h.rescoring_score is None for h in ranked.hypotheses] == [False] * 3 + [True] * 2
        assert sum(h.posterior for h in ranked.hypotheses[:3]) == pytest.approx(1.0)
        assert bench.sample("lorb_rescore_hypotheses_total", kind="skipped") == len(texts) + 2
        assert bench.sample("lorb_rescore_requests_total", outcome="partial", reason="deadline") == 1

    run(test)


def test_a_partial_answer_counts_only_the_cached_scores_it_uses(run):
    """Cached scores behind the first gap count neither as scored nor as cached."""

    async def test(bench):
        texts = [f"the cat sat {word}" for word in ("on", "in", "at", "by", "up", "to", "as")]
        await bench.rescore(scored_list(*(texts[i] for i in (2, 4, 5, 6))))
        make_tokens_take_a_second(bench)
        tokens = bench.text_encoder.encode(texts, "", ADAPTER.normalization, False)[0].num_tokens
        ranked = await bench.rescore(scored_list(*texts), seconds=2.5 * tokens)
        assert ranked.outcome is Outcome.PARTIAL
        assert sum(h.rescoring_score is not None for h in ranked.hypotheses) == 3
        assert [
            bench.sample("lorb_rescore_hypotheses_total", kind=kind) for kind in ("scored", "cached", "skipped")
        ] == [
            4 + 2,
            1,
            4,
        ]

    run(test, cache_bytes=1_000_000)


def test_a_cancelled_call_leaves_the_queue(run):
    """A cancelled call leaves the queue and is not scored."""

    async def test(bench):
        held, waiting = await fill_queue(bench)
        waiting.cancel()
        await asyncio.wait([waiting])
        await asyncio.sleep(0)
        assert bench.engine._queue._scheduler.queued_lists == 0
        bench.model.gate.set()
        await held
        assert bench.model.passes == [2]

    run(test)


def test_errors_under_fail_are_lorb_errors(run):
    """Errors under FAIL are LorbErrors, which the status table knows."""

    async def test(bench):
        with pytest.raises(LorbError):
            await bench.rescore(LIST, FAIL, seconds=-1)

    run(test)


def test_the_lists_of_a_batch_that_miss_their_deadline_take_turns(run):
    """Of 20 lists that fall back together, the event loop orders one at a time, and other work runs between two."""

    async def test(bench):
        events = []

        async def fall_back():
            await bench.rescore(seconds=-1.0, priority=Priority.BATCH)
            events.append("list")

        async def other_work():
            while events.count("list") < 20:
                events.append("other")
                await asyncio.sleep(0)

        await asyncio.gather(other_work(), *(fall_back() for _ in range(20)))
        assert ("list", "list") not in pairwise(events)

    run(test)
