"""Scoring of lists in shared passes."""

import pytest

from lorb.nbest import Hypothesis, NBest
from lorb_adapters.base.loader import load_base
from lorb_adapters.model import RescoringModel
from lorb_adapters.text import TextNormalization
from lorb_adapters.training.data.encoded_lists import encode_lists
from lorb_adapters.training.methods.scoring import score_lists
from support.adapters.random_adapters import random_adapter


@pytest.fixture(scope="module")
def base(tiny_bert):
    return load_base(str(tiny_bert))


def test_each_list_gets_its_own_scores(base):
    """Scored together, each list has the scores it has alone, in order, and none for its reference."""
    texts = ("the man", "old door", "day")
    nbests = [
        NBest(tuple(Hypothesis(text, -float(k)) for k, text in enumerate(texts[: 1 + i % 3])), reference="a")
        for i in range(7)
    ]
    lists = encode_lists(nbests, base.text_encoder, TextNormalization(), uses_context=False, uses_references=True)
    model, weights = RescoringModel(base), random_adapter(base, kind="sum")
    together = list(score_lists(model, weights, lists))
    assert [len(scores) for scores in together] == [len(each.rows) for each in lists]
    for scores, each in zip(together, lists, strict=True):
        [alone] = score_lists(model, weights, [each])
        assert scores == pytest.approx(alone, rel=1e-5, abs=1e-5)
