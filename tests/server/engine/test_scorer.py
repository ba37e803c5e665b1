"""lorb_server.engine.scorer: score cache, adapters' weights and engine together."""

import asyncio
import time
from types import SimpleNamespace

import pytest

from lorb.errors import DeadlineExceeded
from lorb_server.call import Call, Priority
from lorb_server.engine.batch_runner import BatchRunner
from lorb_server.engine.engine import Engine
from lorb_server.engine.scheduling.cost_model import CostModel
from lorb_server.engine.scheduling.scheduler import Batch, Scheduler
from lorb_server.engine.score_cache import ScoreCache
from lorb_server.engine.scorer import Scorer
from lorb_server.engine.workers.worker import WorkerParts
from lorb_server.telemetry.metrics import Metrics
from support.servers.serving import WAIT_SECONDS
from support.servers.stub_model import StubModel, adapter_handle, adapter_weights, row, stub_score

ROWS = [row(i, i + 1) for i in range(5)]


class ReloadedWeights:
    """Holds the weights of adapter 1, and reloads those of others on demand."""

    def __init__(self):
        self.reloaded = []

    def get(self, adapter):
        return adapter_weights(1) if adapter.ref.version.startswith("2-") else None

    async def reload(self, adapter):
        await asyncio.sleep(0)
        self.reloaded.append(adapter.ref.version)
        return adapter_weights(int(adapter.ref.digest, 16))


def run(test, *, cache_bytes=1_000_000):
    """Runs `test(s)` with a scorer and its parts."""

    async def with_scorer():
        model, metrics, weights = StubModel(), Metrics(), ReloadedWeights()
        scheduler = Scheduler(max_batch_tokens=1000, max_queue_tokens=10_000, max_bulk_queue_tokens=1000)
        engine = Engine([WorkerParts(BatchRunner(model, metrics, 1000))], scheduler, metrics)
        engine.start()
        cache = ScoreCache(cache_bytes)
        scorer = Scorer(engine, weights, cache, metrics)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await test(
                    SimpleNamespace(
                        scorer=scorer,
                        model=model,
                        metrics=metrics,
                        weights=weights,
                        cache=cache,
                        scheduler=scheduler,
                    )
                )
        finally:
            model.gate.set()
            await engine.close()

    asyncio.run(with_scorer())


def call(rows=ROWS, number=1, **fields):
    return Call(hypotheses=rows, adapter=adapter_handle(number), **{"answer_by": 1e12, **fields})


def expected_scores(rows, number=1):
    return tuple(stub_score(each, adapter_weights(number)) for each in rows)


def lookups(s, result):
    return s.metrics.registry.get_sample_value("lorb_score_cache_lookups_total", {"result": result}) or 0


def test_cached_scores_need_no_model():
    """A repeated list is answered from the cache; of a list with one new text, that text alone is scored."""

    async def test(s):
        first = await s.scorer.score(call())
        again = await s.scorer.score(call())
        mixed = await s.scorer.score(call([ROWS[3], row(9, 9), ROWS[0]]))
        assert first.scores == again.scores == expected_scores(ROWS)
        assert mixed.scores == expected_scores([ROWS[3], row(9, 9), ROWS[0]])
        assert (first.num_cached, again.num_cached, mixed.num_cached) == (0, 5, 2)
        assert s.model.passes == [5, 1]
        assert (lookups(s, "hit"), lookups(s, "miss")) == (7, 6)
        assert s.metrics.registry.get_sample_value("lorb_score_cache_bytes") == s.cache.size_bytes > 0

    run(test)


def test_adapters_do_not_share_scores():
    """Equal texts under another adapter are scored anew, with reloaded weights."""

    async def test(s):
        await s.scorer.score(call())
        other = await s.scorer.score(call(number=2))
        assert other.scores == expected_scores(ROWS, 2)
        assert s.weights.reloaded == ["3-000000000002"]

    run(test)


def test_a_score_that_is_not_finite_is_not_cached():
    """A score that is not finite is not cached."""

    async def test(s):
        nan = float("nan")
        s.model.answer = lambda scores: [nan] * len(scores)
        assert all(score != score for score in (await s.scorer.score(call())).scores)
        s.model.answer = None
        assert (await s.scorer.score(call())).scores == expected_scores(ROWS)

    run(test)


def test_without_a_cache_everything_is_scored():
    """With 0 bytes every list is scored, and no lookup is counted."""

    async def test(s):
        for _ in range(2):
            assert (await s.scorer.score(call())).scores == expected_scores(ROWS)
        assert s.model.passes == [5, 5]
        assert lookups(s, "miss") == 0

    run(test, cache_bytes=0)


def test_cached_scores_count_towards_a_partial_list():
    """With two cached hypotheses and time for one more, the first three are answered; a list that needs all is refused.

    The fifth hypothesis is cached too, but the fourth has no score: the fifth is dropped and not counted as cached.
    """

    async def test(s):
        await s.scorer.score(call([ROWS[0], ROWS[2], ROWS[4]]))
        s.scheduler.forecast.cost = CostModel()
        for _ in range(5):
            s.scheduler.forecast.cost.observe(2, 0.5)  # a pass of one row takes 0.5 s, of two rows 1 s
            s.scheduler.forecast.cost.observe(4, 1.0)
        now = asyncio.get_running_loop().time()
        with pytest.raises(DeadlineExceeded):
            await s.scorer.score(call([row(8, 1), row(8, 2)], answer_by=now + 0.75))
        scored = await s.scorer.score(call(answer_by=now + 0.75, may_be_partial=True))
        assert (scored.scores, scored.num_cached) == (expected_scores(ROWS[:3]), 2)

    run(test)


def make_passes_take_a_second(s):
    s.scheduler.forecast.cost = CostModel()
    for _ in range(5):
        s.scheduler.forecast.cost.observe(4, 1.0)
    s.scheduler.finish(Batch(), 0.0, time.monotonic(), read_tokens=0)  # busy until just now: no probe


def test_admission_is_the_engines_decision():
    """A list that would be too late is refused before tokenisation."""

    async def test(s):
        s.scorer.check_admission(call(), 1)
        s.scorer.check_admission(call(priority=Priority.BATCH), 1)
        make_passes_take_a_second(s)
        soon = time.monotonic() + 0.5
        with pytest.raises(DeadlineExceeded):
            s.scorer.check_admission(call(answer_by=soon), 4)

    run(test)


def test_a_list_that_may_be_cached_is_not_refused_by_its_deadline():
    """While cache hits are frequent, a deadline too near for a pass does not refuse a list before the lookup."""

    async def test(s):
        for _ in range(10):
            await s.scorer.score(call())
        make_passes_take_a_second(s)
        soon = time.monotonic() + 0.5
        s.scorer.check_admission(call(answer_by=soon), 4)
        assert (await s.scorer.score(call(answer_by=soon))).scores == expected_scores(ROWS)

    run(test)


def test_weights_that_are_evicted_after_the_admission_are_not_reloaded():
    """A call that was admitted keeps the weights, though the cache has lost them when the call is scored."""

    async def test(s):
        admitted = call()
        s.scorer.check_admission(admitted, 1)
        s.weights.get = lambda adapter: None
        assert (await s.scorer.score(admitted)).scores == expected_scores(ROWS)
        assert s.weights.reloaded == []

    run(test)
