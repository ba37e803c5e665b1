"""Two runs compared with each other: the figures are those of their texts, on the lists that both measured."""

import random

import pytest

from lorb_adapters.base.loader import load_base
from lorb_adapters.ranking import Ranking
from lorb_adapters.text import TextNormalization
from lorb_adapters.training.data.encoded_lists import encode_lists
from lorb_adapters.training.data.first_pass import fit_rank_prior
from lorb_adapters.training.evaluation.evaluation import evaluate
from lorb_adapters.training.evaluation.run_difference import RunDifference
from lorb_adapters.training.evaluation.significance import matched_pairs, paired_bootstrap


def test_the_figures_are_those_of_the_texts(tiny_bert, sample_dev):
    """Interval and MAPSSWE of two runs on real lists, matched by id in any order, are those of the texts they chose."""
    lists = encode_lists(sample_dev, load_base(str(tiny_bert)).text_encoder, TextNormalization(), uses_context=False)
    rng = random.Random(0)
    scores = [[-0.5 * errors + rng.gauss(0, 1) for errors in each.errors] for each in lists]
    prior = fit_rank_prior(lists)
    first, second = (evaluate(lists, scores, Ranking(weight, 1.0, 0.0, prior)) for weight in (0.1, 3.0))
    shuffled = random.Random(1).sample(second.list_errors, len(lists))
    difference = RunDifference.of(first.list_errors, shuffled)
    assert difference.num_shared == len(lists)
    assert difference.change == pytest.approx(second.percent(second.rescored) - first.percent(first.rescored))
    assert difference.bootstrap == paired_bootstrap(first.rescored, second.rescored, first.words)
    texts = [
        [each.distinct[max(range(len(row)), key=lambda i: f[i] + weight * row[i])].transcript for weight in (0.1, 3.0)]
        for each, row in zip(lists, scores, strict=True)
        for f in [[h.first_pass_score for h in each.distinct]]
    ]
    assert difference.mapsswe == matched_pairs(
        (each.nbest.reference, *pair) for each, pair in zip(lists, texts, strict=True)
    )
    some = RunDifference.of(first.list_errors[:100], second.list_errors[50:])
    assert some.num_shared == 50
