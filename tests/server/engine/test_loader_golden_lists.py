"""lorb_server.engine.loader: golden lists in the queue, beside the lists of calls and those of other versions."""

import asyncio
import threading

import msgspec
import pytest

from lorb.errors import InvalidAdapter
from lorb.nbest import Hypothesis, NBest
from lorb_adapters.lora.head import HeadWeights
from lorb_adapters.lora.weights import base_only_weights
from lorb_adapters.model import RescoringModel
from lorb_server.call import Priority
from lorb_server.engine.loader import MAX_GOLDEN_HYPOTHESES_PER_LIST
from support.adapters.publications import golden_list, make_publication
from support.adapters.random_adapters import random_adapter
from support.engine.running_engine import entry
from support.engine.running_loader import run
from support.servers.serving import WAIT_SECONDS
from support.servers.stub_model import row

LONG_NBEST = NBest(tuple(Hypothesis("the cat " * i, -float(i)) for i in range(1, 11)), id="long")


@pytest.fixture
def passes(monkeypatch):
    """A list that gets the number of rows and of adapters of every pass."""
    seen = []
    launch = RescoringModel.launch

    def recorded(model, rows, adapters, row_adapters):
        seen.append((len(rows), len(adapters)))
        return launch(model, rows, adapters, row_adapters)

    monkeypatch.setattr(RescoringModel, "launch", recorded)
    return seen


async def all_queued(loader, versions, num_hypotheses):
    """Starts to load versions while a worker is held; returns the loads and the event that releases it."""
    released = threading.Event()
    loader._engine.run_on_worker(lambda: released.wait(WAIT_SECONDS))
    loads = [asyncio.ensure_future(loader.load("voice", version)) for version in versions]
    queue = loader._engine._queue._scheduler._queues[Priority.VERIFICATION]
    while len(queue) < num_hypotheses:
        await asyncio.sleep(0.001)
    return loads, released


def test_a_live_list_goes_before_waiting_golden_lists(store, tiny_bert, passes):
    """A call's list that arrives while a version is verified is scored before the golden lists that still wait."""
    [version] = store.versions("voice")

    async def test(loader, adapter_cache, metrics):
        [load], released = await all_queued(loader, [version], 3)
        live = entry(row(5, 6), row(7, 8))
        live.weights = base_only_weights(HeadWeights.zeros("sum", loader._model.base.hidden_size))
        future = loader._engine.submit(live)
        released.set()
        await future
        assert passes[0] == (2, 1)
        await load
        assert sum(rows for rows, _ in passes[1:]) == 3
        assert metrics.registry.get_sample_value("lorb_batch_lists_count") == 1

    run(test, store, tiny_bert)


def test_golden_lists_of_several_versions_share_a_pass(store, tiny_bert, publishing_base, passes):
    """The golden lists of versions that are verified at once are scored together, with each version's weights."""
    versions = [store.publish(make_publication(publishing_base, seed=seed), set_stable=False) for seed in range(2, 8)]
    passes.clear()

    async def test(loader, adapter_cache, metrics):
        loads, released = await all_queued(loader, versions, 3 * len(versions))
        released.set()
        adapters = await asyncio.gather(*loads)
        assert [adapter.ref.version for adapter in adapters] == versions
        assert passes == [(3 * len(versions), len(versions))]

    run(test, store, tiny_bert)


def test_a_long_golden_list_is_represented_by_few_hypotheses(store, tiny_bert, publishing_base, passes):
    """Of ten hypotheses three are scored; a wrong score of the trainer's best one still refuses the version."""
    weights = random_adapter(publishing_base, 2, std=0.1, head_std=1.0)
    golden = golden_list(publishing_base, weights, LONG_NBEST)
    best = max(range(10), key=golden.rescoring_scores.__getitem__)
    wrong = tuple(score + 1.0 * (i == best) for i, score in enumerate(golden.rescoring_scores))
    good, bad = (
        store.publish(
            make_publication(
                publishing_base, weights=weights, golden_lists=(msgspec.structs.replace(golden, **fields),)
            ),
            set_stable=False,
        )
        for fields in ({}, {"rescoring_scores": wrong})
    )
    passes.clear()

    async def test(loader, adapter_cache, metrics):
        await loader.load("voice", good)
        assert passes == [(MAX_GOLDEN_HYPOTHESES_PER_LIST, 1)]
        with pytest.raises(InvalidAdapter, match=rf"golden_lists\[0\] \('long'\): hypothesis {best} scores"):
            await loader.load("voice", bad)

    run(test, store, tiny_bert)


def test_a_version_on_which_the_model_raises_is_refused(store, tiny_bert, monkeypatch):
    """If the model raises on a version's golden list but is otherwise well, this version is refused, and no other."""
    [version] = store.versions("voice")
    launch = RescoringModel.launch

    def fail_on_lora(model, rows, adapters, row_adapters):
        if any(adapter.lora for adapter in adapters):
            raise ValueError("these weights")
        return launch(model, rows, adapters, row_adapters)

    monkeypatch.setattr(RescoringModel, "launch", fail_on_lora)

    async def test(loader, adapter_cache, metrics):
        with pytest.raises(InvalidAdapter, match="ValueError"):
            await loader.load("voice", version)
        assert loader._engine.is_alive

    run(test, store, tiny_bert)
