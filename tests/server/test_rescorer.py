"""One list from text to ranks, with a model whose scores tell the text."""

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from lorb.errors import (
    DeadlineExceeded,
    InvalidAdapter,
    LorbError,
    ModelFailed,
    Overloaded,
    StoreUnavailable,
    Unavailable,
    UnknownVersion,
)
from lorb.nbest import Hypothesis, NBest
from lorb.ranked import AdapterRef, FallbackPolicy, FallbackReason, Outcome, Ranked, RescoreOptions, Selection
from lorb_server.engine import Engine
from lorb_server.job import Lane
from lorb_server.metrics import Metrics
from lorb_server.pass_cost import PassCost
from lorb_server.pass_runner import PassRunner
from lorb_server.rescorer import Call, Rescorer
from lorb_server.scheduler import Batch, Scheduler
from lorb_server.score_cache import ScoreCache
from lorb_server.scorer import Scorer
from lorb_server.served import Route
from serving import WAIT_SECONDS, TellingModel, adapter_weights, scored_list, served_adapter, telling_score

ADAPTER, CANARY = served_adapter(1), served_adapter(2)
FAIL = RescoreOptions(fallback_policy=FallbackPolicy.FAIL)
LIST = scored_list("the cat sat", "the cat sad", "a cat sat", "the  cat sat", id="u7")


class Bench:
    """A rescorer with what is around it."""

    def __init__(self, text_encoder, max_queue_tokens, cache_bytes):
        self.model, self.metrics = TellingModel(), Metrics()
        self.text_encoder = text_encoder
        scheduler = Scheduler(
            max_batch_tokens=100, max_queue_tokens=max_queue_tokens, max_bulk_queue_tokens=max_queue_tokens
        )
        self.engine = Engine(PassRunner(self.model, self.metrics, 100), scheduler, self.metrics)
        self.threads = ThreadPoolExecutor(1)
        self.withdrawn: list[tuple[str, str]] = []
        self.shown: list[Ranked] = []
        self.away: dict[AdapterRef, LorbError] = {}
        self.rescorer = Rescorer(
            Scorer(self.engine, self, ScoreCache(cache_bytes), self.metrics),
            text_encoder,
            self.threads,
            self.metrics,
            withdraw_canary=lambda adapter, reason: self.withdrawn.append((adapter.ref.version, reason)),
            shadow=self,
        )

    def get(self, adapter):
        """The weights of an adapter, which are there unless it is said what keeps them away."""
        return None if adapter.ref in self.away else adapter_weights(int(adapter.ref.digest, 16))

    async def bring_back(self, adapter):
        """Says why not."""
        raise self.away[adapter.ref]

    def offer(self, call, ranked):
        """Is shown what a shadow would be compared with."""
        self.shown.append(ranked)

    def call(self, nbest=LIST, options=None, *, seconds=WAIT_SECONDS, adapter=ADAPTER, lane=Lane.SINGLE, **route):
        now = asyncio.get_running_loop().time()
        return Call(nbest, options or RescoreOptions(), Route(adapter, **route), now, now + seconds, lane)

    async def rescore(self, *arguments, **settings):
        return await self.rescorer.rescore(self.call(*arguments, **settings))

    def sample(self, name, **labels):
        return self.metrics.registry.get_sample_value(name, {"domain": "voice", **labels}) or 0


@pytest.fixture
def run(publishing_base):
    """Runs `test(bench)` on a loop of its own."""

    def runs(test, *, max_queue_tokens=1000, cache_bytes=0):
        async def with_bench():
            bench = Bench(publishing_base.text_encoder, max_queue_tokens, cache_bytes)
            bench.engine.start()
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    await test(bench)
            finally:
                bench.model.gate.set()
                await bench.engine.close()
                bench.threads.shutdown()

        asyncio.run(with_bench())

    return runs


