"""A canary that fails, or whose weights are away, before its callers and before its stable version."""

import contextlib

import pytest

from lorb.errors import InvalidAdapter, ModelFailed, StoreUnavailable, Unavailable, UnknownVersion
from lorb.ranked import FallbackPolicy, Outcome, RescoreOptions
from support.engine.rescorer_bench import ADAPTER, CANARY, FAIL, LIST


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
