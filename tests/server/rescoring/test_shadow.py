"""lorb_server.rescoring.shadow: comparisons, drops and failures."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import pytest

from lorb.errors import DeadlineExceeded, ModelFailed, Overloaded
from lorb.ranked import Outcome, Ranked, RescoreOptions
from lorb_adapters.base.loader import load_base
from lorb_adapters.ranking import rank
from lorb_server.adapter import Route
from lorb_server.call import Priority, RescoreCall, Scored
from lorb_server.rescoring.shadow import Shadow
from lorb_server.telemetry.metrics import Metrics
from support.servers.serving import WAIT_SECONDS, scored_list
from support.servers.stub_model import RANKING, adapter_handle

STABLE, SHADOW = adapter_handle(1), adapter_handle(2)
LIST = scored_list("the cat", "a cat", "the dog", "the  cat")


class ScriptedScoring:
    """Scores a list with `scores`, or raises `trouble`, once the gate is open."""

    def __init__(self):
        self.scores = (3.0, 2.0, 1.0)
        self.trouble = None
        self.full = None
        self.calls = []
        self.gate = asyncio.Event()
        self.gate.set()

    def check_admission(self, call, minimum_tokens):
        if self.full is not None:
            raise self.full

    async def score(self, call):
        self.calls.append(call)
        await self.gate.wait()
        if self.trouble is not None:
            raise self.trouble
        return Scored(self.scores, 0.0, 0.0)


@pytest.fixture
def run(tiny_bert):
    """Runs `test(s)` with a shadow that holds at most two lists."""
    base = load_base(str(tiny_bert))

    def runs(test):
        async def with_shadow():
            metrics, scoring = Metrics(), ScriptedScoring()
            with ThreadPoolExecutor(1) as threads:
                shadow = Shadow(scoring, base.text_encoder, threads, metrics.adapters, max_waiting=2)
                async with asyncio.timeout(WAIT_SECONDS):
                    await test(SimpleNamespace(shadow=shadow, scoring=scoring, metrics=metrics))
                await shadow.close()
            assert asyncio.all_tasks() == {asyncio.current_task()}

        asyncio.run(with_shadow())

    return runs


def call(shadow=SHADOW):
    route = Route(STABLE, shadow=shadow)
    return RescoreCall(nbest=LIST, options=RescoreOptions(), route=route, started_at=0.0, answer_by=1e12)


def answered(one, scores=(3.0, 2.0, 1.0)):
    """The call's answer from the stable version."""
    hypotheses = rank(one.nbest, one.distinct, scores, [False] * 3, RANKING, one.options)
    return Ranked(hypotheses, Outcome.RESCORED, one.nbest.id, adapter=STABLE.ref)


def counts(s):
    names = ("comparisons", "disagreements", "dropped", "failures")
    values = [s.metrics.registry.get_sample_value(f"lorb_shadow_{name}_total", {"domain": "voice"}) for name in names]
    return [int(value or 0) for value in values]


def test_a_different_best_text_is_a_disagreement(run):
    """A disagreement is a different best text, not a different index or score."""

    async def test(s):
        one = call()
        ranked = answered(one)
        s.shadow.offer(one, ranked)
        await s.shadow.drain()
        assert counts(s) == [1, 0, 0, 0]
        copy_first = next(hypothesis for hypothesis in ranked.hypotheses if hypothesis.index == 3)
        s.shadow.offer(one, replace(ranked, hypotheses=(copy_first,)))
        await s.shadow.drain()
        assert counts(s) == [2, 0, 0, 0]
        s.scoring.scores = (0.0, 0.0, 90.0)
        s.shadow.offer(one, ranked)
        await s.shadow.drain()
        assert counts(s) == [3, 1, 0, 0]
        assert {(each.adapter, each.priority, each.may_be_partial) for each in s.scoring.calls} == {
            (SHADOW, Priority.IDLE, False)
        }

    run(test)


def test_without_a_shadow_nothing_is_compared(run):
    """A call without a shadow is not compared."""

    async def test(s):
        one = call(shadow=None)
        s.shadow.offer(one, answered(one))
        await s.shadow.drain()
        assert s.scoring.calls == []
        assert counts(s) == [0, 0, 0, 0]

    run(test)


def test_lists_beyond_the_maximum_are_dropped(run):
    """Lists beyond the maximum are dropped and counted, until there is room again."""

    async def test(s):
        s.scoring.gate.clear()
        one = call()
        for _ in range(5):
            s.shadow.offer(one, answered(one))
        assert counts(s) == [0, 0, 3, 0]
        s.scoring.gate.set()
        await s.shadow.drain()
        assert counts(s) == [2, 0, 3, 0]
        s.shadow.offer(one, answered(one))
        await s.shadow.drain()
        assert counts(s) == [3, 0, 3, 0]

    run(test)


@pytest.mark.parametrize("trouble", [Overloaded("busy"), DeadlineExceeded("never idle")])
def test_refused_comparisons_count_as_dropped(run, trouble):
    """Lists refused for lack of time or room count as dropped, not as failures."""

    async def test(s):
        s.scoring.trouble = trouble
        one = call()
        s.shadow.offer(one, answered(one))
        await s.shadow.drain()
        s.scoring.trouble, s.scoring.full = None, Overloaded("full")
        s.shadow.offer(one, answered(one))
        await s.shadow.drain()
        assert counts(s) == [0, 0, 2, 0]
        assert len(s.scoring.calls) == 1  # the second was not even tokenised

    run(test)


@pytest.mark.parametrize("trouble", [ModelFailed("the pass raised"), RuntimeError("a bug"), None])
def test_a_shadow_that_fails_is_counted(run, trouble):
    """Errors and scores that are not finite count as failures, and never propagate."""

    async def test(s):
        s.scoring.trouble = trouble
        s.scoring.scores = (1.0, float("nan"), 0.0)
        one = call()
        s.shadow.offer(one, answered(one))
        await s.shadow.drain()
        assert counts(s) == [0, 0, 0, 1]

    run(test)


def test_closing_cancels_waiting_comparisons(run):
    """Closing cancels the waiting comparisons without counting them."""

    async def test(s):
        s.scoring.gate.clear()
        one = call()
        s.shadow.offer(one, answered(one))
        while not s.scoring.calls:
            await asyncio.sleep(0)
        await s.shadow.close()
        assert counts(s) == [0, 0, 0, 0]

    run(test)