def test_scores_belong_to_their_texts(run):
    """Each hypothesis carries the score of its own text under the pinned adapter; copies share it."""

    async def test(bench):
        ranked = await bench.rescore()
        texts = [hypothesis.transcript for hypothesis in ranked.hypotheses]
        rows = bench.text_encoder.encode(texts, "", ADAPTER.normalization, False)
        assert [h.rescoring_score for h in ranked.hypotheses] == [telling_score(r, adapter_weights(1)) for r in rows]
        assert ranked.outcome is Outcome.RESCORED
        assert (ranked.id, ranked.adapter) == ("u7", ADAPTER.ref)
        assert sorted(h.index for h in ranked.hypotheses) == [0, 1, 2, 3]
        assert bench.sample("lorb_rescore_hypotheses_total", kind="scored") == 3
        assert bench.sample("lorb_rescore_hypotheses_total", kind="deduplicated") == 1
        assert bench.sample("lorb_first_pass_score_magnitude_total", sign="negative") == 1.0
        assert bench.sample("lorb_rescore_requests_total", outcome="rescored", reason="") == 1

    run(test)


def test_one_text_needs_no_model(run):
    """A list of one, or of equal texts, is certain: posterior 1, no scores, no pass."""

    async def test(bench):
        ranked = await bench.rescore(scored_list("the cat", "the  cat "))
        assert ranked.outcome is Outcome.RESCORED
        assert [h.posterior for h in ranked.hypotheses] == [1.0, 0.0]
        assert [h.rescoring_score for h in ranked.hypotheses] == [None, None]
        assert bench.model.passes == []

    run(test)


@pytest.mark.parametrize("selection", list(Selection))
def test_both_selections_answer_in_full(run, selection):
    """Minimum Bayes risk, which is computed off the loop, ranks the same hypotheses."""

    async def test(bench):
        ranked = await bench.rescore(LIST, RescoreOptions(selection=selection))
        assert sorted(h.index for h in ranked.hypotheses) == [0, 1, 2, 3]
        assert all(h.posterior is not None for h in ranked.hypotheses)

    run(test)


def test_top_n_cuts_the_answer(run):
    """Fewer hypotheses come back, the best ones, whatever the outcome."""

    async def test(bench):
        full = await bench.rescore()
        assert (await bench.rescore(LIST, RescoreOptions(top_n=2))).hypotheses == full.hypotheses[:2]
        late = await bench.rescore(LIST, RescoreOptions(top_n=2), seconds=-1.0)
        assert [h.index for h in late.hypotheses] == [0, 3]

    run(test)


async def fill_queue(bench):
    """Holds the model and leaves no room behind it."""
    bench.model.gate.clear()
    held = asyncio.create_task(bench.rescore(scored_list("the cat", "a cat")))
    await asyncio.to_thread(bench.model.entered.wait, WAIT_SECONDS)
    waiting = asyncio.create_task(bench.rescore(scored_list("the dog", "a dog")))
    while not bench.engine._scheduler.queued_lists:
        await asyncio.sleep(0)
    return held, waiting


def is_first_pass(ranked, reason):
    """The list as it came, copies behind their text, nothing scored."""
    return (
        ranked.outcome is Outcome.FIRST_PASS
        and ranked.fallback_reason is reason
        and [h.index for h in ranked.hypotheses] == [0, 3, 1, 2]
        and all(h.combined_score is h.rescoring_score is h.posterior is None for h in ranked.hypotheses)
    )


def test_a_full_queue_degrades_or_fails_as_the_caller_chose(run):
    """DEGRADE gets first-pass order at once, FAIL gets Overloaded; those that waited are rescored."""

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


def test_a_deadline_that_comes_first_degrades_or_fails_as_the_caller_chose(run):
    """However long the model takes, the answer leaves by the deadline; the list leaves the queue."""

    async def test(bench):
        held, waiting = await fill_queue(bench)
        for seconds in (-1.0, 0.02):
            assert is_first_pass(await bench.rescore(seconds=seconds), FallbackReason.DEADLINE)
            with pytest.raises(DeadlineExceeded):
                await bench.rescore(LIST, FAIL, seconds=seconds)
        await asyncio.sleep(0)
        assert bench.engine._scheduler.queued_lists == 1
        bench.model.gate.set()
        await asyncio.gather(held, waiting)

    run(test)


