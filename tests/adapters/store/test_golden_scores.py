"""lorb_adapters.store.golden_scores."""

import copy
from dataclasses import replace

import msgspec
import pytest
import torch

from lorb.errors import InvalidAdapter
from lorb.nbest import Hypothesis, NBest
from lorb_adapters.model import RescoringModel
from lorb_adapters.store.golden_scores import check_golden_scores
from lorb_adapters.store.verified_loading import load_adapter
from support.adapters.publications import golden_list, make_publication
from support.adapters.random_adapters import random_adapter


def test_other_weights_with_correct_digests_are_refused(store, store_base, publication):
    """Weights with correct digests but other scores than the trainer's are refused; the list is named."""
    forged = replace(publication, weights=random_adapter(store_base, seed=9))
    version = store.publish(forged, set_stable=True)
    adapter = load_adapter(store, "voice", version, store_base)
    with pytest.raises(InvalidAdapter, match=r"golden_lists\[0\] \('utterance-1'\): hypothesis 0 scores"):
        check_golden_scores(adapter, RescoringModel(store_base), store_base.text_encoder)


def test_golden_scores_tolerate_only_rounding(store, store_base, publication):
    """In fp32 a relative error of 5e-5 passes and one of 5e-4 is refused."""
    model = RescoringModel(store_base)
    for error, passes in ((5e-5, True), (5e-4, False)):
        [golden] = publication.golden_lists
        shifted = tuple(score + error * max(map(abs, golden.rescoring_scores)) for score in golden.rescoring_scores)
        changed = replace(publication, golden_lists=(msgspec.structs.replace(golden, rescoring_scores=shifted),))
        adapter = load_adapter(store, "voice", store.publish(changed, set_stable=True), store_base)
        if passes:
            check_golden_scores(adapter, model, store_base.text_encoder)
        else:
            with pytest.raises(InvalidAdapter, match="golden_lists"):
                check_golden_scores(adapter, model, store_base.text_encoder)


def test_an_adapter_without_golden_lists_loads(store, store_base):
    """A version without golden lists, as of a publisher with private data, passes."""
    version = store.publish(make_publication(store_base, golden_lists=()), set_stable=True)
    adapter = load_adapter(store, "voice", version, store_base)
    check_golden_scores(adapter, RescoringModel(store_base), store_base.text_encoder)


def test_in_bfloat16_only_the_order_is_checked(store, version, publication, store_base):
    """In bfloat16 the trainer's order passes and the reverse order is refused."""
    bf16_base = replace(store_base, encoder=copy.deepcopy(store_base.encoder).to(torch.bfloat16), dtype=torch.bfloat16)
    model = RescoringModel(bf16_base)
    adapter = load_adapter(store, "voice", version, bf16_base)
    assert next(iter(adapter.weights.lora.values()))[0].dtype == torch.bfloat16
    check_golden_scores(adapter, model, bf16_base.text_encoder)
    [golden] = publication.golden_lists
    reversed_scores = msgspec.structs.replace(
        golden, rescoring_scores=tuple(-score for score in golden.rescoring_scores)
    )
    manifest = replace(adapter.manifest, golden_lists=(reversed_scores,))
    with pytest.raises(InvalidAdapter, match="no longer scores above"):
        check_golden_scores(replace(adapter, manifest=manifest), model, bf16_base.text_encoder)


def test_a_golden_list_may_lack_first_pass_scores(store, store_base):
    """A golden list of a recogniser without scores passes."""
    weights = random_adapter(store_base)
    nbest = NBest((Hypothesis("the cat"), Hypothesis("")), id="unscored")
    golden = golden_list(store_base, weights, nbest)
    version = store.publish(make_publication(store_base, weights=weights, golden_lists=(golden,)), set_stable=True)
    check_golden_scores(
        load_adapter(store, "voice", version, store_base), RescoringModel(store_base), store_base.text_encoder
    )
