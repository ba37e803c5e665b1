"""The Wav2Vec2 example with the logits of a tiny model, the real beam search and a real server."""

import pytest

pytest.importorskip("pyctcdecode", reason="pyctcdecode is not installed: pip install --no-deps pyctcdecode pygtrie")

from pyctcdecode import BeamSearchDecoderCTC
from pyctcdecode.language_model import AbstractLanguageModel
from transformers import Wav2Vec2ForCTC, Wav2Vec2Processor

from recordings import read_samples
from rescore_wav2vec2 import MAX_HYPOTHESES, beam_search, decode_nbest, main
from support.adapters.tiny_recognisers import make_wav2vec2


class ShortWords(AbstractLanguageModel):
    """A language model with the score -0.5 for each letter of a word."""

    order = 1

    def get_start_state(self):
        return None

    def score(self, prev_state, word, is_last_word=False):
        return -0.5 * len(word), None

    def score_partial_token(self, partial_token):
        return 0.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a tiny Wav2Vec2 model and its processor."""
    return make_wav2vec2(tmp_path_factory.mktemp("wav2vec2"))


@pytest.fixture(scope="module")
def wav2vec2(folder):
    """The model and its processor."""
    return Wav2Vec2ForCTC.from_pretrained(folder).eval(), Wav2Vec2Processor.from_pretrained(folder)


def test_the_beams_are_the_list(wav2vec2, recording):
    """The list has distinct lower-case texts with falling scores that come only from the acoustic model."""
    model, processor = wav2vec2
    hypotheses = decode_nbest(model, processor, beam_search(processor), read_samples(recording)).hypotheses
    scores = [hypothesis.first_pass_score for hypothesis in hypotheses]
    assert len({hypothesis.transcript for hypothesis in hypotheses}) == len(scores) == MAX_HYPOTHESES
    assert scores == sorted(scores, reverse=True)
    assert all(h.component_scores == {"logit": h.first_pass_score, "lm": 0.0} for h in hypotheses)
    assert all(set(h.transcript) <= set("abcdefghijklmnopqrstuvwxyz' ") for h in hypotheses)


def test_component_scores_contain_the_language_model(wav2vec2, recording):
    """The score of a beam is the sum of its component scores from the acoustic model and the language model."""
    model, processor = wav2vec2
    decoder = BeamSearchDecoderCTC(beam_search(processor)._alphabet, ShortWords())
    hypotheses = decode_nbest(model, processor, decoder, read_samples(recording)).hypotheses
    scores = [hypothesis.first_pass_score for hypothesis in hypotheses]
    assert scores == sorted(scores, reverse=True)
    for hypothesis in hypotheses:
        assert sum(hypothesis.component_scores.values()) == pytest.approx(hypothesis.first_pass_score)
        letters = len(hypothesis.transcript.replace(" ", ""))
        assert hypothesis.component_scores["lm"] == pytest.approx(-0.5 * letters)


def test_the_command_rescores_a_recording(server, folder, recording, capsys):
    """The command decodes a recording with the model of a folder and prints both best hypotheses."""
    assert main([str(recording), "--model", str(folder), "--target", server.target]) == 0
    head, before, after = capsys.readouterr().out.splitlines()
    assert head.endswith(f"{MAX_HYPOTHESES} hypotheses")
    assert (before[:14], after[:14]) == ("  first pass  ", "  rescored    ")