def test_a_deadline_during_the_pass_is_kept(run):
    """A list in the model's hands is answered in time as well, and its late scores reach nobody."""

    async def test(bench):
        bench.model.gate.clear()
        assert is_first_pass(await bench.rescore(seconds=0.02), FallbackReason.DEADLINE)
        bench.model.gate.set()
        assert (await bench.rescore()).outcome is Outcome.RESCORED

    run(test)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_score_that_is_none_degrades_or_fails_as_the_caller_chose(run, value):
    """NaN and infinity are never ranked with."""

    async def test(bench):
        bench.model.answer = lambda told: [*told[:-1], value]
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
    """Finite scores whose sum is not finite are no ranking either."""

    async def test(bench):
        ranked = await bench.rescore(LIST, RescoreOptions(rescoring_weight=1e308))
        assert ranked.fallback_reason is FallbackReason.INVALID_SCORE

    run(test)


def test_a_failed_pass_fails_the_call(run):
    """It is an error under either policy: the server is at fault, and the caller should know."""

    async def test(bench):
        bench.model.trouble = RuntimeError("boom")
        for options in (RescoreOptions(), FAIL):
            with pytest.raises(ModelFailed):
                await bench.rescore(LIST, options)

    run(test)


def make_tokens_take_a_second(bench):
    cost = PassCost()
    for tokens in range(1, 200):
        cost.observe(tokens, float(tokens))
    bench.engine._scheduler.cost = cost
    bench.engine._scheduler.finish(
        Batch(), 0.0, 1e12, read_tokens=0
    )  # not idle for long: nothing is tried against the odds


def test_too_little_time_for_all_scores_the_likeliest(run):
    """PARTIAL: the first by first pass are ranked, the rest follow as they came; all or nothing fails."""

    async def test(bench):
        texts = [f"the cat sat {word}" for word in ("on", "in", "at", "by", "up")]
        make_tokens_take_a_second(bench)
        tokens = bench.text_encoder.encode(texts, "", ADAPTER.normalization, False)[0].num_tokens
        with pytest.raises(DeadlineExceeded):
            await bench.rescore(scored_list(*texts), FAIL, seconds=3.5 * tokens)
        unread = await bench.rescore(scored_list(*texts), seconds=9.0)  # two of four words and an end each are ten
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


def test_too_little_time_beside_a_cache_counts_what_is_answered(run):
    """PARTIAL with more texts known than are answered: those behind the gap count neither as scored nor as cached."""

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


@pytest.mark.parametrize("fault", ["nan", "raises"])
def test_a_canary_that_fails_is_withdrawn_and_stable_answers(run, fault):
    """The caller gets stable's ranking of this very list; the canary is told off once, with the reason."""

    async def test(bench):
        def answer(told):
            if told[0] > 20_000 - 1:  # the canary's
                if fault == "raises":
                    raise ValueError("about a list")
                return [float("nan")] * len(told)
            return told

        bench.model.answer = answer
        ranked = await bench.rescore(adapter=CANARY, stable=ADAPTER)
        assert (ranked.outcome, ranked.adapter) == (Outcome.RESCORED, ADAPTER.ref)
        assert ranked.hypotheses == (await bench.rescore()).hypotheses
        [(version, reason)] = bench.withdrawn
        assert version == CANARY.ref.version
        assert reason

    run(test)


@pytest.mark.parametrize("error", [InvalidAdapter, UnknownVersion, StoreUnavailable, Unavailable])
def test_a_canary_that_cannot_be_brought_back_leaves_its_callers_to_stable(run, error):
    """Stable answers under either policy; only what speaks against the version withdraws it."""

    async def test(bench):
        bench.away[CANARY.ref] = error("its weights are gone")
        for options in (RescoreOptions(), FAIL):
            ranked = await bench.rescore(LIST, options, adapter=CANARY, stable=ADAPTER)
            assert (ranked.outcome, ranked.adapter) == (Outcome.RESCORED, ADAPTER.ref)
        is_withdrawn = (CANARY.ref.version, "its weights are gone") in bench.withdrawn
        assert is_withdrawn == (error in (InvalidAdapter, UnknownVersion))

    run(test)


