"""Detection of wrong words: labels of tokens, the loss, and the metrics."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lorb_adapters.base.loader import load_base
from lorb_adapters.encoder.head_scores import mixed_head_scores
from lorb_adapters.pretraining.config import BuildConfig
from lorb_adapters.pretraining.corpus.corruption import CorruptedSentence
from lorb_adapters.pretraining.objectives.detection import (
    DetectionMetrics,
    Detector,
    detection_examples,
    detection_loss,
    probability_correct,
)
from lorb_adapters.text import TextNormalization


@pytest.fixture
def base(request):
    return load_base(str(request.getfixturevalue("tiny_bert")))


@given(correct=st.floats(0.02, 1.0))
def test_the_best_score_of_a_token_is_its_log_likelihood_within_log_2(correct):
    """The loss of a token correct with probability q is minimal at log q - log(2 - q), from which q is recovered."""
    best = math.log(correct) - math.log(2 - correct)
    scores = torch.tensor([best - 0.1, best, best + 0.1], dtype=torch.float64)

    def expected_loss(score):
        if_wrong, if_correct = (detection_loss(score[None], torch.tensor([flag])) for flag in (True, False))
        return float((1 - correct) * if_wrong + correct * if_correct)

    below, minimum, above = (expected_loss(score) for score in scores)
    assert minimum < below
    assert minimum < above
    assert math.log(correct) - math.log(2) <= best <= math.log(correct) + 1e-12
    assert float(probability_correct(scores[1])) == pytest.approx(correct)


def test_a_word_is_labelled_at_its_first_token_and_the_end_at_the_separator(tiny_bert):
    """A wrong word of several tokens has one wrong label; a word missing at the end labels the separator."""
    encoder = load_base(str(tiny_bert)).text_encoder
    [row] = encoder.encode(["qqq the"], "", TextNormalization(), uses_context=False)
    assert row.num_tokens > 4
    [example] = detection_examples([CorruptedSentence(("qqq", "the"), (True, False, True))], encoder)
    pieces = row.num_tokens - 3  # of the first word
    assert example.encoded == row
    assert example.wrong == (True, *[False] * (pieces - 1), False, True)
    assert example.word_starts == (True, *[False] * (pieces - 1), True, True)


@pytest.mark.parametrize("family", ["tiny_bert", "tiny_roberta"])
@given(words=st.lists(st.text("abcéz'", min_size=1, max_size=9), max_size=8), data=st.data())
def test_as_many_tokens_are_wrong_as_words(request, family, words, data):
    """For any tokenisation, each word and the end have one labelled token, in order."""
    encoder = load_base(str(request.getfixturevalue(family))).text_encoder
    wrong = tuple(data.draw(st.booleans()) for _ in range(len(words) + 1))
    [example] = detection_examples([CorruptedSentence(tuple(words), wrong)], encoder)
    if not example.encoded.truncated:
        assert tuple(w for w, j in zip(example.wrong, example.word_starts, strict=True) if j) == wrong


def test_an_empty_sentence_has_the_label_of_its_end(tiny_bert):
    """If all words were dropped, the separator carries the only label."""
    [example] = detection_examples([CorruptedSentence((), (True,))], load_base(str(tiny_bert)).text_encoder)
    assert example.wrong == example.word_starts == (True,)


def test_a_rows_score_is_the_sum_of_its_tokens_scores(base):
    """The sum of the detector's token scores is the score of the served base's sum head."""
    detector = Detector(base, BuildConfig(precision="fp32"))
    with torch.no_grad():
        detector.tensors["head.weight"].normal_(generator=torch.Generator().manual_seed(1))
        detector.tensors["head.bias"].fill_(0.3)
    rows = base.text_encoder.encode(["the", "the old man", "the old man was"], "", TextNormalization(), False)
    rows = sorted(rows, key=lambda row: row.num_tokens)
    tokens = detector.token_scores(rows)
    packed = detector._pack(rows)
    expected = torch.zeros(3).index_add(0, packed.scored_rows, tokens)
    _, scores = detector.forward(rows, None)
    assert torch.allclose(scores, expected, atol=1e-5)
    served = mixed_head_scores(detector._hidden_states(rows, packed, None), packed, [detector.head], packed.starts)
    assert torch.allclose(served, expected, atol=1e-5)


def test_metrics_count_words_and_not_tokens():
    """Accuracy, precision and recall by hand; tokens that do not start a word are not counted."""
    scores = torch.tensor([5.0, -5.0, -5.0, 0.0, 0.0, -9.0])
    wrong = torch.tensor([False, True, False, True, False, True])
    word_starts = torch.tensor([True, True, True, True, True, False])
    detection = DetectionMetrics.measure(scores, wrong, word_starts)
    assert (detection.words, detection.wrong, detection.flagged, detection.found) == (5, 2, 2, 1)
    assert detection.accuracy_percent == pytest.approx(60)
    assert detection.precision_percent == pytest.approx(50)
    assert detection.recall_percent == pytest.approx(50)


def test_a_detector_learns_what_wrong_words_look_like(base):
    """If every wrong word is the same, 60 steps are enough to flag it everywhere, and nothing else."""
    detector = Detector(base, BuildConfig(precision="fp32"))
    sentences = [
        CorruptedSentence(words, (*(word == "qq" for word in words), False))
        for words in [("the", "qq", "man"), ("qq", "old", "the"), ("the", "old", "man"), ("man", "the", "qq")]
    ]
    examples = detection_examples(sentences, base.text_encoder)
    wrong = torch.tensor([label for each in examples for label in each.wrong])
    word_starts = torch.tensor([start for each in examples for start in each.word_starts])
    optimizer = torch.optim.AdamW(detector.tensors.values(), lr=5e-3)
    for _ in range(60):
        optimizer.zero_grad()
        scores = detector.token_scores([each.encoded for each in examples])
        detection_loss(scores, wrong).backward()
        optimizer.step()
    detection = DetectionMetrics.measure(scores.detach(), wrong, word_starts)
    assert (detection.accuracy_percent, detection.recall_percent) == (100, 100)
    assert detection.wrong == 3


def test_frozen_embeddings_are_not_trained(base):
    """With frozen embeddings all other parameters get gradients, and embeddings are not among the trained tensors."""
    detector = Detector(base, BuildConfig(precision="fp32", freezes_embeddings=True))
    whole = set(Detector(load_base(base.name), BuildConfig(precision="fp32")).tensors)
    assert {name.split(".")[0] for name in whole - set(detector.tensors)} == {"embeddings"}
    with torch.no_grad():
        detector.tensors["head.weight"].fill_(1.0)
    rows = base.text_encoder.encode(["the old man"], "", TextNormalization(), False)
    detector.token_scores(rows).sum().backward()
    assert all(tensor.grad is not None and tensor.grad.isfinite().all() for tensor in detector.tensors.values())
    assert all(p.grad is None for name, p in base.encoder.named_parameters() if name.startswith("embeddings."))
