"""Telling wrong words: the labels of tokens, and what the loss makes of a score."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lorb_adapters.base.loader import load_base
from lorb_adapters.lora import head
from lorb_adapters.pretraining.config import BuildConfig
from lorb_adapters.pretraining.corpus.corruption import CorruptedSentence
from lorb_adapters.pretraining.objectives.detection import (
    Detection,
    Detector,
    detection_loss,
    label,
    probability_right,
)
from lorb_adapters.text import TextNormalization


@pytest.fixture
def base(request):
    return load_base(str(request.getfixturevalue("tiny_bert")))


@given(right=st.floats(0.02, 1.0))
def test_the_best_score_of_a_token_is_its_log_likelihood_but_for_log_2(right):
    """The loss of a token that is right with probability q is least at log q - log(2 - q), which reads back as q."""
    best = math.log(right) - math.log(2 - right)
    scores = torch.tensor([best - 0.1, best, best + 0.1], dtype=torch.float64)

    def expected_loss(score):
        wrong, is_right = (detection_loss(score[None], torch.tensor([flag])) for flag in (True, False))
        return float((1 - right) * wrong + right * is_right)

    below, least, above = (expected_loss(score) for score in scores)
    assert least < below
    assert least < above
    assert math.log(right) - math.log(2) <= best <= math.log(right) + 1e-12
    assert float(probability_right(scores[1])) == pytest.approx(right)


def test_a_word_is_judged_at_its_first_token_and_the_end_at_the_separator(tiny_bert):
    """A wrong word of several pieces is one wrong token; a word missing at the end makes the separator wrong."""
    encoder = load_base(str(tiny_bert)).text_encoder
    [row] = encoder.encode(["qqq the"], "", TextNormalization(), uses_context=False)
    assert row.num_tokens > 4
    [labelled] = label([CorruptedSentence(("qqq", "the"), (True, False, True))], encoder)
    pieces = row.num_tokens - 3  # of the first word
    assert labelled.row == row
    assert labelled.wrong == (True, *[False] * (pieces - 1), False, True)
    assert labelled.judged == (True, *[False] * (pieces - 1), True, True)


@pytest.mark.parametrize("family", ["tiny_bert", "tiny_roberta"])
@given(words=st.lists(st.text("abcéz'", min_size=1, max_size=9), max_size=8), data=st.data())
def test_as_many_tokens_are_wrong_as_words(request, family, words, data):
    """Whatever pieces a tokenizer makes, every word and the end have one token that stands for them, in order."""
    encoder = load_base(str(request.getfixturevalue(family))).text_encoder
    wrong = tuple(data.draw(st.booleans()) for _ in range(len(words) + 1))
    [labelled] = label([CorruptedSentence(tuple(words), wrong)], encoder)
    if not labelled.row.truncated:
        assert tuple(w for w, j in zip(labelled.wrong, labelled.judged, strict=True) if j) == wrong


def test_an_empty_sentence_has_its_end_alone(tiny_bert):
    """Where every word was dropped the separator says so."""
    [labelled] = label([CorruptedSentence((), (True,))], load_base(str(tiny_bert)).text_encoder)
    assert labelled.wrong == labelled.judged == (True,)


def test_a_rows_score_is_the_sum_of_its_tokens_scores(base):
    """What the detector was trained on is what the sum head of a served base adds up."""
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
    served = head.mixed_scores(detector._hidden(rows, packed, None), packed, [detector.head], packed.starts)
    assert torch.allclose(served, expected, atol=1e-5)


def test_detection_counts_words_and_not_pieces():
    """Accuracy, precision and recall from a worked example; tokens that stand for no word do not count."""
    scores = torch.tensor([5.0, -5.0, -5.0, 0.0, 0.0, -9.0])
    wrong = torch.tensor([False, True, False, True, False, True])
    judged = torch.tensor([True, True, True, True, True, False])
    detection = Detection.measure(scores, wrong, judged)
    assert (detection.words, detection.wrong, detection.flagged, detection.found) == (5, 2, 2, 1)
    assert detection.accuracy_percent == pytest.approx(60)
    assert detection.precision_percent == pytest.approx(50)
    assert detection.recall_percent == pytest.approx(50)


def test_a_detector_learns_what_wrong_words_look_like(base):
    """Where every wrong word is the same, some steps suffice to flag it wherever it stands, and nothing else."""
    detector = Detector(base, BuildConfig(precision="fp32"))
    sentences = [
        CorruptedSentence(words, (*(word == "qq" for word in words), False))
        for words in [("the", "qq", "man"), ("qq", "old", "the"), ("the", "old", "man"), ("man", "the", "qq")]
    ]
    rows = label(sentences, base.text_encoder)
    wrong, judged = (torch.tensor([f for row in rows for f in getattr(row, name)]) for name in ("wrong", "judged"))
    optimizer = torch.optim.AdamW(detector.tensors.values(), lr=5e-3)
    for _ in range(60):
        optimizer.zero_grad()
        scores = detector.token_scores([each.row for each in rows])
        detection_loss(scores, wrong).backward()
        optimizer.step()
    detection = Detection.measure(scores.detach(), wrong, judged)
    assert (detection.accuracy_percent, detection.recall_percent) == (100, 100)
    assert detection.wrong == 3


def test_frozen_embeddings_are_no_part_of_what_is_trained(base):
    """All above them has a gradient; they have none, and are not among the detector's values."""
    detector = Detector(base, BuildConfig(precision="fp32", freezes_embeddings=True))
    whole = set(Detector(load_base(base.name), BuildConfig(precision="fp32")).tensors)
    assert {name.split(".")[0] for name in whole - set(detector.tensors)} == {"embeddings"}
    with torch.no_grad():
        detector.tensors["head.weight"].fill_(1.0)
    rows = base.text_encoder.encode(["the old man"], "", TextNormalization(), False)
    detector.token_scores(rows).sum().backward()
    assert all(tensor.grad is not None and tensor.grad.isfinite().all() for tensor in detector.tensors.values())
    assert all(p.grad is None for name, p in base.encoder.named_parameters() if name.startswith("embeddings."))
