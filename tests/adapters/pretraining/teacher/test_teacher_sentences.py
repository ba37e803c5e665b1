"""The sentences that the teacher scores."""

import pytest

from lorb.nbest import Hypothesis, NBest
from lorb_adapters.base.loader import load_base
from lorb_adapters.pretraining.config import PLL, BuildConfig
from lorb_adapters.pretraining.corpus.confusions import Confusions
from lorb_adapters.pretraining.corpus.corpus import Corpus
from lorb_adapters.pretraining.corpus.corruption import Corruptor
from lorb_adapters.pretraining.corpus.sentences import Sentences
from lorb_adapters.pretraining.corpus.similar_words import SimilarWords
from lorb_adapters.pretraining.teacher.teacher_sentences import TeacherSentences

LISTS = [
    NBest((Hypothesis(f"The man {i}"), Hypothesis(f"the man  {i}"), Hypothesis("")), id=str(i), reference="the man")
    for i in range(30)
]


@pytest.fixture
def encoder(tiny_bert):
    return load_base(str(tiny_bert)).text_encoder


def drawn(encoder, folder, lists=(), **values):
    config = BuildConfig(objective=PLL, num_sentences=100, **values)
    collected = Sentences.collect((f"sentence number {i} of a book" for i in range(900)), folder, config)
    confusions = Confusions.from_lists(lists, config.normalization)
    corruptor = Corruptor(SimilarWords(collected.word_counts), confusions, config)
    return TeacherSentences.draw(Corpus(collected, confusions, corruptor, lists, [], 0), config, encoder)


def test_a_share_of_the_sentences_is_distinct_normalised_hypotheses(encoder, tmp_path):
    """Equal hypotheses are drawn once and empty ones never; the other sentences come from the text."""
    sentences = drawn(encoder, tmp_path, LISTS, num_teacher_sentences=100, hypothesis_share=0.2)
    assert (len(sentences.distilled), sentences.num_hypotheses) == (100, 20)
    hypotheses = {row.token_ids for row in sentences.distilled[:20]}
    assert len(hypotheses) == 20
    assert hypotheses <= {
        row.token_ids
        for i in range(30)
        for row in encoder.encode([f"the man {i}"], "", BuildConfig().normalization, False)
    }


def test_missing_hypotheses_are_replaced_by_text(encoder, tmp_path):
    """If the lists have fewer hypotheses than the share asks for, all are used, and text fills the rest."""
    sentences = drawn(encoder, tmp_path, LISTS, num_teacher_sentences=100, hypothesis_share=0.9)
    assert (len(sentences.distilled), sentences.num_hypotheses) == (100, 30)


def test_pairs_are_held_out_sentences_and_differ(encoder, tmp_path):
    """Every held-out sentence differs from its corrupted copy, and none is distilled."""
    sentences = drawn(encoder, tmp_path, num_teacher_sentences=200, corrupted_share=0.4)
    assert len(sentences.true) == len(sentences.corrupted) >= 1
    assert all(a.token_ids != b.token_ids for a, b in zip(sentences.true, sentences.corrupted, strict=True))
    assert not {row.token_ids for row in sentences.true} & {row.token_ids for row in sentences.distilled}
    assert len(sentences.rows) == 200 + 2 * len(sentences.true)


def test_the_same_seed_draws_the_same(encoder, tmp_path):
    """Equal seeds draw equal sentences, other seeds others."""
    first, again, other = (drawn(encoder, tmp_path, LISTS, num_teacher_sentences=50, seed=seed) for seed in (0, 0, 1))
    assert first == again != other
