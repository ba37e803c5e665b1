"""lorb_server.rescoring.rescorer: canaries that fail or cannot be loaded, and the stable version's answers."""

import contextlib

import pytest
import torch

from lorb.errors import InvalidAdapter, ModelFailed, StoreUnavailable, Unavailable, UnknownVersion
from lorb.ranked import FallbackPolicy, FallbackReason, Outcome, RescoreOptions
from support.engine.rescorer_bench import ADAPTER, CANARY, FAIL, LIST


@pytest.mark.parametrize("fault", ["nan", "raises"])
def test_a_canary_that_fails_is_withdrawn_and_stable_answers(run, fault):
    """If a canary fails, the stable version answers and the canary is withdrawn once, with the reason."""

    async def test(bench):
        def answer(scores):
            if scores[0] > 20_000 - 1:  # the canary's
                if fault == "raises":
                    raise ValueError("about a list")
                return [float("nan")] * len(scores)
            return scores

        bench.model.answer = answer
        ranked = await bench.rescore(adapter=CANARY, stable=ADAPTER)
        assert (ranked.outcome, ranked.adapter) == (Outcome.RESCORED, ADAPTER.ref)
        assert ranked.hypotheses == (await bench.rescore()).hypotheses
        [(version, reason)] = bench.withdrawn
        assert version == CANARY.ref.version
        assert reason

    run(test)


@pytest.mark.parametrize("error", [InvalidAdapter, UnknownVersion, StoreUnavailable, Unavailable])
def test_stable_answers_if_a_canary_cannot_be_reloaded(run, error):
    """If a canary cannot be reloaded, the stable version answers; transient errors do not withdraw the canary."""

    async def test(bench):
        bench.load_errors[CANARY.ref] = error("its weights are gone")
        for options in (RescoreOptions(), FAIL):
            ranked = await bench.rescore(LIST, options, adapter=CANARY, stable=ADAPTER)
            assert (ranked.outcome, ranked.adapter) == (Outcome.RESCORED, ADAPTER.ref)
        is_withdrawn = (CANARY.ref.version, "its weights are gone") in bench.withdrawn
        assert is_withdrawn == (error in (InvalidAdapter, UnknownVersion))

    run(test)


def test_an_adapter_that_cannot_be_reloaded_fails_the_call(run):
    """If an adapter without a fallback cannot be reloaded, the call fails with the reason under either policy."""

    async def test(bench):
        bench.load_errors[ADAPTER.ref] = StoreUnavailable("the store is away")
        for options in (RescoreOptions(), FAIL):
            with pytest.raises(StoreUnavailable):
                await bench.rescore(LIST, options)

    run(test)


def test_a_callers_own_overflow_does_not_withdraw_a_canary(run):
    """An overflow caused by the caller's own weight does not withdraw a canary."""

    async def test(bench):
        for policy in FallbackPolicy:
            options = RescoreOptions(rescoring_weight=1e308, fallback_policy=policy)
            with contextlib.suppress(ModelFailed):
                await bench.rescore(LIST, options, adapter=CANARY, stable=ADAPTER)
        assert bench.withdrawn == []

    run(test)


@pytest.mark.parametrize("fault", ["out of memory", "not finite"])
def test_a_fault_of_the_base_does_not_withdraw_a_canary(run, fault):
    """A fault that the stable version has on the same list too does not withdraw a healthy canary."""

    async def test(bench):
        if fault == "out of memory":
            bench.model.trouble = torch.OutOfMemoryError("no room")
            with pytest.raises(ModelFailed):
                await bench.rescore(adapter=CANARY, stable=ADAPTER)
        else:
            bench.model.answer = lambda scores: [float("nan")] * len(scores)
            ranked = await bench.rescore(adapter=CANARY, stable=ADAPTER)
            assert ranked.fallback_reason is FallbackReason.INVALID_SCORE
        assert bench.withdrawn == []

    run(test)


def test_cached_scores_of_stable_do_not_withdraw_a_canary(run):
    """If the stable version answers from the cache, the model has not run, and the canary's fault may be the base's."""

    async def test(bench):
        await bench.rescore()
        bench.model.trouble = torch.OutOfMemoryError("no room")
        ranked = await bench.rescore(adapter=CANARY, stable=ADAPTER)
        assert (ranked.outcome, ranked.adapter) == (Outcome.RESCORED, ADAPTER.ref)
        assert bench.withdrawn == []

    run(test, cache_bytes=1_000_000)


def test_results_are_counted_by_alias(run):
    """Lists of a canary under test and of the stable version beside it count apart, with outcome, reason and time."""

    async def test(bench):
        late = {"options": RescoreOptions(), "seconds": -1.0}
        for settings in ({}, late):
            await bench.rescore(adapter=CANARY, stable=ADAPTER, alias="canary", **settings)
            await bench.rescore(alias="stable", **settings)
        await bench.rescore()  # no canary takes a share
        for alias in ("stable", "canary"):
            for outcome, reason in [("rescored", ""), ("first_pass", "deadline")]:
                labels = {"alias": alias, "outcome": outcome, "reason": reason}
                assert bench.sample("lorb_alias_requests_total", **labels) == 1
            assert bench.sample("lorb_alias_duration_seconds_count", alias=alias) == 2

    run(test)


def test_a_canary_that_fails_counts_as_failed(run):
    """A list that stable answers for a failed canary counts once, as a failure of the canary, and not for stable."""

    async def test(bench):
        bench.load_errors[CANARY.ref] = StoreUnavailable("the store is away")
        await bench.rescore(adapter=CANARY, stable=ADAPTER, alias="canary")
        failed = {"alias": "canary", "outcome": "failed", "reason": "unavailable"}
        assert bench.sample("lorb_alias_requests_total", **failed) == 1
        assert bench.sample("lorb_alias_requests_total", alias="stable", outcome="rescored", reason="") == 0
        assert bench.sample("lorb_alias_duration_seconds_count", alias="canary") == 0

    run(test)
