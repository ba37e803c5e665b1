"""The Whisper example with the beam search of a tiny model and a real server."""

import pytest
import torch
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from recordings import read_samples
from rescore_whisper import NUM_BEAMS, decode_nbest, main
from support.adapters.tiny_recognisers import make_whisper


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a tiny Whisper model and its processor."""
    return make_whisper(tmp_path_factory.mktemp("whisper"))


@pytest.fixture(scope="module")
def whisper(folder):
    """The model and its processor."""
    return WhisperForConditionalGeneration.from_pretrained(folder).eval(), WhisperProcessor.from_pretrained(folder)


def test_the_beams_are_the_list(whisper, recording):
    """The list has as many distinct hypotheses as beams, with falling log-probabilities."""
    nbest = decode_nbest(*whisper, read_samples(recording))
    scores = [hypothesis.first_pass_score for hypothesis in nbest.hypotheses]
    assert len({hypothesis.transcript for hypothesis in nbest.hypotheses}) == len(scores) == NUM_BEAMS
    assert scores == sorted(scores, reverse=True)
    assert scores[0] < 0


def test_the_best_beam_is_the_result_of_whispers_generate(whisper, recording):
    """The first hypothesis has the text and the score of Whisper's own generate(), so the prompt is the same."""
    model, processor = whisper
    waveform = torch.frombuffer(bytearray(read_samples(recording)), dtype=torch.int16).float() / 2**15
    inputs = processor(waveform.numpy(), sampling_rate=16_000, return_attention_mask=True, return_tensors="pt")
    output = model.generate(
        inputs.input_features,
        attention_mask=inputs.attention_mask,
        num_beams=NUM_BEAMS,
        return_dict_in_generate=True,
        output_scores=True,
    )
    best = decode_nbest(model, processor, read_samples(recording)).hypotheses[0]
    [own] = processor.batch_decode(output.sequences, skip_special_tokens=True)
    assert best.transcript == own.strip()
    assert best.first_pass_score == pytest.approx(output.sequences_scores.item(), rel=1e-4)


def test_the_command_rescores_a_recording(server, folder, recording, capsys):
    """The command decodes a recording with the model of a folder and prints both best hypotheses."""
    assert main([str(recording), "--model", str(folder), "--target", server.target]) == 0
    head, before, after = capsys.readouterr().out.splitlines()
    assert head.endswith(f"{NUM_BEAMS} hypotheses")
    assert (before[:14], after[:14]) == ("  first pass  ", "  rescored    ")
