"""lorb_adapters.store.verified_loading on intact versions."""

from dataclasses import replace

import pytest
import torch

from lorb.errors import ForeignBase, InvalidAdapter
from lorb_adapters.lora.weights import adapter_state_dict
from lorb_adapters.model import RescoringModel
from lorb_adapters.store.golden_scores import check_golden_scores
from lorb_adapters.store.verified_loading import load_adapter
from lorb_adapters.store.version_files import render_version


def test_a_good_version_loads_as_it_was_published(store, version, publication, store_base):
    """A loaded version has the weights, the scores and the identity of its publication."""
    adapter = load_adapter(store, "voice", version, store_base)
    check_golden_scores(adapter, RescoringModel(store_base), store_base.text_encoder)
    published = adapter_state_dict(publication.weights)
    assert adapter.ref.version == version
    assert adapter.ref.digest.startswith(version.partition("-")[2])
    assert adapter.weights.config == publication.weights.config
    for key, tensor in adapter_state_dict(adapter.weights).items():
        assert torch.equal(tensor, published[key])
    assert torch.equal(adapter.weights.head.weight, publication.weights.head.weight)


def test_a_base_in_use_by_a_model_loads_an_adapter(store, version, store_base):
    """An adapter loads while a model already uses the base's encoder."""
    model = RescoringModel(store_base)
    check_golden_scores(load_adapter(store, "voice", version, store_base), model, store_base.text_encoder)


def test_another_base_is_refused_by_name(store, version, publication, store_base):
    """An adapter for another base is refused with the names and fingerprints of both bases."""
    other = replace(store_base, name="other-base", fingerprint="e" * 64)
    with pytest.raises(ForeignBase) as caught:
        load_adapter(store, "voice", version, other)
    for part in (publication.base_name, publication.base_fingerprint[:12], "other-base", "e" * 12):
        assert part in str(caught.value)


def test_a_base_without_the_layers_is_refused(store, version, store_base):
    """A base with the right fingerprint but without the adapted layers is refused."""
    empty = replace(store_base, encoder=torch.nn.Identity())
    with pytest.raises(InvalidAdapter, match="no layer named"):
        load_adapter(store, "voice", version, empty)


def test_rendering_a_version_is_reproducible(publication):
    """The same publication, version and time give the same bytes, the manifest last."""
    rendered = [render_version(publication, "1-0123456789ab", "2026-01-01T00:00:00+00:00") for _ in range(2)]
    assert rendered[0] == rendered[1]
    assert list(rendered[0])[-1] == "manifest.json"
