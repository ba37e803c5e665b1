"""Whisper as a client: a tiny one really generates, a real server rescores its beams."""

import pytest
import torch
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from recordings import samples_of
from rescore_whisper import NUM_BEAMS, main, nbest_of
from support.adapters.tiny_recognisers import make_whisper


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Whisper as a hub would give it."""
    return make_whisper(tmp_path_factory.mktemp("whisper"))


@pytest.fixture(scope="module")
def whisper(folder):
    """The model and its processor."""
    return WhisperForConditionalGeneration.from_pretrained(folder).eval(), WhisperProcessor.from_pretrained(folder)


def test_the_beams_are_the_list(whisper, recording):
    """As many hypotheses as beams, not one of them many times, with falling scores of log-probabilities."""
    nbest = nbest_of(*whisper, samples_of(recording))
    scores = [hypothesis.first_pass_score for hypothesis in nbest.hypotheses]
    assert len({hypothesis.transcript for hypothesis in nbest.hypotheses}) == len(scores) == NUM_BEAMS
    assert scores == sorted(scores, reverse=True)
    assert scores[0] < 0


def test_the_best_beam_is_whisper_s_own(whisper, recording):
    """The list begins with what Whisper's generate() decodes, with its score: the prompt is the same."""
    model, processor = whisper
    waveform = torch.frombuffer(bytearray(samples_of(recording)), dtype=torch.int16).float() / 2**15
    inputs = processor(waveform.numpy(), sampling_rate=16_000, return_attention_mask=True, return_tensors="pt")
    output = model.generate(
        inputs.input_features,
        attention_mask=inputs.attention_mask,
        num_beams=NUM_BEAMS,
        return_dict_in_generate=True,
        output_scores=True,
    )
    best = nbest_of(model, processor, samples_of(recording)).hypotheses[0]
    [own] = processor.batch_decode(output.sequences, skip_special_tokens=True)
    assert best.transcript == own.strip()
    assert best.first_pass_score == pytest.approx(output.sequences_scores.item(), rel=1e-4)


def test_the_command_rescores_a_recording(server, folder, recording, capsys):
    """From a folder with a model and a recording to the answer of a server."""
    assert main([str(recording), "--model", str(folder), "--target", server.target]) == 0
    head, before, after = capsys.readouterr().out.splitlines()
    assert head.endswith(f"{NUM_BEAMS} hypotheses")
    assert (before[:14], after[:14]) == ("  first pass  ", "  rescored    ")
