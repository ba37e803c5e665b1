"""lorb_server.engine.loader: loading, refusing and reloading versions, and the base's own adapter."""

from dataclasses import replace

import msgspec
import pytest
import torch

from lorb.errors import InvalidAdapter, ModelFailed, Unavailable, UnknownVersion
from lorb.names import is_version
from lorb_adapters.lora.head import HeadWeights
from lorb_adapters.model import RescoringModel
from lorb_adapters.store.adapter import weights_digest
from lorb_adapters.store.verified_loading import load_adapter
from lorb_server.engine.loader import base_adapter
from lorb_server.registry.registry import Registry
from support.adapters.publications import golden_list, make_publication
from support.engine.running_loader import run
from support.servers.stub_model import adapter_handle, adapter_weights


def count(metrics, result):
    return metrics.registry.get_sample_value("lorb_adapter_loads_total", {"domain": "voice", "result": result})


def test_a_good_version_is_loaded(store, tiny_bert):
    """A good version is loaded with its manifest's settings, and counted."""
    [version] = store.versions("voice")

    async def test(loader, adapter_cache, metrics):
        adapter = await loader.load("voice", version)
        manifest = store.manifest("voice", version)
        assert adapter.ref.version == version
        assert adapter.ranking == manifest.ranking
        assert adapter.training_score_mean == manifest.first_pass_statistics["mean"]
        assert adapter.training_score_deviation == manifest.first_pass_statistics["std"]
        assert adapter.size_bytes == adapter_cache.get(adapter).size_bytes > 0
        assert count(metrics, "loaded") == 1

    run(test, store, tiny_bert)


def test_a_version_that_does_not_reproduce_its_golden_scores_is_refused(store, tiny_bert, publishing_base):
    """A version that scores its golden lists differently is refused."""
    publication = make_publication(publishing_base, "voice", seed=2)
    golden = golden_list(publishing_base, publication.weights)
    wrong = msgspec.structs.replace(golden, rescoring_scores=tuple(score + 1 for score in golden.rescoring_scores))
    version = store.publish(replace(publication, golden_lists=(wrong,)), set_stable=False)

    async def test(loader, adapter_cache, metrics):
        with pytest.raises(InvalidAdapter, match="golden_lists"):
            await loader.load("voice", version)
        assert count(metrics, "refused") == 1
        assert count(metrics, "loaded") is None

    run(test, store, tiny_bert)


def test_an_unknown_version_is_refused(store, tiny_bert):
    """A version that the store does not hold is UnknownVersion and counted as refused."""

    async def test(loader, adapter_cache, metrics):
        with pytest.raises(UnknownVersion):
            await loader.load("voice", "9-0123456789ab")
        assert count(metrics, "refused") == 1

    run(test, store, tiny_bert)


def test_an_unexpected_error_refuses_the_version(store, tiny_bert, monkeypatch):
    """An unexpected error refuses the version; the reason holds the error's type only."""
    [version] = store.versions("voice")
    monkeypatch.setattr("lorb_server.engine.loader.golden_hypotheses", lambda *_, **__: [][1])

    async def test(loader, adapter_cache, metrics):
        with pytest.raises(InvalidAdapter, match="IndexError"):
            await loader.load("voice", version)
        assert count(metrics, "refused") == 1

    run(test, store, tiny_bert)


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_out_of_memory_does_not_refuse_the_version(store, tiny_bert, monkeypatch, error):
    """An out-of-memory error does not refuse the version; the next reading of the store loads it."""
    [version] = store.versions("voice")
    troubles = [error]

    def load_later(*arguments):
        if troubles:
            raise troubles.pop()
        return load_adapter(*arguments)

    monkeypatch.setattr("lorb_server.engine.loader.load_adapter", load_later)

    async def test(loader, adapter_cache, metrics):
        registry = Registry(store, loader.load, adapter_cache, metrics)
        with pytest.raises(Unavailable, match="memory"):
            await registry.refresh()
        assert count(metrics, "refused") is None
        assert (await registry.refresh()).loaded == (("voice", version),)
        assert count(metrics, "loaded") == 1

    run(test, store, tiny_bert)


def test_a_dead_model_does_not_refuse_the_version(store, tiny_bert, monkeypatch):
    """If a worker dies, the version is neither loaded nor refused."""
    [version] = store.versions("voice")

    def die(*_):
        raise SystemExit

    monkeypatch.setattr(RescoringModel, "launch", die)

    async def test(loader, adapter_cache, metrics):
        with pytest.raises(ModelFailed):
            await loader.load("voice", version)
        assert count(metrics, "refused") is None

    run(test, store, tiny_bert)


def test_reloaded_weights_are_the_same(store, tiny_bert):
    """Reloaded weights are equal to the evicted ones."""
    [version] = store.versions("voice")

    async def test(loader, adapter_cache, metrics):
        adapter = await loader.load("voice", version)
        before = adapter_cache.get(adapter)
        adapter_cache.max_bytes = 1
        adapter_cache.put(adapter_handle(1), adapter_weights(1))  # evicts the first
        after = await adapter_cache.reload(adapter)
        assert after is not before
        assert weights_digest(after) == weights_digest(before) == adapter.ref.digest

    run(test, store, tiny_bert)


def test_other_weights_under_the_same_version_are_refused(store, tiny_bert):
    """Reloading a version whose weights have changed in the store is refused."""
    [version] = store.versions("voice")

    async def test(loader, adapter_cache, metrics):
        adapter = await loader.load("voice", version)
        other = replace(adapter, ref=replace(adapter.ref, digest="0" * 64))
        with pytest.raises(InvalidAdapter, match="versions never change"):
            await adapter_cache.reload(other)
        assert metrics.registry.get_sample_value("lorb_adapter_bring_backs_total", {"result": "failed"}) == 1

    run(test, store, tiny_bert)


def test_a_base_without_a_head_has_no_adapter(publishing_base):
    """A base without a head has no adapter of its own, rather than one that scores zeros."""
    assert base_adapter(publishing_base) is None


def test_a_base_with_a_head_has_an_adapter(publishing_base):
    """A base's head serves under a version and a digest that follow its weights."""
    heads = [HeadWeights("sum", torch.full((32,), value), torch.zeros(())) for value in (0.1, 0.2)]
    (first, weights), (second, _) = (base_adapter(replace(publishing_base, head=head)) for head in heads)
    assert first.ref.domain == "base"
    assert is_version(first.ref.version)
    assert first.ref.version.endswith(first.ref.digest[:12])
    assert first.ref.digest != second.ref.digest
    assert weights.lora == {}
    assert first.size_bytes == weights.size_bytes
