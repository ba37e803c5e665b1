"""lorb_adapters.store.loading: what was published is loaded, for its own base, and scores as its trainer said."""

import copy
from dataclasses import replace

import pytest
import torch

from lorb.errors import ForeignBase, InvalidAdapter
from lorb.nbest import Hypothesis, NBest
from lorb_adapters.lora.weights import adapter_state_dict
from lorb_adapters.model import RescoringModel
from lorb_adapters.store.loading import check_golden, load_adapter
from lorb_adapters.store.manifest import GoldenList
from lorb_adapters.store.version_files import render_version
from support.adapters.publications import golden_list, make_publication, random_weights


def test_a_good_version_loads_as_it_was_published(store, version, publication, store_base):
    """Weights, scores and identity are those of the publication."""
    adapter = load_adapter(store, "voice", version, store_base)
    check_golden(adapter, RescoringModel(store_base), store_base.text_encoder)
    published = adapter_state_dict(publication.weights)
    assert adapter.ref.version == version
    assert adapter.ref.digest.startswith(version.partition("-")[2])
    assert adapter.weights.config == publication.weights.config
    for key, tensor in adapter_state_dict(adapter.weights).items():
        assert torch.equal(tensor, published[key])
    assert torch.equal(adapter.weights.head.weight, publication.weights.head.weight)


def test_a_base_whose_layers_are_wrapped_already_loads_too(store, version, store_base):
    """The server loads while its model has taken the encoder over."""
    model = RescoringModel(store_base)
    check_golden(load_adapter(store, "voice", version, store_base), model, store_base.text_encoder)


def test_another_base_is_refused_by_name(store, version, publication, store_base):
    """An adapter made for another base says for which, and which this is."""
    other = replace(store_base, name="other-base", fingerprint="e" * 64)
    with pytest.raises(ForeignBase) as caught:
        load_adapter(store, "voice", version, other)
    for part in (publication.base_name, publication.base_fingerprint[:12], "other-base", "e" * 12):
        assert part in str(caught.value)


def test_a_base_without_the_layers_is_refused(store, version, store_base):
    """A base that claims the fingerprint but has no such layers is refused, not a crash."""
    empty = replace(store_base, encoder=torch.nn.Identity())
    with pytest.raises(InvalidAdapter, match="no layer named"):
        load_adapter(store, "voice", version, empty)


def test_a_whole_forgery_is_found_by_its_golden_scores(store, store_base, publication):
    """Weights with every digest right but other scores than the trainer's are refused; the list is named."""
    forged = replace(publication, weights=random_weights(store_base, seed=9))
    version = store.publish(forged, set_stable=True)
    adapter = load_adapter(store, "voice", version, store_base)
    with pytest.raises(InvalidAdapter, match=r"golden_lists\[0\] \('utterance-1'\): hypothesis 0 scores"):
        check_golden(adapter, RescoringModel(store_base), store_base.text_encoder)


def test_golden_scores_bear_rounding_and_nothing_more(store, store_base, publication):
    """A relative error of 5e-5 passes, one of 5e-4 does not."""
    model = RescoringModel(store_base)
    for error, passes in ((5e-5, True), (5e-4, False)):
        [golden] = publication.golden_lists
        shifted = tuple(score + error * max(map(abs, golden.rescoring_scores)) for score in golden.rescoring_scores)
        changed = replace(publication, golden_lists=(replace(golden, rescoring_scores=shifted),))
        adapter = load_adapter(store, "voice", store.publish(changed, set_stable=True), store_base)
        if passes:
            check_golden(adapter, model, store_base.text_encoder)
        else:
            with pytest.raises(InvalidAdapter, match="golden_lists"):
                check_golden(adapter, model, store_base.text_encoder)


def test_an_adapter_without_golden_lists_loads(store, store_base):
    """A publisher whose lists are private may leave them out."""
    version = store.publish(make_publication(store_base, golden_lists=()), set_stable=True)
    adapter = load_adapter(store, "voice", version, store_base)
    check_golden(adapter, RescoringModel(store_base), store_base.text_encoder)


def test_in_bfloat16_the_order_counts(store, version, publication, store_base):
    """In a coarser dtype the golden order must come out again; a swapped one is refused."""
    coarse = replace(store_base, encoder=copy.deepcopy(store_base.encoder).to(torch.bfloat16), dtype=torch.bfloat16)
    model = RescoringModel(coarse)
    adapter = load_adapter(store, "voice", version, coarse)
    assert next(iter(adapter.weights.lora.values()))[0].dtype == torch.bfloat16
    check_golden(adapter, model, coarse.text_encoder)
    [golden] = publication.golden_lists
    turned = replace(golden, rescoring_scores=tuple(-score for score in golden.rescoring_scores))
    manifest = replace(adapter.manifest, golden_lists=(turned,))
    with pytest.raises(InvalidAdapter, match="no longer scores above"):
        check_golden(replace(adapter, manifest=manifest), model, coarse.text_encoder)


def test_rendering_is_the_same_every_time(publication):
    """The same publication, version and time give the same bytes: what is published can be reproduced."""
    rendered = [render_version(publication, "1-0123456789ab", "2026-01-01T00:00:00+00:00") for _ in range(2)]
    assert rendered[0] == rendered[1]
    assert list(rendered[0])[-1] == "manifest.json"


def test_golden_lists_without_first_pass_scores_work(store, store_base):
    """A list of a recogniser that gives no scores can be golden as well."""
    weights = random_weights(store_base)
    nbest = NBest((Hypothesis("the cat"), Hypothesis("")), id="unscored")
    golden: GoldenList = golden_list(store_base, weights, nbest)
    version = store.publish(make_publication(store_base, weights=weights, golden_lists=(golden,)), set_stable=True)
    check_golden(load_adapter(store, "voice", version, store_base), RescoringModel(store_base), store_base.text_encoder)
