"""Wav2Vec2 and pyctcdecode as a client: a tiny model's logits, the real beam search, a real server."""

import pytest

pytest.importorskip("pyctcdecode", reason="pyctcdecode is not installed: pip install --no-deps pyctcdecode pygtrie")

from pyctcdecode import BeamSearchDecoderCTC
from pyctcdecode.language_model import AbstractLanguageModel
from transformers import Wav2Vec2ForCTC, Wav2Vec2Processor

from recordings import samples_of
from rescore_wav2vec2 import MAX_HYPOTHESES, beam_search, main, nbest_of
from support.adapters.tiny_recognisers import make_wav2vec2


class ShortWords(AbstractLanguageModel):
    """A language model that charges each word its letters."""

    order = 1

    def get_start_state(self):
        return None

    def score(self, prev_state, word, is_last_word=False):
        return -0.5 * len(word), None

    def score_partial_token(self, partial_token):
        return 0.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Wav2Vec2 as a hub would give it."""
    return make_wav2vec2(tmp_path_factory.mktemp("wav2vec2"))


@pytest.fixture(scope="module")
def wav2vec2(folder):
    """The model and its processor."""
    return Wav2Vec2ForCTC.from_pretrained(folder).eval(), Wav2Vec2Processor.from_pretrained(folder)


def test_the_beams_are_the_list(wav2vec2, recording):
    """Distinct lower-case texts with falling scores, all of them the acoustic model's."""
    model, processor = wav2vec2
    hypotheses = nbest_of(model, processor, beam_search(processor), samples_of(recording)).hypotheses
    scores = [hypothesis.first_pass_score for hypothesis in hypotheses]
    assert len({hypothesis.transcript for hypothesis in hypotheses}) == len(scores) == MAX_HYPOTHESES
    assert scores == sorted(scores, reverse=True)
    assert all(h.component_scores == {"logit": h.first_pass_score, "lm": 0.0} for h in hypotheses)
    assert all(set(h.transcript) <= set("abcdefghijklmnopqrstuvwxyz' ") for h in hypotheses)


def test_a_language_model_s_part_is_told(wav2vec2, recording):
    """The total that ranks the beams is the acoustic score and the language model's, each handed on."""
    model, processor = wav2vec2
    decoder = BeamSearchDecoderCTC(beam_search(processor)._alphabet, ShortWords())
    hypotheses = nbest_of(model, processor, decoder, samples_of(recording)).hypotheses
    scores = [hypothesis.first_pass_score for hypothesis in hypotheses]
    assert scores == sorted(scores, reverse=True)
    for hypothesis in hypotheses:
        assert sum(hypothesis.component_scores.values()) == pytest.approx(hypothesis.first_pass_score)
        letters = len(hypothesis.transcript.replace(" ", ""))
        assert hypothesis.component_scores["lm"] == pytest.approx(-0.5 * letters)


def test_the_command_rescores_a_recording(server, folder, recording, capsys):
    """From a folder with a model and a recording to the answer of a server."""
    assert main([str(recording), "--model", str(folder), "--target", server.target]) == 0
    head, before, after = capsys.readouterr().out.splitlines()
    assert head.endswith(f"{MAX_HYPOTHESES} hypotheses")
    assert (before[:14], after[:14]) == ("  first pass  ", "  rescored    ")
