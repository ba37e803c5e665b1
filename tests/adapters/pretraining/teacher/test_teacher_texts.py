"""Which sentences a teacher judges."""

import pytest

from lorb.nbest import Hypothesis, NBest
from lorb_adapters.base.loader import load_base
from lorb_adapters.pretraining.config import PLL, BuildConfig
from lorb_adapters.pretraining.corpus.confusions import Confusions
from lorb_adapters.pretraining.corpus.corpus import Corpus
from lorb_adapters.pretraining.corpus.corruption import Corruptor
from lorb_adapters.pretraining.corpus.near_words import NearWords
from lorb_adapters.pretraining.corpus.sentences import Sentences
from lorb_adapters.pretraining.teacher.teacher_texts import TeacherTexts

LISTS = [
    NBest((Hypothesis(f"The man {i}"), Hypothesis(f"the man  {i}"), Hypothesis("")), id=str(i), reference="the man")
    for i in range(30)
]


@pytest.fixture
def encoder(tiny_bert):
    return load_base(str(tiny_bert)).text_encoder


def drawn(encoder, folder, lists=(), **values):
    config = BuildConfig(objective=PLL, num_sentences=100, **values)
    sentences = Sentences.collect((f"sentence number {i} of a book" for i in range(900)), folder, config)
    confusions = Confusions.learn(lists, config.normalization)
    corruptor = Corruptor(NearWords(sentences.word_counts), confusions, config)
    return TeacherTexts.draw(Corpus(sentences, confusions, corruptor, lists, [], 0), config, encoder)


def test_a_share_is_hypotheses_each_once_and_normalised(encoder, tmp_path):
    """Equal texts count once, empty ones not at all; the rest comes from the text."""
    texts = drawn(encoder, tmp_path, LISTS, num_teacher_sentences=100, hypothesis_share=0.2)
    assert (len(texts.learnt), texts.num_hypotheses) == (100, 20)
    hypotheses = {row.token_ids for row in texts.learnt[:20]}
    assert len(hypotheses) == 20
    assert hypotheses <= {
        row.token_ids
        for i in range(30)
        for row in encoder.encode([f"the man {i}"], "", BuildConfig().normalization, False)
    }


def test_fewer_hypotheses_than_asked_for_are_made_up_with_text(encoder, tmp_path):
    """Thirty are all there are."""
    texts = drawn(encoder, tmp_path, LISTS, num_teacher_sentences=100, hypothesis_share=0.9)
    assert (len(texts.learnt), texts.num_hypotheses) == (100, 30)


def test_pairs_are_held_out_sentences_and_differ(encoder, tmp_path):
    """Every true sentence has a copy that is not it, and none of them is learnt from."""
    texts = drawn(encoder, tmp_path, num_teacher_sentences=200, corrupted_share=0.4)
    assert len(texts.true) == len(texts.corrupted) >= 1
    assert all(a.token_ids != b.token_ids for a, b in zip(texts.true, texts.corrupted, strict=True))
    assert not {row.token_ids for row in texts.true} & {row.token_ids for row in texts.learnt}
    assert len(texts.rows) == 200 + 2 * len(texts.true)


def test_the_same_seed_draws_the_same(encoder, tmp_path):
    """Another one draws others."""
    first, again, other = (drawn(encoder, tmp_path, LISTS, num_teacher_sentences=50, seed=seed) for seed in (0, 0, 1))
    assert first == again != other