def test_an_adapter_that_cannot_be_brought_back_fails_the_call(run):
    """Without another to answer in its place the caller learns why, under either policy."""

    async def test(bench):
        bench.away[ADAPTER.ref] = StoreUnavailable("the store is away")
        for options in (RescoreOptions(), FAIL):
            with pytest.raises(StoreUnavailable):
                await bench.rescore(LIST, options)

    run(test)


def test_a_callers_own_overflow_does_not_withdraw_a_canary(run):
    """A weight that takes any score to infinity says nothing about the adapter, under either policy."""

    async def test(bench):
        for policy in FallbackPolicy:
            options = RescoreOptions(rescoring_weight=1e308, fallback_policy=policy)
            with contextlib.suppress(ModelFailed):
                await bench.rescore(LIST, options, adapter=CANARY, stable=ADAPTER)
        assert bench.withdrawn == []

    run(test)


def test_only_full_answers_of_shadowed_domains_are_shown_to_the_shadow(run):
    """One that is rescored is; first-pass answers, lists of one, and domains without a shadow are not."""

    async def test(bench):
        shown = await bench.rescore(shadow=CANARY)
        await bench.rescore(seconds=-1.0, shadow=CANARY)
        await bench.rescore(scored_list("alone"), shadow=CANARY)
        await bench.rescore()
        assert bench.shown == [shown]

    run(test)


def test_long_texts_are_flagged_and_counted(run):
    """A hypothesis cut to the model's length says so."""

    async def test(bench):
        ranked = await bench.rescore(scored_list("the " * 100, "a cat"))
        assert {h.index: h.truncated for h in ranked.hypotheses} == {0: True, 1: False}
        assert bench.sample("lorb_truncated_hypotheses_total") == 1

    run(test)


def test_a_changed_best_hypothesis_is_counted(run):
    """Once for each list whose answer begins with another text than the first pass'."""

    async def test(bench):
        unchanged = await bench.rescore(LIST, RescoreOptions(rescoring_weight=0.0))
        assert unchanged.hypotheses[0].index == 0
        assert unchanged.hypotheses[0].rescoring_score is not None
        assert bench.sample("lorb_rank_changed_total") == 0
        texts = ("the cat sat", "the cat sad")
        orders = [
            await bench.rescore(scored_list(*texts)),
            await bench.rescore(scored_list(*reversed(texts))),
        ]
        assert len({ranked.hypotheses[0].transcript for ranked in orders}) == 1
        assert bench.sample("lorb_rank_changed_total") == 1

    run(test)


def test_the_context_reaches_the_adapters_that_use_it(run):
    """With it the scores are others; without use of it they are not."""

    async def test(bench):
        plain = await bench.rescore()
        turn = replace(LIST, context="turn the light off")
        assert (await bench.rescore(turn)).hypotheses == plain.hypotheses
        using = replace(ADAPTER, uses_context=True)
        assert (await bench.rescore(turn, adapter=using)).hypotheses != plain.hypotheses

    run(test)


def test_lists_without_scores_are_ranked(run):
    """The rank prior stands in."""

    async def test(bench):
        ranked = await bench.rescore(NBest((Hypothesis("the cat"), Hypothesis("a cat"))))
        assert ranked.outcome is Outcome.RESCORED
        assert all(h.combined_score is not None for h in ranked.hypotheses)

    run(test)


def test_a_cancelled_call_leaves_the_queue(run):
    """Its job is not scored."""

    async def test(bench):
        held, waiting = await fill_queue(bench)
        waiting.cancel()
        await asyncio.wait([waiting])
        await asyncio.sleep(0)
        assert bench.engine._scheduler.queued_lists == 0
        bench.model.gate.set()
        await held
        assert bench.model.passes == [2]

    run(test)


def test_errors_under_fail_are_lorbs_own(run):
    """Whatever happens under FAIL, the status table knows it."""

    async def test(bench):
        with pytest.raises(LorbError):
            await bench.rescore(LIST, FAIL, seconds=-1)

    run(test)
